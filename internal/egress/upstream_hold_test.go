package egress

// What a function and an upstream that work together hold of the server.

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestBodiesAreSentAsTheyCome: an upstream that answers to the first of a body, before the rest is sent, is not kept
// waiting for it.
func TestBodiesAreSentAsTheyCome(t *testing.T) {
	bySchemes(t, func(t *testing.T, url string) {
		for name, length := range map[string]int64{"length": 9, "chunks": -1} {
			t.Run(name, func(t *testing.T) {
				began := make(chan string, 1)
				w, _ := askedUpstream(t, func(c net.Conn, r *http.Request, nth int) {
					b := make([]byte, 5)
					io.ReadFull(r.Body, b)
					began <- string(b)
					io.Copy(io.Discard, r.Body)
					io.WriteString(c, answered)
				})
				body, more := io.Pipe()
				go func() {
					io.WriteString(more, "first")
					if got := <-began; got != "first" {
						t.Errorf("%q", got)
					}
					io.WriteString(more, "rest")
					more.Close()
				}()
				r, _ := http.NewRequest("POST", url, body)
				r.ContentLength = length
				resp, err := w.client(false).Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			})
		}
	})
}

// keyUpdate is TLS that has to reply to what came while it was idle, to an upstream that takes nothing.
type keyUpdate struct{ *net.TCPConn }

// TestIdleConnectionHoldsNobody: what an upstream did while its connection was idle does not keep a request that
// nobody waits for any more, nor the connection.
func TestIdleConnectionHoldsNobody(t *testing.T) {
	addr, _ := deaf(t, "")
	w := newWorld(t, config{rules: []string{"GET http://api.test/**"}, noResolve: true, resolve: []string{"*.test=" + addr}})
	c, err := w.fn.dial(t.Context(), "tcp", "api.test:80")
	if err != nil {
		t.Fatal(err)
	}
	raw := c.(*outside)
	w.fn.idle.give(&upstreamConn{Conn: keyUpdate{raw.TCPConn}, raw: raw, place: place{false, "api.test:80"}})
	io.WriteString(w.mustDial("api.test:80"), "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n")
	eventually(t, "the connection is in use", func() bool {
		w.fn.idle.mu.Lock()
		defer w.fn.idle.mu.Unlock()
		return w.fn.idle.count == 0
	})
	w.sandbox.Close()
	eventually(t, "the connection is closed", func() bool { return len(w.fn.places) == 0 })
	eventually(t, "nothing serves the request", func() bool { return len(w.sandbox.requests) == 0 })
}

// TestFunctionIsClosedAtOnce: upstreams that take no word of farewell, each of which is waited for, hold up nobody
// who closes their function.
func TestFunctionIsClosedAtOnce(t *testing.T) {
	cert := outsideCert(t, time.Now().Add(time.Hour), "api.test")
	addr := listening(t, func(c net.Conn) {
		t.Cleanup(func() { c.Close() })
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
		if _, err := http.ReadRequest(bufio.NewReader(secure)); err == nil {
			io.WriteString(secure, answered)
		}
	})
	w := newWorld(t, config{rules: anything, noResolve: true, resolve: []string{"*.test=" + addr}})
	w.do(w.client(false), "GET", "https://api.test/", "")
	w.fn.settled(t)
	w.fn.idle.mu.Lock()
	for _, list := range w.fn.idle.idle {
		stall(t, list[0].raw) // as a body does that fits in what the system keeps for the upstream
	}
	w.fn.idle.mu.Unlock()
	w.fn.Close()
	if len(w.fn.places) == 0 {
		t.Error("Close waited for the upstream")
	}
	eventually(t, "the connection is closed", func() bool { return len(w.fn.places) == 0 })
}
