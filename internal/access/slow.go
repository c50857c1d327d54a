package access

// Guessing is slowed: whoever shows wrong tokens gets no more answers for a while. Who shows a right one from another
// address never notices, nor does who has shown a right one here before.

import (
	"net/netip"
	"sync"
	"time"
)

// The allowances: failures that count at once, and the time after which one more does.
const (
	clientFailures = 10
	clientEvery    = 6 * time.Second
	allFailures    = 1000
	allEvery       = 10 * time.Millisecond
)

// maxClients and maxGood bound what is remembered. Beyond them, any entry is forgotten for a new one.
const (
	maxClients = 1 << 16
	maxGood    = 1 << 12
)

// slowdown counts failures as time: each moves the moment at which they are all forgiven further away.
type slowdown struct {
	now func() time.Time

	mu      sync.Mutex
	all     time.Time                  // when the failures of all are forgiven
	clients map[netip.Prefix]time.Time // when those of a client are
	good    map[string]struct{}        // digests of secrets that were right
}

func newSlowdown(now func() time.Time) *slowdown {
	return &slowdown{now: now, clients: map[netip.Prefix]time.Time{}, good: map[string]struct{}{}}
}

// refuses tells whether a client gets no answer now.
func (s *slowdown) refuses(client netip.Prefix, digest string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, good := s.good[digest]
	return !good && s.clients[client].Sub(s.now()) > (clientFailures-1)*clientEvery
}

// failed counts a failure. While there are too many of all clients together, a client's first one uses up all
// that it may.
func (s *slowdown) failed(client netip.Prefix, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.good, digest)
	now := s.now()
	cost := clientEvery
	if s.all.Sub(now) > (allFailures-1)*allEvery {
		cost = clientFailures * clientEvery
	} else {
		s.all = later(s.all, now).Add(allEvery)
	}
	until := later(s.clients[client], now).Add(cost)
	makeRoom(s.clients, maxClients)
	s.clients[client] = until
}

// succeeded remembers that a secret was right.
func (s *slowdown) succeeded(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.good[digest]; !known {
		makeRoom(s.good, maxGood)
		s.good[digest] = struct{}{}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// makeRoom forgets any one entry of a full map.
func makeRoom[K comparable, V any](m map[K]V, most int) {
	if len(m) < most {
		return
	}
	for k := range m {
		delete(m, k)
		return
	}
}

// clientOf gives what counts as one client: an IPv4 address, or the /64 that an IPv6 address belongs to, of which
// one machine usually has all addresses. What is no address is one client together.
func clientOf(address string) netip.Prefix {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		bits = 32
	}
	client, _ := ip.Prefix(bits) // fits: bits is no more than the address has
	return client
}
