package server

// How a server ends: what it has taken it finishes, and whoever comes meanwhile is told to come again.

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// lastCall answers by h. While the server is leaving, each answer is the last of its connection: who asks again opens
// another, which leads elsewhere by then.
func (s *Server) lastCall(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		h(w, r)
	})
}

// drain counts the requests in flight before a handler, and refuses further ones once it is closed.
type drain struct {
	handler http.Handler

	mu     sync.Mutex
	flying int
	closed bool
	empty  chan struct{} // closed when it is closed and nothing is in flight
}

func newDrain(h http.Handler) *drain { return &drain{handler: h, empty: make(chan struct{})} }

// ServeHTTP serves a request, or refuses it with 503 and Retry-After (RFC 9110, section 10.2.3).
func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.begin() {
		h := w.Header()
		h.Set("Content-Type", "application/problem+json")
		h.Set("Connection", "close")
		h.Set("Retry-After", fmt.Sprint(int(shutdownTime/time.Second)))
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, `{"title":"Service Unavailable","status":503,"detail":"the server is ending","remedy":"try again"}`)
		return
	}
	defer d.end()
	d.handler.ServeHTTP(w, r)
}

func (d *drain) begin() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.flying++
	}
	return !d.closed
}

func (d *drain) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flying--; d.closed && d.flying == 0 {
		close(d.empty)
	}
}

// close refuses further requests and waits until none is in flight or ctx ends. It is called once.
func (d *drain) close(ctx context.Context) {
	d.mu.Lock()
	d.closed = true
	if d.flying == 0 {
		close(d.empty)
	}
	d.mu.Unlock()
	select {
	case <-d.empty:
	case <-ctx.Done():
	}
}
