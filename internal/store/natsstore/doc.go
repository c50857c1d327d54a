// Package natsstore is a store on NATS JetStream: embedded in this process, or a cluster elsewhere.
package natsstore
