package logs

// Lines as they come. Whoever adds one never waits: lines are held for a moment, function by function, and written
// together; what finds no room is counted, and the count is told where the lines would have stood.

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// Line is one line of a function's log.
type Line struct {
	Time     time.Time `json:"time"`
	Site     string    `json:"site"`
	Deploy   string    `json:"deploy,omitempty"`
	Function string    `json:"function"`
	Instance string    `json:"instance,omitempty"`
	Request  string    `json:"request,omitempty"` // "" if it isn't known
	Among    []string  `json:"among,omitempty"`   // of which requests it is one, if that is all that is known
	Stream   string    `json:"stream"`
	Text     string    `json:"text"` // what a stranger wrote: use weir.Printable before it reaches a terminal

	Decision   *record.Decision   `json:"decision,omitempty"`   // what Denied is about
	Invocation *record.Invocation `json:"invocation,omitempty"` // what Invoked is about
}

// The streams of a line, besides stdout and stderr.
const (
	Denied  = "denied"     // something was denied; Text says it
	Invoked = "invocation" // an invocation has ended; Text says how
	Dropped = "dropped"    // lines that would have stood here are lost; Text says how many
)

// Bounds, in bytes.
const (
	maxText     = 8 << 10   // of a line; what is longer is cut
	maxLine     = 12 << 10  // of a line as it is written
	maxBatch    = 8 << 10   // from which on lines are another message
	maxFunction = 256 << 10 // of lines of one function that are held
	maxSite     = 1 << 20   // of one site
	maxAll      = 64 << 20
)

// ofSite is of what part of the room for all a site may have no more, once half of it is taken.
const ofSite = 8

// every is how long a line is held at most while the store keeps up.
const every = 200 * time.Millisecond

// Options are what a Service needs. Store must be set.
type Options struct {
	Store       store.Store
	Age         time.Duration // of lines; 0: 7 days
	PerFunction int64         // messages that are kept of one function, each of one line or of several that came together; 0: 10,000
	Bytes       int64         // of all; 0: 1 GB
	Logger      *slog.Logger  // nil: nowhere
}

// Service keeps lines. It is a record.Recorder, too: of what is recorded, denials and invocations become lines. It is
// safe for concurrent use.
type Service struct {
	log    *slog.Logger
	stream store.Stream
	tell   *record.Teller
	cancel context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{} // has one in it when there is enough for a message

	writing sync.Mutex // held by who writes
	down    bool       // the store took nothing at the last attempt; guarded by writing

	mu     sync.Mutex
	held   map[source]*held
	bySite map[string]int // bytes that are held
	all    int
}

// source is whose lines they are.
type source struct{ site, function string }

// held are the lines of one function that are still to be written.
type held struct {
	messages []message
	bytes    int
	dropped  int // lines, since the last that was written
}

// message is lines that are written together.
type message struct {
	data  []byte // JSON, with line ends between them
	lines int
}

// add adds a line.
func (h *held) add(line []byte) {
	n := len(h.messages)
	if n == 0 || len(h.messages[n-1].data)+len(line) >= maxBatch {
		h.messages = append(h.messages, message{make([]byte, 0, maxBatch/4), 0})
		n++
	}
	m := &h.messages[n-1]
	if m.lines > 0 {
		m.data = append(m.data, '\n')
	}
	m.data = append(m.data, line...)
	m.lines++
	h.bytes += len(line)
}

// Open makes a Service, which must be closed. Errors are the store's.
func Open(ctx context.Context, o Options) (*Service, error) {
	o.Bytes = cmp.Or(o.Bytes, 1<<30)
	stream, err := o.Store.Stream(ctx, "logs", store.Bounds{Age: cmp.Or(o.Age, 7*24*time.Hour), PerSubject: cmp.Or(o.PerFunction, 10_000), Bytes: o.Bytes,
		PerOwner: o.Bytes / ofSite / maxBatch})
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{log: o.Logger, stream: stream, wake: make(chan struct{}, 1), held: map[source]*held{}, bySite: map[string]int{}}
	s.tell = record.NewTeller(s.denied)
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.done.Go(func() { s.write(ctx) })
	return s, nil
}

// Close writes what is held, as far as the store takes it.
func (s *Service) Close() {
	s.tell.Close()
	s.cancel()
	s.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.Flush(ctx)
}

// subjectOf gives the subject of a function's lines.
func subjectOf(site, function string) string { return store.Token(site) + "." + store.Token(function) }

// Add takes a line. It never blocks: a line for which there is no room is counted. A line without a site or a function
// is nobody's, and dropped.
func (s *Service) Add(l Line) {
	if l.Site == "" || l.Function == "" {
		return
	}
	l.Text = cut(l.Text)
	of := source{l.Site, l.Function}
	if !s.room(of) { // before anything is spent on it
		return
	}
	s.hold(of, encode(l))
}

// encode gives a line as it is written, nil if it can't be. The JSON of a hostile text is six times as long: it is cut
// until it fits, so that messages are as large as those think who count them.
func encode(l Line) []byte {
	for {
		text, err := json.Marshal(l)
		switch {
		case err != nil:
			return nil
		case len(text) <= maxLine:
			return text
		case len(l.Text) > maxText/16:
			l.Text = weir.Cut(l.Text, len(l.Text)/2) + "…"
		case l.Decision != nil:
			l.Decision = nil
		default:
			return nil
		}
	}
}

// cut bounds a text.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return weir.Cut(text, maxText) + "…"
}

// room tells whether there is room for a line, and counts it if there isn't.
func (s *Service) room(of source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fits(of, s.heldOf(of))
}

// fits is room for who holds s.mu.
func (s *Service) fits(of source, h *held) bool {
	if h.bytes < maxFunction && s.bySite[of.site] < maxSite && s.all < maxAll {
		return true
	}
	h.dropped++
	return false
}

// hold takes a line as it is written, if there is room for it; nil: it could not be.
func (s *Service) hold(of source, line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heldOf(of)
	switch {
	case line == nil:
		h.dropped++
		return
	case !s.fits(of, h):
		return
	}
	h.add(line)
	s.bySite[of.site] += len(line)
	s.all += len(line)
	if h.bytes >= maxBatch {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// heldOf gives what is held of a function. The caller holds s.mu.
func (s *Service) heldOf(of source) *held {
	h := s.held[of]
	if h == nil {
		h = &held{}
		s.held[of] = h
	}
	return h
}

// write writes what is held, again and again, until ctx ends.
func (s *Service) write(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
		}
		s.Flush(ctx)
	}
}

// Flush writes what has been added so far. What the store does not take is counted as dropped.
func (s *Service) Flush(ctx context.Context) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	batch := s.held
	s.held, s.bySite, s.all = map[source]*held{}, map[string]int{}, 0
	s.mu.Unlock()
	for of, h := range batch {
		lost, err := s.append(ctx, of, h)
		if err != nil && !s.down {
			s.log.Warn("lines of functions are lost until the store takes them again", "site", of.site, "function", of.function, "err", err)
		}
		s.down = err != nil
		if weir.ErrorCode(err) == weir.Invalid {
			continue // a name that can't be kept will never be
		}
		s.mu.Lock()
		if lost > 0 {
			s.heldOf(of).dropped += lost
		}
		s.mu.Unlock()
	}
}

// append writes the lines of a function, and gives how many are lost if that fails.
func (s *Service) append(ctx context.Context, of source, h *held) (lost int, err error) {
	if h.dropped > 0 {
		told, err := json.Marshal(Line{Time: time.Now().UTC(), Site: of.site, Function: of.function, Stream: Dropped,
			Text: fmt.Sprintf("%d lines were dropped: more came than can be kept", h.dropped)})
		if err != nil {
			return h.lines() + h.dropped, err
		}
		h.add(told)
	}
	subject := subjectOf(of.site, of.function)
	for len(h.messages) > 0 {
		if _, err := s.stream.Append(ctx, subject, "", h.messages[0].data); err != nil {
			return h.lines() + max(0, h.dropped-1), err
		}
		h.messages = h.messages[1:]
	}
	return 0, nil
}

// lines counts the lines.
func (h *held) lines() (n int) {
	for _, m := range h.messages {
		n += m.lines
	}
	return n
}
