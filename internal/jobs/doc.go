// Package jobs runs functions that nobody waits for: background functions, with retries, and scheduled ones. It must not
// know how a function is run: it is given something that does.
package jobs
