// Package invoke takes one invocation from a function's name to its result: it finds the backend
// that serves the name in the current build, and records how it went. It must not know how a backend
// runs functions or who asks.
package invoke

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// Backend serves one function. Its methods may be called from many goroutines at once; Close is
// called once, after the last Invoke has returned.
type Backend interface {
	Invoke(context.Context, weir.Invocation) (weir.Result, InstanceInfo, error)
	Limits() weir.Limits
	Close()
}

// InstanceInfo says what served an invocation, for the record.
type InstanceInfo struct {
	ID    string       // "" if nothing did
	Cold  bool         // it was started for this invocation
	Start record.Start // how, if it was
}

// Dispatcher gives invocations to the backends of the current build. It is safe for concurrent use.
type Dispatcher struct {
	recorder record.Recorder

	mu  sync.RWMutex
	set *set
	old sync.WaitGroup // sets that are being closed
}

// set is the backends of one build, and the invocations in flight on them.
type set struct {
	backends map[string]Backend
	inFlight sync.WaitGroup
}

// NewDispatcher makes a dispatcher without functions.
func NewDispatcher(r record.Recorder) *Dispatcher {
	return &Dispatcher{recorder: r, set: &set{}}
}

// Swap makes backends, by the functions' names, the current ones. Invocations in flight finish on
// the old ones, which are then closed; after that, after is called. Swap does not wait for any of it.
func (d *Dispatcher) Swap(backends map[string]Backend, after func()) {
	d.mu.Lock()
	old := d.set
	d.set = &set{backends: backends}
	d.mu.Unlock()
	d.old.Go(func() {
		old.inFlight.Wait()
		var closing sync.WaitGroup
		for _, b := range old.backends {
			closing.Go(b.Close)
		}
		closing.Wait()
		after()
	})
}

// Close takes all functions away and waits until every backend is closed.
func (d *Dispatcher) Close() {
	d.Swap(nil, func() {})
	d.old.Wait()
}

// acquire gives the backend of a name and its set, in which one more invocation is in flight.
func (d *Dispatcher) acquire(name string) (Backend, *set, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	b, ok := d.set.backends[name]
	if !ok {
		return nil, nil, notFound(name, d.set.backends)
	}
	d.set.inFlight.Add(1)
	return b, d.set, nil
}

func notFound(name string, backends map[string]Backend) error {
	e := &weir.Error{Code: weir.NotFound, Message: "there is no function " + name}
	names := slices.Sorted(maps.Keys(backends))
	for _, n := range names {
		if near(name, n) {
			e.Remedy = "did you mean " + n + "?"
		}
	}
	return e
}

// near tells whether two names differ by one typing mistake: one character more, less, other, or
// two swapped.
func near(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch ra, rb := a[i:], b[i:]; {
	case len(a) == len(b):
		return len(ra) > 0 && (ra[1:] == rb[1:] || len(ra) > 1 && ra[0] == rb[1] && ra[1] == rb[0] && ra[2:] == rb[2:])
	case len(a)+1 == len(b):
		return ra == rb[1:]
	}
	return false
}

// Lookup gives the limits of a function. The error is a weir.NotFound.
func (d *Dispatcher) Lookup(name string) (weir.Limits, error) {
	b, s, err := d.acquire(name)
	if err != nil {
		return weir.Limits{}, err
	}
	defer s.inFlight.Done()
	return b.Limits(), nil
}

// Invoke runs one invocation and records it; one whose answer is a stream, when the stream is closed. Errors
// are *weir.Error: NotFound, or what the backend says.
func (d *Dispatcher) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, error) {
	if inv.ID == "" {
		inv.ID = ulid.Make().String()
	}
	b, s, err := d.acquire(inv.Function)
	if err != nil {
		return weir.Result{}, err
	}
	start := time.Now()
	res, info, err := b.Invoke(ctx, inv)
	end := func(err error) {
		d.recorder.Invoked(outcome(inv, start, res, info, err))
		s.inFlight.Done()
	}
	if res.Stream == nil {
		end(err)
		return res, err
	}
	res.Stream.Body = &body{ReadCloser: res.Stream.Body, end: end}
	return res, nil
}

// body is a stream that tells how it ended when it is closed.
type body struct {
	io.ReadCloser
	mu    sync.Mutex
	ended error // of the last Read, nil as long as there may be more
	end   func(error)
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.mu.Lock()
		b.ended = err
		b.mu.Unlock()
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == nil {
		return err
	}
	switch b.ended {
	case io.EOF:
		b.end(nil)
	case nil:
		b.end(errCancelled)
	default:
		b.end(b.ended)
	}
	b.end = nil
	return err
}

// errCancelled says that the client did not wait for the end of the answer.
var errCancelled = errors.New("the client did not wait for the end of the answer")

func outcome(inv weir.Invocation, start time.Time, res weir.Result, info InstanceInfo, err error) record.Invocation {
	r := record.Invocation{
		Time: start, Function: inv.Function, Instance: info.ID, Request: inv.ID, Cold: info.Cold, Start: info.Start,
		Outcome: "ok", Millis: float64(time.Since(start).Microseconds()) / 1000,
	}
	var e *weir.Error
	thrown := res.Error
	if !errors.As(err, &e) {
		errors.As(err, &thrown) // in the middle of a stream
	}
	switch {
	case err == errCancelled:
		r.Outcome = "cancelled"
	case thrown != nil:
		r.Outcome = "error"
		r.Error = thrown.Type
	case err != nil:
		r.Outcome = string(weir.ErrorCode(err))
		r.Error = err.Error()
		if e != nil {
			r.Error = e.Told()
		}
	}
	return r
}
