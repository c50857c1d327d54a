// Package instance turns a function and its policy into running sandboxes: it starts them on
// demand, gives each one invocation at a time, and ends those that crash, run over a limit, break
// the protocol or are no longer needed. It must not know HTTP, sites or artifacts.
package instance
