package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// datagram is one as the sandbox sees it.
type datagram struct {
	from, to netip.AddrPort
	text     string
}

// datagramSource is the sandbox's side of datagrams.
type datagramSource struct {
	sent    chan datagram
	replies chan datagram // from is where the first was sent to
	closed  chan struct{}
	once    sync.Once
}

func newDatagramSource() *datagramSource {
	return &datagramSource{sent: make(chan datagram), replies: make(chan datagram, 1000), closed: make(chan struct{})}
}

func (d *datagramSource) Receive(b []byte) (int, netip.AddrPort, netip.AddrPort, error) {
	select {
	case m := <-d.sent:
		return copy(b, m.text), m.from, m.to, nil
	case <-d.closed:
		return 0, netip.AddrPort{}, netip.AddrPort{}, net.ErrClosed
	}
}

func (d *datagramSource) Reply(b []byte, from, to netip.AddrPort) error {
	select {
	case d.replies <- datagram{from, to, string(b)}:
	default:
	}
	return nil
}

func (d *datagramSource) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// outsideUDP is an upstream for datagrams: it tells what came from where, and answers if it is to.
type outsideUDP struct {
	*net.UDPConn
	got chan datagram // to is not set
}

func newOutsideUDP(t *testing.T, answer bool) *outsideUDP {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	o := &outsideUDP{c, make(chan datagram, 1000)}
	go func() {
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer {
				c.WriteToUDPAddrPort(append([]byte("re: "), buf[:n]...), from)
			}
			o.got <- datagram{from: from, text: string(buf[:n])}
		}
	}()
	return o
}

func (o *outsideUDP) addr() string { return o.LocalAddr().String() }

// next takes what comes within some seconds.
func next(t *testing.T, what string, from chan datagram) datagram {
	t.Helper()
	select {
	case d := <-from:
		return d
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: nothing came", what)
		return datagram{}
	}
}

// send sends a datagram from inside to a name.
func (w *world) send(from, host string, port uint16, text string) netip.AddrPort {
	w.tb.Helper()
	addr, err := netip.ParseAddr(host)
	if err != nil {
		var room bool
		if addr, room = w.sandbox.names.address(host, w.fn.standing(host)); !room {
			w.tb.Fatal("no room for the name")
		}
	}
	to := netip.AddrPortFrom(addr, port)
	w.datagrams.sent <- datagram{netip.MustParseAddrPort(from), to, text}
	return to
}

const insideAddr = "198.18.0.1:40000"

func TestUDPByRule(t *testing.T) {
	up := newOutsideUDP(t, true)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125", "udp *.pool.test:514"}, resolve: []string{"*.test=" + up.addr()}})
	for _, host := range []string{"stats.test", "a.pool.test"} {
		port := uint16(8125)
		if host != "stats.test" {
			port = 514
		}
		for range 2 {
			to := w.send(insideAddr, host, port, "hello")
			if d := next(t, host, w.datagrams.replies); d.text != "re: hello" || d.from != to || d.to.String() != insideAddr {
				t.Errorf("%+v", d)
			}
		}
		first, second := next(t, host, up.got), next(t, host, up.got)
		if first.from != second.from {
			t.Errorf("one flow came from %s and %s", first.from, second.from)
		}
	}
	list := w.records.of(record.Allow, "")
	if len(list) != 2 || list[0].Kind != "udp" || list[0].Target != "stats.test:8125" || list[0].Nearest != `"stats.test:8125"` || list[0].Rule != "weir.toml:1" || list[1].Target != "a.pool.test:514" {
		t.Errorf("%+v", list)
	}
	if d := w.records.all(); len(d) > 0 {
		t.Errorf("%+v", d)
	}
}

func TestOtherUDPGoesNowhere(t *testing.T) {
	up := newOutsideUDP(t, true)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125", "tcp db.test:5432", charge}, private: true,
		resolve: []string{"*.test=" + up.addr(), "203.0.113.66=" + up.addr()}})
	for _, c := range []struct {
		host   string
		port   uint16
		target string
	}{
		{"evil.test", 8125, "evil.test:8125"}, {"stats.test", 8126, "stats.test:8126"}, {"203.0.113.66", 8125, "203.0.113.66:8125"},
		{"db.test", 5432, "db.test:5432"}, {"api.test", 443, "api.test:443"}, {"127.0.0.1", 8125, "127.0.0.1:8125"},
		{"198.18.77.77", 8125, "198.18.77.77:8125"}, {"2001:db8::66", 8125, "[2001:db8::66]:8125"}, {"224.0.0.251", 8125, "224.0.0.251:8125"},
	} {
		for range 3 {
			w.send(insideAddr, c.host, c.port, "stolen")
		}
		d := w.denied(c.target, func(d record.Decision) bool { return d.Kind == "udp" && d.Target == c.target })
		if c.host == "stats.test" && (!strings.Contains(d.Nearest, "stats.test:8125") || d.Fix != `udp = ["stats.test:8126"]`) {
			t.Errorf("%+v", d)
		}
	}
	if n := len(w.records.all()); n != 9 {
		t.Errorf("%d records: %+v", n, w.records.all())
	}
	w.send(insideAddr, "stats.test", 8125, "last")
	if d := next(t, "the allowed one", up.got); d.text != "last" {
		t.Errorf("outside came %+v", d)
	}
}

// TestUDPToTheInside: the addresses of a name that a rule allows are filtered as for TCP, and once.
func TestUDPToTheInside(t *testing.T) {
	var asked []string
	w := newWorld(t, config{rules: []string{"udp rebind.test:8125", "udp *.wild.test:8125"}, private: true, noResolve: true,
		lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			asked = append(asked, host)
			if host == "a.wild.test" {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("127.0.0.1")}, nil
		}})
	for _, host := range []string{"rebind.test", "a.wild.test"} {
		w.send(insideAddr, host, 8125, "x")
		w.denied(host, func(d record.Decision) bool {
			return d.Kind == "udp" && d.Target == host+":8125" && strings.Contains(d.Reason, "out of reach")
		})
	}
	if fmt.Sprint(asked) != "[rebind.test a.wild.test]" {
		t.Errorf("asked for %q", asked)
	}
}

// TestRepliesFromOthers: only the host that datagrams go to can answer.
func TestRepliesFromOthers(t *testing.T) {
	up, thief := newOutsideUDP(t, false), newOutsideUDP(t, false)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125"}, resolve: []string{"stats.test=" + up.addr()}})
	to := w.send(insideAddr, "stats.test", 8125, "hello")
	at := next(t, "the datagram", up.got).from
	if _, err := thief.WriteToUDPAddrPort([]byte("forged"), at); err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteToUDPAddrPort([]byte("true"), at); err != nil {
		t.Fatal(err)
	}
	if d := next(t, "the answer", w.datagrams.replies); d.text != "true" || d.from != to {
		t.Errorf("%+v", d)
	}
}

// TestSpoofedSources: a program may claim any address inside. Each gets its own answers, and what it
// claims shows nowhere outside.
func TestSpoofedSources(t *testing.T) {
	up := newOutsideUDP(t, true)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125"}, resolve: []string{"stats.test=" + up.addr()}})
	for _, from := range []string{"8.8.8.8:53", "127.0.0.1:1", "203.0.113.66:443", insideAddr} {
		w.send(from, "stats.test", 8125, from)
		if d := next(t, from, w.datagrams.replies); d.to.String() != from || d.text != "re: "+from {
			t.Errorf("%+v", d)
		}
		if d := next(t, from, up.got); !d.from.Addr().IsLoopback() || d.from.String() == from {
			t.Errorf("outside, %s is %s", from, d.from)
		}
	}
}

// TestFloodOfFlows: so many at once and no more; those that are not used make room.
func TestFloodOfFlows(t *testing.T) {
	up := newOutsideUDP(t, false)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125"}, resolve: []string{"stats.test=" + up.addr()}})
	flows := func() int {
		w.sandbox.mu.Lock()
		defer w.sandbox.mu.Unlock()
		return len(w.sandbox.flows)
	}
	for i := range 2 * maxFlows {
		w.send(fmt.Sprintf("198.18.0.1:%d", 1000+i), "stats.test", 8125, "flood")
	}
	w.denied("the flood", func(d record.Decision) bool { return d.Kind == "udp" && d.Target == "(further flows)" })
	if n := flows(); n != maxFlows {
		t.Errorf("%d flows", n)
	}
	if n := len(w.fn.places); n > maxFlows {
		t.Errorf("%d places", n)
	}
	w.sandbox.mu.Lock()
	for _, f := range w.sandbox.flows {
		f.used.Store(time.Now().Add(-2 * flowYield).UnixNano())
	}
	w.sandbox.mu.Unlock()
	for {
		if d := next(t, "the flood", up.got); d.text == "flood" && len(up.got) == 0 {
			break
		}
	}
	w.send("198.18.0.1:999", "stats.test", 8125, "late")
	for next(t, "the late one", up.got).text != "late" {
	}
	if n := flows(); n != maxFlows {
		t.Errorf("%d flows", n)
	}
}

// TestFloodOfBytes: what waits for a host that is slow to be found takes little room, however large.
func TestFloodOfBytes(t *testing.T) {
	w := newWorld(t, config{rules: []string{"udp slow.test:8125"}, noResolve: true,
		lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	large := strings.Repeat("x", 60<<10)
	for i := range 4 * flowQueue {
		w.send(fmt.Sprintf("198.18.0.1:%d", 1000+i%4), "slow.test", 8125, large)
	}
	w.sandbox.mu.Lock()
	defer w.sandbox.mu.Unlock()
	for _, f := range w.sandbox.flows {
		if n := len(f.queue) * len(large); n == 0 || n > flowBytes {
			t.Errorf("%d bytes of %s wait", n, f.from)
		}
	}
}

// TestFlowsEndWithTheSandbox: nothing of them outlives it, and their places are free again.
func TestFlowsEndWithTheSandbox(t *testing.T) {
	up := newOutsideUDP(t, false)
	w := newWorld(t, config{rules: []string{"udp stats.test:8125"}, resolve: []string{"stats.test=" + up.addr()}})
	w.send(insideAddr, "stats.test", 8125, "hello")
	at := next(t, "the datagram", up.got).from
	w.sandbox.Close()
	for end := time.Now().Add(10 * time.Second); len(w.fn.places) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the flow outlives its sandbox")
		}
	}
	up.WriteToUDPAddrPort([]byte("late"), at)
	select {
	case d := <-w.datagrams.replies:
		t.Errorf("%+v", d)
	default:
	}
}

func TestMonitoredUDP(t *testing.T) {
	up := newOutsideUDP(t, true)
	w := monitorWorld(t, config{resolve: []string{"any.test=" + up.addr()}})
	w.send(insideAddr, "any.test", 443, "hello")
	next(t, "the answer", w.datagrams.replies)
	if d := w.monitoredAs("udp", "any.test:443"); d.Fix != `udp = ["any.test:443"]` {
		t.Errorf("%+v", d)
	}
	w.send(insideAddr, "169.254.169.254", 80, "hello")
	w.denied("metadata", func(d record.Decision) bool { return d.Kind == "udp" && d.Target == "169.254.169.254:80" })
}
