// Package storetest holds every implementation of a store to its contract.
package storetest
