package gateway

// Room for what clients make the server hold who need no right for it: bytes, connections. None of them may have so
// much of it that the others find none.

import (
	"net/netip"
	"sync"
)

// oneIn is how much of a room one client may have, as one in so many.
const oneIn = 4

// Room is so much of something. It is safe for concurrent use.
type Room struct {
	mu    sync.Mutex
	free  int64
	share int64            // what one client may have
	taken map[string]int64 // by clients
}

// NewRoom makes room of a size, of which one client may have a quarter, or as much as least if that is more.
func NewRoom(size, least int64) *Room {
	return &Room{free: size, share: max(size/oneIn, least), taken: map[string]int64{}}
}

// Take takes some for a client, if there is so much for it. A client that is "" may be many: it has no share.
func (r *Room) Take(client string, n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > r.free || client != "" && r.taken[client]+n > r.share {
		return false
	}
	r.free -= n
	if client != "" {
		r.taken[client] += n
	}
	return true
}

// Give gives back what was taken.
func (r *Room) Give(client string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free += n
	if client == "" {
		return
	}
	if r.taken[client] -= n; r.taken[client] <= 0 {
		delete(r.taken, client)
	}
}

// ClientOf gives the client that an address belongs to, for a Room. It is "" for a trusted proxy, and for this machine:
// there may be a proxy on it, too, of which nobody has told.
func ClientOf(addr string, trusted []netip.Prefix) string {
	if a, err := netip.ParseAddr(addr); err == nil && a.Unmap().IsLoopback() || trusts(trusted, addr) {
		return ""
	}
	return network(addr)
}
