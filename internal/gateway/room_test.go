package gateway

import (
	"strings"
	"testing"
)

// TestOneClientLeavesRoomToOthers: it gets a quarter, whatever it calls itself; a proxy's clients are counted apart.
func TestOneClientLeavesRoomToOthers(t *testing.T) {
	const size, share = 1 << 30, 1 << 28
	for name, c := range map[string]struct {
		taken, addr string // who has its share, and who asks
		forwarded   string
		want        int
	}{
		"the same":              {"192.0.2.1", "192.0.2.1:1", "", 503},
		"another":               {"192.0.2.1", "192.0.2.2:1", "", 200},
		"an address beside it":  {"2001:db8::1", "[2001:db8::ffff:2]:1", "", 503},
		"another network":       {"2001:db8::1", "[2001:db8:0:1::1]:1", "", 200},
		"IPv4 in IPv6":          {"192.0.2.1", "[::ffff:192.0.2.1]:1", "", 503},
		"by a proxy":            {"192.0.2.1", "10.0.0.1:1", "192.0.2.1", 503},
		"another by a proxy":    {"192.0.2.1", "10.0.0.1:1", "192.0.2.2", 200},
		"a lie":                 {"192.0.2.1", "192.0.2.1:1", "192.0.2.2", 503},
		"a proxy on this host":  {"127.0.0.1", "127.0.0.1:1", "", 200},
		"a proxy by itself":     {"10.0.0.1", "10.0.0.1:1", "", 200},
		"another name for that": {"::1", "[::1]:1", "", 200},
	} {
		trusted := prefixes("10.0.0.0/8")
		room := NewBodies(size)
		room.Take(ClientOf(c.taken, trusted), share)
		r := request("POST", "/.netlify/functions/fn", strings.Repeat("x", 1000))
		r.RemoteAddr = c.addr
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		res := ask(giving(`{"statusCode":200}`), r, func(o *Options) { o.Bodies, o.TrustedProxies = room, trusted })
		if res.StatusCode != c.want || room.free != size-share || len(room.taken) > 1 {
			t.Errorf("%s: %d, want %d; %d bytes are free, %d clients known", name, res.StatusCode, c.want, room.free, len(room.taken))
		}
	}
}

// TestTheLargestBodyHasRoom: a share is no smaller than what one request may take.
func TestTheLargestBodyHasRoom(t *testing.T) {
	if room := NewBodies(maxBody * bodyCopies); !room.Take("192.0.2.1", maxBody*bodyCopies) {
		t.Error("there is no room for it")
	}
}
