package gateway

// What bodies of requests take in memory, and answers that their clients take slowly. Who sends a request needs no
// right, so there is one bound for all of them together.

import (
	"io"
	"net/http"

	"github.com/weir-run/weir/internal/weir"
)

const (
	// bodiesBytes is what a gateway by itself has for bodies.
	bodiesBytes = 512 << 20
	// bodyCopies is how often a body is held, at most: as it came, as a text of the event, and within the event.
	bodyCopies = 3
)

// NewBodies makes room for some bytes of bodies that are held in memory, copies included. It may serve several gateways.
// A client may have as much of it as the largest body takes.
func NewBodies(bytes int64) *Room { return NewRoom(bytes, maxBody*bodyCopies) }

// take takes room for some bytes of a body, if there is any. It is called by the goroutine that serves the request.
func (b *pacedBody) take(bytes int) error {
	if b.room == nil {
		return nil
	}
	n := int64(bytes) * bodyCopies
	if !b.room.Take(b.client, n) {
		return noRoom("the request's body")
	}
	b.taken += n
	return nil
}

func noRoom(what string) error {
	return &weir.Error{Code: weir.Unavailable, Message: "the server has no room for " + what + " at the moment", Remedy: "try again"}
}

// giveBack gives back all that was taken.
func (b *pacedBody) giveBack() {
	if b.taken > 0 {
		b.room.Give(b.client, b.taken)
		b.taken = 0
	}
}

// giveBack gives back what the body of a request has taken: nobody holds it any more.
func giveBack(r *http.Request) {
	if b, ok := r.Body.(*pacedBody); ok {
		b.giveBack()
	}
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
