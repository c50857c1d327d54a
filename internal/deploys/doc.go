// Package deploys is the life of sites and their deploys: from what a client says it has, by uploads, to something
// immutable that is judged, approved, published, rolled back and one day removed. It must not know how functions are
// read or run (its Stage does), nor who may do what (internal/api asks that).
//
// Several servers work on one store at a time, and each may end at any moment. So every change is one
// compare-and-set of one record, in an order in which what was done can be told from what was not: a deploy that
// isn't at its end is named by an "active" key, and whoever sees that key (Run) does its next step.
//
// All blobs of the store belong to this package: those that no deploy needs are removed (see guard.go).
package deploys
