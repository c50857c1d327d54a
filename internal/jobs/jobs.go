package jobs

// What is accepted, how it is kept, and what may be accepted. A job is one value in the store that every server
// watches; each step of its life is one compare-and-set, so that servers need not know of each other. Its event is a
// value of its own, because it may be large and never changes.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// The promises of Netlify for functions that nobody waits for.
const (
	MaxEvent        = 256 << 10        // bytes of an event
	BackgroundLimit = 15 * time.Minute // of one run
	ScheduledLimit  = 30 * time.Second // likewise
	MaxRuns         = 3                // of one job; after the first, one follows in a minute, and one two minutes after that
)

const (
	keepDead   = 30 * 24 * time.Hour // dead letters
	tryToStart = 24 * time.Hour      // before a job that finds no room to run is a dead letter
)

// pauses are the times between a run that failed and the next.
var pauses = [MaxRuns - 1]time.Duration{time.Minute, 2 * time.Minute}

// Job is one invocation that nobody waits for.
type Job struct {
	ID       string          // of the request, unique
	Site     string          // id
	Deploy   string          // id
	Function string          // name
	Event    json.RawMessage // of at most MaxEvent
	Limit    time.Duration   // how long the run may take; set for the Runner, whose ctx ends then
}

// Outcome is how a run ended.
type Outcome struct {
	Outcome string // in the words of record.Invocation; OK if all is well
	Error   string // what went wrong, for the author of the function
}

// OK is the Outcome of a run that ended well. A job with any other is run again.
const OK = "ok"

// Runner runs functions. It is called from several goroutines. An error says that the function was not started, and
// that it never can be if it is weir.NotFound; else it is tried again later. When ctx ends, the run must.
type Runner interface {
	Run(ctx context.Context, job Job) (Outcome, error)
}

// Clock is the time. What At gives has the time in it when a time has come.
type Clock interface {
	Now() time.Time
	At(time.Time) <-chan time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time                  { return time.Now() }
func (systemClock) At(t time.Time) <-chan time.Time { return time.After(time.Until(t)) }

// in works as time.After does.
func in(c Clock, d time.Duration) <-chan time.Time { return c.At(c.Now().Add(d)) }

// Options are what a Service needs. Store and Runner must be set.
type Options struct {
	Store       store.Store
	Runner      Runner
	Concurrency int           // runs of background functions on this server at a time, and as many of scheduled ones; 0: 16. A site gets half.
	PerSite     int           // jobs of one site that wait or run, and dead letters; 0: 1000
	SiteBytes   int64         // bytes of the events of each; 0: 64 MB
	Lease       time.Duration // for how long a server that runs a job may be silent before another takes it over; 0: 30 s
	Grace       time.Duration // for runs that are under way when the server stops; 0: 10 s
	Clock       Clock         // nil: the system's
	Logger      *slog.Logger  // nil: nowhere
}

// Service accepts jobs and, while Work does, runs them. It is safe for concurrent use.
type Service struct {
	o      Options
	server string // who this is, for this time of its life
	jobs   store.KV
	events store.KV
	ticks  store.KV
	stop   context.CancelFunc
	done   sync.WaitGroup
	wake   chan struct{}   // has one in it when Work should look again
	left   map[string]bool // events that had no job at the last sweep

	mu       sync.Mutex
	table    map[string]*row   // by key
	reserved map[string]usage  // by site, what is being accepted
	running  map[string]int    // by site, runs of background functions here
	ticking  map[string]int    // by site, runs of scheduled functions here
	byHand   map[string]int    // by site, runs of scheduled functions that somebody asked for
	plans    map[string]*plans // by site
}

// Open makes a Service and learns which jobs there are. Errors are the store's.
func Open(ctx context.Context, o Options) (*Service, error) {
	o.Concurrency, o.PerSite, o.SiteBytes = cmp.Or(o.Concurrency, 16), cmp.Or(o.PerSite, 1000), cmp.Or(o.SiteBytes, 64<<20)
	o.Lease, o.Grace = cmp.Or(o.Lease, 30*time.Second), cmp.Or(o.Grace, 10*time.Second)
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, server: ulid.Make().String(), wake: make(chan struct{}, 1), table: map[string]*row{}, reserved: map[string]usage{},
		running: map[string]int{}, ticking: map[string]int{}, byHand: map[string]int{}, plans: map[string]*plans{}}
	for name, kv := range map[string]*store.KV{"jobs": &s.jobs, "jobevents": &s.events, "jobticks": &s.ticks} {
		var err error
		if *kv, err = o.Store.KV(ctx, name); err != nil {
			return nil, err
		}
	}
	return s, s.watch(ctx)
}

// Close ends the watching. Work must have ended.
func (s *Service) Close() {
	s.stop()
	s.done.Wait()
}

// keyOf gives the key of a job, and of its event.
func keyOf(site, id string) string { return store.Token(site) + "." + store.Token(id) }

// Accept takes a job on. When it returns without an error, the job will be run, or be a dead letter, whatever happens
// to this server. A job whose ID was accepted before, and is not done yet, is not accepted twice. Errors: weir.Invalid,
// weir.TooLarge for its event, weir.Busy if too many of its site wait already.
func (s *Service) Accept(ctx context.Context, job Job) error {
	switch {
	case job.ID == "" || job.Site == "" || job.Function == "":
		return &weir.Error{Code: weir.Invalid, Message: "a job without an id, a site or a function"}
	case len(job.Event) > MaxEvent:
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the event for the background function %s has %d bytes; %d is the most",
			weir.Cut(weir.Printable(job.Function), 100), len(job.Event), MaxEvent), Remedy: "send a reference to the data instead of the data"}
	case !json.Valid(job.Event):
		return &weir.Error{Code: weir.Invalid, Message: "the event for the background function " + weir.Cut(weir.Printable(job.Function), 100) + " is no JSON"}
	}
	use := usage{1, int64(len(job.Event))}
	if err := s.reserve(job.Site, use); err != nil {
		return err
	}
	defer s.release(job.Site, use)
	key := keyOf(job.Site, job.ID)
	if _, err := s.events.Create(ctx, key, job.Event); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	now := s.o.Clock.Now()
	st := state{ID: job.ID, Site: job.Site, Deploy: job.Deploy, Function: job.Function, Size: len(job.Event), State: Waiting, Accepted: now, After: now}
	value, err := json.Marshal(st)
	if err != nil {
		return err
	}
	rev, err := s.jobs.Create(ctx, key, value)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	s.learn(key, st, rev)
	return nil
}

// The states of a job.
const (
	Waiting = "waiting"
	Running = "running"
	Dead    = "dead"
)

// state is a job in the store.
type state struct {
	ID       string    `json:"id"`
	Site     string    `json:"site"`
	Deploy   string    `json:"deploy"`
	Function string    `json:"function"`
	Size     int       `json:"size"` // of its event, in bytes
	State    string    `json:"state"`
	Accepted time.Time `json:"accepted"`
	Runs     int       `json:"runs"`             // that were begun
	After    time.Time `json:"after,omitzero"`   // Waiting: not before
	Server   string    `json:"server,omitempty"` // Running: where
	Error    string    `json:"error,omitempty"`  // how the last run ended
	Died     time.Time `json:"died,omitzero"`    // Dead: when
}

// readState reads a value of the store. What it can't read, perhaps because a later version of Weir wrote it, is left
// alone.
func readState(key string, value []byte) (state, error) {
	var st state
	if err := json.Unmarshal(value, &st); err != nil {
		return st, err
	}
	if keyOf(st.Site, st.ID) != key {
		return st, errors.New("it belongs elsewhere")
	}
	switch st.State {
	case Waiting, Running, Dead:
		return st, nil
	}
	return st, fmt.Errorf("its state is %q", weir.Cut(st.State, 20))
}

// Info is what people see of a job. Its event is not shown to anybody.
type Info struct {
	ID       string    `json:"id"`
	Deploy   string    `json:"deploy"`
	Function string    `json:"function"`
	State    string    `json:"state"`
	Accepted time.Time `json:"accepted"`
	Runs     int       `json:"runs"`            // that were begun
	Next     time.Time `json:"next,omitzero"`   // when the next one is, if it waits for one
	Error    string    `json:"error,omitempty"` // how the last one ended
	Size     int       `json:"size"`            // of its event, in bytes
	Died     time.Time `json:"died,omitzero"`   // when it became a dead letter
}
