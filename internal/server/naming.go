package server

// Who learns from records wants to know whether the site itself names a host, by a variable such as
// DATABASE_URL, or only a package does. The values must not get into records; that they hold a host may.

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// naming passes records on, with the variable whose value names the host that was called. It is safe for
// concurrent use.
type naming struct {
	next record.Recorder
	by   atomic.Pointer[map[string]string] // variables by the hosts in their values
}

func newNaming(next record.Recorder) *naming {
	n := &naming{next: next}
	n.setValues(nil)
	return n
}

// setValues gives the variables whose values may name hosts.
func (n *naming) setValues(env map[string]string) {
	by := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		for _, word := range strings.FieldsFunc(env[name], notOfHost) {
			host, err := policy.CanonicalHost(strings.ToLower(word))
			if err == nil && strings.Contains(host, ".") && by[host] == "" {
				by[host] = name
			}
		}
	}
	n.by.Store(&by)
}

func notOfHost(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
}

// Decided passes on a decision.
func (n *naming) Decided(d record.Decision) {
	if by := *n.by.Load(); len(by) > 0 {
		d.Named = by[hostOf(&d)]
	}
	n.next.Decided(d)
}

// hostOf gives the host that a decision is about, "" if it is about none. For a question such as
// "SRV _mongodb._tcp.cluster0.example.net" it is what follows the service.
func hostOf(d *record.Decision) string {
	host := d.Host()
	for strings.HasPrefix(host, "_") {
		_, host, _ = strings.Cut(host, ".")
	}
	return strings.TrimSuffix(host, ".")
}

// Invoked passes on an invocation.
func (n *naming) Invoked(i record.Invocation) { n.next.Invoked(i) }
