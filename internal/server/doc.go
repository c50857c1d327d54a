// Package server is the only place where Weir's parts are joined: a site is built, each function
// gets its policy, its egress and its pool of sandboxes, and the gateway serves them. It must not
// decide anything that a part decides.
package server
