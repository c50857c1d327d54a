package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/store/natsstore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedDir); dir != "" {
		fmt.Fprintln(os.Stderr, workUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// clock is one that tests move.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[chan time.Time]time.Time
}

func newClock(now time.Time) *clock { return &clock{now: now, timers: map[chan time.Time]time.Time{}} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) At(t time.Time) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan time.Time, 1)
	c.timers[ch] = t
	c.fire()
	return ch
}

// move moves the clock, backwards too.
func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.fire()
}

// moveWhen moves the clock when something waits for just that.
func (c *clock) moveWhen(t *testing.T, d time.Duration) {
	t.Helper()
	until(t, "somebody who waits "+d.String(), func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, at := range c.timers {
			if at.Equal(c.now.Add(d)) {
				return true
			}
		}
		return false
	})
	c.move(d)
}

func (c *clock) fire() {
	for ch, at := range c.timers {
		if !at.After(c.now) {
			ch <- c.now
			delete(c.timers, ch)
		}
	}
}

// call is a run under way, which the test ends.
type call struct {
	job Job
	ctx context.Context
	end chan result
}

type result struct {
	out Outcome
	err error
}

// runner hands runs to the test. With ends, they end by themselves.
type runner struct {
	calls chan call
	ends  func(Job) (Outcome, error)
}

func newRunner() *runner { return &runner{calls: make(chan call, 1000)} }

func (r *runner) Run(ctx context.Context, job Job) (Outcome, error) {
	c := call{job, ctx, make(chan result, 1)}
	r.calls <- c
	if r.ends != nil {
		return r.ends(job)
	}
	select {
	case e := <-c.end:
		return e.out, e.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

func (r *runner) next(t *testing.T) call { t.Helper(); return next(t, r.calls) }

func (c call) ends(outcome, text string) { c.end <- result{Outcome{outcome, text}, nil} }

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// none fails if there is something.
func (r *runner) none(t *testing.T) {
	t.Helper()
	select {
	case c := <-r.calls:
		t.Errorf("an unexpected run of %s", c.job.ID)
	default:
	}
}

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := natsstore.Open(t.Context(), natsstore.Options{Dir: t.TempDir()})
	ok(t, err)
	t.Cleanup(s.Close)
	return s
}

// serve opens a Service that works until the test is over, or stop is called.
func serve(t *testing.T, o Options) (s *Service, stop func()) {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Open(t.Context(), o)
	ok(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	done := make(chan struct{})
	go func() { s.Work(ctx); close(done) }()
	stop = func() {
		once.Do(func() {
			cancel()
			<-done
			s.Close()
		})
	}
	t.Cleanup(func() {
		if c, fake := o.Clock.(*clock); fake {
			go func() {
				for range 100 { // nobody waits for what the test left running
					c.move(time.Second)
					time.Sleep(time.Millisecond)
				}
			}()
		}
		stop()
	})
	return s, stop
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func job(site, id string) Job {
	return Job{ID: id, Site: site, Deploy: "d1", Function: "fn", Event: json.RawMessage(`{"body":"of ` + id + `"}`)}
}

// until waits for what comes by itself.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
