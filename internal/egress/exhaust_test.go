package egress

// What a hostile function does to make the server hold what is no use to anybody.

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-run/weir/internal/record"
)

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			stack := make([]byte, 1<<20)
			t.Fatalf("not in time: %s\n%s", what, stack[:runtime.Stack(stack, true)])
		}
	}
}

// stingy is an HTTP/2 client that takes no body: the window of its streams is 0.
type stingy struct {
	conn   net.Conn
	framer *http2.Framer
	host   string
	next   uint32
	mu     sync.Mutex
	resets int
	heads  int
}

func newStingy(w *world, address, host string) *stingy {
	w.tb.Helper()
	c, err := w.tlsDial(address, host, "h2")
	if err != nil {
		w.tb.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, http2.ClientPreface)
	s := &stingy{conn: c, framer: http2.NewFramer(c, c), host: host, next: 1}
	s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	go func() {
		for {
			f, err := s.framer.ReadFrame()
			if err != nil {
				return
			}
			s.mu.Lock()
			switch f.(type) {
			case *http2.RSTStreamFrame:
				s.resets++
			case *http2.HeadersFrame:
				s.heads++
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// maxFrame is what every peer takes at once (RFC 9113, section 4.2).
const maxFrame = 16 << 10

// get begins a request for a path, with further fields in its header.
func (s *stingy) get(path string, more ...hpack.HeaderField) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: s.host}, {Name: ":path", Value: path}}, more...) {
		enc.WriteField(f)
	}
	b := block.Next(maxFrame)
	s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.next, BlockFragment: b, EndHeaders: block.Len() == 0, EndStream: true})
	for block.Len() > 0 {
		b = block.Next(maxFrame)
		s.framer.WriteContinuation(s.next, block.Len() == 0, b)
	}
	s.next += 2
}

// answers gives how many headers of responses have come.
func (s *stingy) answers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heads
}

func (s *stingy) reset() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resets
}

// TestRefusalsNobodyTakes: a refusal keeps its place until it is delivered or given up, and beyond
// the places there is none.
func TestRefusalsNobodyTakes(t *testing.T) {
	for name, host := range map[string]string{"denied": "evil.test", "unreachable": "api.test"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, config{rules: anything, noResolve: true})
			w.sandbox.requests, w.sandbox.refusals = make(slots, 8), make(slots, 2)
			s := newStingy(w, host+":443", host)
			for range 30 {
				s.get("/")
			}
			eventually(t, "the rest is reset at once", func() bool { return s.reset() == 20 })
			if n := len(w.sandbox.requests) + len(w.sandbox.refusals); n != 10 {
				t.Errorf("%d places are taken while 10 refusals wait", n)
			}
			eventually(t, "the others are given up", func() bool { return s.reset() == 30 && len(w.sandbox.requests)+len(w.sandbox.refusals) == 0 })
			if resp, _ := w.do(w.client(true), "GET", "https://"+host+"/", ""); resp.StatusCode < 400 {
				t.Error(resp.Status)
			}
		})
	}
}

// TestServerRefusalsNobodyTakes: those that Go's server makes by itself are given up, too.
func TestServerRefusalsNobodyTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, config{rules: anything})
	s := newStingy(w, "api.test:443", "api.test")
	var large []hpack.HeaderField
	for i := range 12 {
		large = append(large, hpack.HeaderField{Name: fmt.Sprint("x-", i), Value: strings.Repeat("%", 3000), Sensitive: true})
	}
	s.get("/", large...)
	eventually(t, "the stream is reset", func() bool { return s.reset() == 1 })
	w.only()
}

// TestResponsesNobodyTakes: an answer of the upstream keeps its place until it is delivered, however
// short it is, and the client's end frees it.
func TestResponsesNobodyTakes(t *testing.T) {
	// By HTTP/1, the end of a short body comes together with it.
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "ok") }))
	old.TLS = &tls.Config{Certificates: []tls.Certificate{outsideCert(t, time.Now().Add(time.Hour), "api.test")}}
	old.StartTLS()
	defer old.Close()
	w := newWorld(t, config{rules: anything, resolve: []string{"api.test:443=" + old.Listener.Addr().String()}})
	s := newStingy(w, "api.test:443", "api.test")
	for range 8 {
		s.get("/")
	}
	eventually(t, "all are answered", func() bool { return s.answers() == 8 })
	if resp, _ := w.do(w.client(true), "GET", "https://api.test/", ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	if n := len(w.sandbox.requests); n < 8 {
		t.Errorf("%d places are taken while 8 responses wait", n)
	}
	s.conn.Close()
	eventually(t, "the places are free", func() bool { return len(w.sandbox.requests) == 0 })
}

// TestManyHTTP2Connections: beyond the limit a client gets HTTP/1.1, or nothing if it speaks only
// HTTP/2, until a place is free.
func TestManyHTTP2Connections(t *testing.T) {
	w := newWorld(t, config{rules: anything})
	var open []*tls.Conn
	agreed := func() string {
		c, err := w.tlsDial("api.test:443", "api.test", "h2", "http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		return c.ConnectionState().NegotiatedProtocol
	}
	for i := range maxHTTP2 {
		if p := agreed(); p != "h2" {
			t.Fatalf("connection %d: %q", i, p)
		}
	}
	if p := agreed(); p != "http/1.1" {
		t.Errorf("one too many: %q", p)
	}
	if _, err := w.tlsDial("api.test:443", "api.test", "h2"); err == nil {
		t.Error("one too many that speaks only HTTP/2")
	}
	w.denied("it", func(d record.Decision) bool { return strings.Contains(d.Reason, "too many HTTP/2 connections") })
	open[0].Close()
	eventually(t, "a place is free", func() bool { return agreed() == "h2" })
}

// deaf is an upstream that reads a request's header (with answer), answers it and reads no further.
func deaf(t *testing.T, answer string) (addr string, accepted chan net.Conn) {
	t.Helper()
	accepted = make(chan net.Conn, 64)
	return listening(t, func(c net.Conn) {
		t.Cleanup(func() { c.Close() }) // and no sooner, as the garbage collector would
		if answer != "" {
			c.Read(make([]byte, 4096))
			io.WriteString(c, answer)
		}
		accepted <- c
	}), accepted
}

// TestNothingOutlivesItsSandbox: an upstream that takes nothing does not keep a connection, nor what
// serves it, when the sandbox ends or the program resets its own.
func TestNothingOutlivesItsSandbox(t *testing.T) {
	const agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	for name, c := range map[string]struct{ to, head, answer string }{
		"upload":    {"api.test:80", "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 100000000\r\n\r\n", ""},
		"chunks":    {"api.test:80", "POST / HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5f5e100\r\n", ""},
		"tcp":       {"db.test:5432", "x", ""},
		"WebSocket": {"api.test:8080", wsHead + "\r\n", agreed},
	} {
		for _, ending := range []string{"sandbox", "program"} {
			t.Run(name+" "+ending, func(t *testing.T) {
				t.Parallel()
				addr, accepted := deaf(t, c.answer)
				w := newWorld(t, config{rules: []string{"tcp db.test:5432", "POST http://api.test/**", "ws://api.test:8080/live"}, noResolve: true, resolve: []string{"*.test=" + addr}})
				in := w.mustDial(c.to)
				io.WriteString(in, c.head)
				up := <-accepted
				defer up.Close()
				if c.answer != "" {
					if err := readFull(in, make([]byte, len("HTTP/1.1 101"))); err != nil {
						t.Fatal(err)
					}
				}
				stall(t, in)
				if ending == "sandbox" {
					w.sandbox.Close()
				} else {
					in.SetLinger(0)
					in.Close()
				}
				eventually(t, "the upstream's connection is closed", func() bool { return len(w.fn.places) == 0 })
				eventually(t, "what was captured is closed", func() bool {
					w.sandbox.mu.Lock()
					defer w.sandbox.mu.Unlock()
					return w.sandbox.conns == 0
				})
				eventually(t, "nothing serves it", func() bool { return len(w.sandbox.requests)+len(w.sandbox.splices) == 0 })
				up.SetReadDeadline(time.Now().Add(20 * time.Second))
				if _, err := io.Copy(io.Discard, up); errors.As(err, new(net.Error)) && err.(net.Error).Timeout() {
					t.Error("the upstream sees no end")
				}
			})
		}
	}
}

// stall writes until nothing is taken any more: twice in a row not a byte, or a moment in which
// nobody came to read would be enough.
func stall(t *testing.T, c net.Conn) {
	t.Helper()
	blob := make([]byte, 1<<20)
	for silent := 0; silent < 2; {
		c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Write(blob)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if silent++; n > 0 {
			silent = 0
		}
	}
}

// TestDialsEndWithTheirRequests: who begins requests and takes them back leaves no dials and no
// handshakes behind.
func TestDialsEndWithTheirRequests(t *testing.T) {
	addr, accepted := deaf(t, "")
	w := newWorld(t, config{rules: anything, noResolve: true, resolve: []string{"*.test=" + addr}})
	s := newStingy(w, "api.test:443", "api.test")
	const n = 40
	for range n {
		s.get("/")
	}
	for range n {
		<-accepted
	}
	start := time.Now()
	for id := uint32(1); id < s.next-2; id += 2 { // all but the last
		s.framer.WriteRSTStream(id, http2.ErrCodeCancel)
	}
	eventually(t, "only the last is left", func() bool { return len(w.fn.places) == 1 })
	s.conn.Close()
	eventually(t, "none is left", func() bool { return len(w.fn.places) == 0 })
	if d := time.Since(start); d > dialTime/2 {
		t.Errorf("that took %v", d)
	}
}

// TestConnectionsToUpstreamsAreBounded: a request that finds no place says so in time; idle
// connections make room.
func TestConnectionsToUpstreamsAreBounded(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWorld(t, config{rules: append([]string{"GET https://*.wild.test/**"}, anything...), handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-release
		}
	})})
	w.fn.places = make(slots, 2)
	c := w.client(false)
	for i := range 6 {
		if resp, _ := w.do(c, "GET", fmt.Sprintf("https://h%d.wild.test/", i), ""); resp.StatusCode != 200 {
			t.Errorf("request %d: %s", i, resp.Status)
		}
	}
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			if resp, err := c.Get("https://api.test/wait"); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
	eventually(t, "both wait", func() bool { return len(w.up.got()) == 8 })
	resp, body := w.do(c, "GET", "https://api.test/", "")
	if p := problemOf(t, resp, body); p.Status != 503 || !strings.Contains(p.Detail, "too many connections") || p.Code != "" {
		t.Errorf("%+v", p)
	}
	close(release)
	busy.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for w.fn.places.tryTake() {
	}
	if err := w.fn.takePlace(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}

// TestManyRequestsAtOnce: as many as a busy program has reach one host together.
func TestManyRequestsAtOnce(t *testing.T) {
	const n = 300
	both(t, func(t *testing.T, two bool) {
		var here atomic.Int32
		together := make(chan struct{})
		w := newWorld(t, config{rules: anything, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if here.Add(1) == n {
				close(together)
			}
			select {
			case <-together:
			case <-r.Context().Done(): // one was not in time, and all have failed
			}
		})})
		c := w.client(two)
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				resp, err := c.Get("https://api.test/")
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			})
		}
		all.Wait()
	})
}
