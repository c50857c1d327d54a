package egress

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// TestManyConnections: beyond the limit they are reset, with one record, and places become free.
func TestManyConnections(t *testing.T) {
	addr := scripted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "")
	w := newWorld(t, config{rules: []string{"GET http://db.test/"}, resolve: []string{"*.test=" + addr}})
	manyConnections(t, w, 80, maxConns)
}

// TestManySplices: those of tcp rules have a limit of their own.
func TestManySplices(t *testing.T) {
	w := newWorld(t, config{rules: []string{"tcp db.test:5432"}, resolve: []string{"*.test=" + echo(t)}})
	manyConnections(t, w, 5432, maxSplices)
}

// manyConnections fills the limit with connections that have had an answer.
func manyConnections(t *testing.T, w *world, port uint16, limit int) {
	t.Helper()
	addr, _ := w.sandbox.names.address("db.test", pinned)
	to := netip.AddrPortFrom(addr, port)
	const request = "GET / HTTP/1.1\r\nHost: db.test\r\n\r\n"
	var open []net.Conn
	for range limit {
		c, err := w.conns.dial(to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, request)
		if err := readFull(c, make([]byte, 11)); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	for range 5 {
		c, err := w.conns.dial(to)
		if err != nil {
			t.Fatal(err)
		}
		expectReset(t, "one too many", c)
	}
	flood := 0
	for _, d := range w.records.all() {
		if d.Target == "(further connections)" {
			flood++
		}
	}
	if flood != 1 {
		t.Errorf("%d records of the flood", flood)
	}
	open[0].Close()
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := w.conns.dial(to)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, request)
		if readFull(c, make([]byte, 11)) == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no place became free")
		}
	}
}

// TestSlowHeader: who sends a header for ever is cut off.
func TestSlowHeader(t *testing.T) {
	w := newWorld(t, config{rules: anything})
	w.egress.servers[0].ReadHeaderTimeout = 50 * time.Millisecond
	c := w.mustDial("api.test:80")
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: api.test\r\nX-A: ")
	if b, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("%q %v", b, err)
	}
	w.only()
}

// TestManyRequests: beyond the limit they are answered at once, and the rest goes on.
func TestManyRequests(t *testing.T) {
	release := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(release) })
	w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { <-release })})
	for range cap(w.sandbox.requests) {
		w.sandbox.requests <- struct{}{}
	}
	if resp, _ := w.do(w.client(true), "GET", "https://api.test/", ""); resp.StatusCode != 503 {
		t.Errorf("%d", resp.StatusCode)
	}
	<-w.sandbox.requests
	once.Do(func() { close(release) })
	if resp, _ := w.do(w.client(true), "GET", "https://api.test/", ""); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestFloodOfDenials: an invocation fills so many records and no more; the rest is counted, and the
// next invocation has its own.
func TestFloodOfDenials(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	c := w.client(true)
	for i := range maxRecords + 50 {
		w.do(c, "GET", fmt.Sprintf("https://api.test/%d", i), "")
	}
	if n := len(w.records.all()); n != maxRecords {
		t.Errorf("%d records", n)
	}
	w.sandbox.SetInvocations("req-2")
	all := w.records.all()
	if last := all[len(all)-1]; len(all) != maxRecords+1 || last.Request != "req-1" || !strings.Contains(last.Reason, "the last of 50 further") {
		t.Errorf("%d records, the last %+v", len(all), last)
	}
	w.do(c, "GET", "https://api.test/again", "")
	w.denied("the next invocation", func(d record.Decision) bool { return d.Request == "req-2" })
	w.sandbox.Close()
	if n := len(w.records.all()); n != maxRecords+2 {
		t.Errorf("%d records in the end", n)
	}
}

// TestCloseEndsEverything: connections of each kind, their upstreams, and what comes later.
func TestCloseEndsEverything(t *testing.T) {
	gone := make(chan struct{})
	w := newWorld(t, config{rules: []string{"tcp db.test:5432", "GET https://api.test/**"}, resolve: []string{"db.test=" + echo(t)},
		handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(200)
			http.NewResponseController(rw).Flush()
			<-r.Context().Done()
			close(gone)
		})})
	raw := w.mustDial("db.test:5432")
	if err := readFull(raw, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	silent := w.mustDial("api.test:443")
	resp, err := w.client(true).Get("https://api.test/")
	if err != nil {
		t.Fatal(err)
	}
	w.sandbox.Close()
	w.sandbox.Close()
	for _, r := range []io.Reader{raw, silent, resp.Body} {
		if _, err := io.ReadAll(r); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error(err)
		}
	}
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Error("the upstream request goes on")
	}
	if c, err := w.dial(t.Context(), "203.0.113.1:443"); err == nil {
		if b, err := io.ReadAll(c); err == nil && len(b) > 0 {
			t.Error("a closed sandbox serves")
		}
	}
	w.sandbox.mu.Lock()
	defer w.sandbox.mu.Unlock()
	if len(w.sandbox.open) != 0 {
		t.Errorf("%d left open", len(w.sandbox.open))
	}
}

// TestFaultStaysInItsSandbox: a panic while serving one connection or request ends that one only.
func TestFaultStaysInItsSandbox(t *testing.T) {
	w := newWorld(t, config{rules: anything, fault: "203.0.113.9:80"})
	c := w.mustDial("203.0.113.9:80")
	io.WriteString(c, "\x00\x00")
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%q %v", b, err)
	}
	if resp, _ := w.do(w.client(false), "GET", "https://api.test/", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	eventually(t, "the fault is in the log", func() bool { return strings.Contains(w.logs.String(), "fault in the egress") })
}

// TestShownIsPrintable: hostile text in records is bounded and in one line.
func TestShownIsPrintable(t *testing.T) {
	for text, want := range map[string]string{"a b": "a b", "a\nb": `"a\nb"`, "\x1b[31m": `"\x1b[31m"`, "é": `"\u00e9"`} {
		if got := shown(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if n := len(shown(strings.Repeat("\x00", 1000))); n > 5*maxShown {
		t.Errorf("%d bytes", n)
	}
}
