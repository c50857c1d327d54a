// Package deploys is the life of sites and their deploys: from what a client says it has, by uploads, to something
// immutable that is judged, approved, published, rolled back and one day removed. It must not know how functions are
// read or run (its Stage does), nor who may do what (internal/api asks that).
package deploys
