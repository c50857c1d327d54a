package gateway

// How slow a client may be. One that sends its request's body by drips, or doesn't read its answer, would hold
// a connection and what serves it for as long as it likes.

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const (
	// patience is how long a client may keep the server waiting for each bodyPiece of a request's body (or its
	// end), and how long it may take for each piece of a function's answer.
	patience = 10 * time.Second
	// bodyPiece is in bytes: with patience it is the slowest that a body may come.
	bodyPiece = 16 << 10
)

// pacedBody is the body of a request whose client must keep up. Only the time counts in which somebody reads.
type pacedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	left     time.Duration // of patience for the piece that comes
	got      int           // bytes of that piece
	room     *Room         // of what is held of it; nil: nobody counts that
	client   string        // who takes it
	taken    int64         // bytes of it

	mu      sync.Mutex
	stopped bool
}

// Paced has every request's body come from a client that keeps up, whatever a handler does with it.
func Paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer pace(w, r, patience)()
		h.ServeHTTP(w, r)
	})
}

// pace has the body of a request come from a client that keeps up. What it gives is called at the end: what is left of
// an answer then is to be taken in time, too.
func pace(w http.ResponseWriter, r *http.Request, patience time.Duration) (end func()) {
	if _, done := r.Body.(*pacedBody); r.ContentLength != 0 && !done {
		r.Body = newPacedBody(w, r, patience)
	}
	return func() {
		if r.ProtoMajor > 1 { // before, a connection has but this answer, and its listener sees to it
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
		}
	}
}

// newPacedBody gives the body of a request. What the handler leaves of it net/http reads, for no longer than
// the last deadline.
func newPacedBody(w http.ResponseWriter, r *http.Request, patience time.Duration) *pacedBody {
	b := &pacedBody{ReadCloser: r.Body, control: http.NewResponseController(w), patience: patience, left: patience}
	b.wait(time.Now().Add(patience))
	return b
}

// Read is io.Reader's. The error is a weir.TooSlow if the client doesn't keep up.
func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	if !b.wait(start.Add(b.left)) {
		return 0, io.ErrClosedPipe
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= time.Since(start)
	if b.got += n; b.got >= bodyPiece {
		b.got, b.left = 0, b.patience
	}
	switch {
	case err == io.EOF:
		b.wait(time.Time{}) // from now on net/http reads, to learn whether the client hangs up
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = &weir.Error{Code: weir.TooSlow, Message: fmt.Sprintf("the request's body came too slowly: in %s less than %d bytes of it", b.patience, bodyPiece),
			Remedy: "send it faster"}
	}
	return n, err
}

// wait sets until when a Read may take; false: none may take place any more.
func (b *pacedBody) wait(until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped {
		_ = b.control.SetReadDeadline(until) // who can't has no client that is slow
	}
	return !b.stopped
}

// stop ends a Read that is under way, and those to come.
func (b *pacedBody) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	_ = b.control.SetReadDeadline(time.Unix(1, 0))
}

// PaceAnswer has a client by HTTP/2 take each piece of an answer in time, whoever writes it. By HTTP/1 a connection has
// but one answer, and is bounded itself.
func PaceAnswer(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if r.ProtoMajor < 2 {
		return w
	}
	return newPacedAnswer(w, patience)
}

// pacedAnswer writes to a client that must take each piece in time.
type pacedAnswer struct {
	http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

func (g *gateway) pacedAnswer(w http.ResponseWriter) *pacedAnswer {
	return newPacedAnswer(w, g.patience)
}

func newPacedAnswer(w http.ResponseWriter, patience time.Duration) *pacedAnswer {
	return &pacedAnswer{w, http.NewResponseController(w), patience}
}

// WriteHeader begins the answer. What an upstream says before its own (1xx) stays here: it may come without end, and a
// client of HTTP/1.0 would take it for the answer.
func (a *pacedAnswer) WriteHeader(status int) {
	if status >= http.StatusOK {
		a.ResponseWriter.WriteHeader(status)
	}
}

// Write is io.Writer's.
func (a *pacedAnswer) Write(p []byte) (written int, err error) {
	for piece := range slices.Chunk(p, pieceSize) {
		a.hurry()
		n, err := a.ResponseWriter.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// FlushError sends what was written. From then on nothing is the client's to take: with HTTP/2 a deadline would end
// the answer all the same.
func (a *pacedAnswer) FlushError() error {
	a.hurry()
	err := a.control.Flush()
	_ = a.control.SetWriteDeadline(time.Time{})
	return err
}

func (a *pacedAnswer) hurry() {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.patience)) // who can't has no client that is slow
}

// Unwrap lets http.ResponseController reach the connection.
func (a *pacedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// end sends what is left and leaves the connection to its next answer, which has a deadline of its own.
func (a *pacedAnswer) end() { _ = a.FlushError() }
