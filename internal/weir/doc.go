// Package weir holds the nouns that every other package speaks in: functions, bundles,
// invocations, limits and errors. It must not know how any of them is carried out: it imports
// the standard library only.
package weir
