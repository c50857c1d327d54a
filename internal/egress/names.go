package egress

// This file exists because a connection shows an address only, and the policy speaks of names: each
// sandbox has a table of its own, in which a name has one made-up address and keeps it.

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"sync"
)

// The made-up addresses: the range for benchmarks (RFC 2544; RFC 6890), which no host has, and a
// unique local prefix (RFC 4193) with the same address in its last four bytes.
var (
	fakeV4 = netip.MustParsePrefix("198.18.0.0/15")
	fakeV6 = netip.MustParsePrefix("fd77:6569:7200::/96")
)

// How many names one sandbox may give an address to, besides those that rules name exactly. Names
// that a rule's wildcard matches have their own share, so that a flood of others can't block them.
const (
	maxMatched = 4096
	maxOthers  = 1024
)

// standing is how the policy knows a name.
type standing uint8

const (
	other   standing = iota // no rule names it
	matched                 // a wildcard does
	pinned                  // a rule names it exactly
)

// names is the table of one sandbox. It is safe for concurrent use.
type names struct {
	mu     sync.Mutex
	byName map[string]netip.Addr
	byAddr map[netip.Addr]string
	next   uint32 // offset in fakeV4
	count  [pinned + 1]int
}

func newNames() *names {
	return &names{byName: map[string]netip.Addr{}, byAddr: map[netip.Addr]string{}, next: 2}
}

// clone gives a table of its own to another sandbox, with what is in this one now.
func (n *names) clone() *names {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &names{byName: maps.Clone(n.byName), byAddr: maps.Clone(n.byAddr), next: n.next, count: n.count}
}

// address gives the IPv4 address of a canonical name, false if there is no room for another name.
// An address never passes to another name.
func (n *names) address(name string, s standing) (netip.Addr, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.byName[name]; ok {
		return a, true
	}
	if s == other && n.count[other] >= maxOthers || s == matched && n.count[matched] >= maxMatched {
		return netip.Addr{}, false
	}
	for n.next&0xff == 0 || n.next&0xff == 0xff { // some software takes these for a network or a broadcast
		n.next++
	}
	base := fakeV4.Addr().As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(base[:])+n.next)
	a := netip.AddrFrom4(b)
	if !fakeV4.Contains(a) {
		return netip.Addr{}, false
	}
	n.next++
	n.count[s]++
	n.byName[name], n.byAddr[a] = a, name
	return a, true
}

// name gives the name that an address stands for. fake tells whether the address is one of this
// table's range, so that without a name it means nothing.
func (n *names) name(a netip.Addr) (name string, fake bool) {
	if fakeV6.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
		fake = true
	}
	if !fake && !fakeV4.Contains(a) {
		return "", false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byAddr[a], true
}

// v6 gives the IPv6 counterpart of an address.
func v6(a netip.Addr) netip.Addr {
	b, v4 := fakeV6.Addr().As16(), a.As4()
	copy(b[12:], v4[:])
	return netip.AddrFrom16(b)
}
