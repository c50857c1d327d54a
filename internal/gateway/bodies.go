package gateway

// What bodies of requests take in memory. Who sends one needs no right, so there is one bound for all of them together.

import (
	"io"
	"sync/atomic"

	"github.com/weir-run/weir/internal/weir"
)

const (
	// bodiesBytes is what a gateway by itself has for bodies.
	bodiesBytes = 512 << 20
	// bodyCopies is how often a body is held, at most: as it came, as a text of the event, and within the event.
	bodyCopies = 3
)

// Bodies is room for the bodies of requests that are held in memory until their functions have answered. It may serve
// several gateways, and is safe for concurrent use.
type Bodies struct{ free atomic.Int64 }

// NewBodies makes room for some bytes, copies included.
func NewBodies(bytes int64) *Bodies {
	b := &Bodies{}
	b.free.Store(bytes)
	return b
}

// take takes room for some bytes of a body, if there is any. It is called by the goroutine that serves the request.
func (b *pacedBody) take(bytes int) error {
	if b.room == nil {
		return nil
	}
	n := int64(bytes) * bodyCopies
	if b.room.free.Add(-n) < 0 {
		b.room.free.Add(n)
		return &weir.Error{Code: weir.Unavailable, Message: "the server has no room for the request's body at the moment", Remedy: "try again"}
	}
	b.taken += n
	return nil
}

// giveBack gives back all that was taken.
func (b *pacedBody) giveBack() {
	b.room.free.Add(b.taken)
	b.taken = 0
}

// held reads a body that is to be held.
type held struct {
	io.Reader
	body *pacedBody
}

// Read is io.Reader's. The error is a weir.Unavailable if there is no room.
func (h held) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		if err := h.body.take(n); err != nil {
			return 0, err
		}
	}
	return n, err
}
