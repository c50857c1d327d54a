// Package environ holds the variables of sites: by context, scope and deploy, all encrypted at rest. It must not
// know which function sees which: policies say that.
package environ
