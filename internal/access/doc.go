// Package access is who may do what on a server: tokens, their roles, and the journal of every change with its author.
// It must not know what is asked for, only which right it takes.
package access
