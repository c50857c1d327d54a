// Package logs keeps what functions print and what was decided about them, by site, function and request, bounded, and
// gives it back, past and live. It must not know where lines come from.
package logs
