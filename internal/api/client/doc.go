// Package client is the typed client of the control API, for the command line. It must not know how the API answers.
package client
