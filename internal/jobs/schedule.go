package jobs

// Scheduled functions. Every server has a clock; a value for each function says which tick was run last, and whoever
// moves it on runs the function. So a tick is run once at most, also if the server that has it is lost: nothing is
// run again, and what was missed while no server ran is not made up for.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/cron"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	maxLate = 10 * time.Minute // after its time, a tick that found no room to run is left out
	maxSkew = time.Hour        // a tick that is further in the future was written by a server whose clock is wrong
)

// Published is what of a site is run by schedule.
type Published struct {
	Deploy string
	URL    string            // of the site, without a slash at the end: the functions see it in their events
	Crons  map[string]string // by function
}

// plans are the schedules of a site.
type plans struct {
	deploy, url string
	functions   map[string]*plan
}

type plan struct {
	text  string
	cron  cron.Schedule
	next  time.Time // zero: never
	pause time.Time // the store could not be reached; not before
}

// tick is what is kept of a function's runs by schedule.
type tick struct {
	Site     string    `json:"site"`
	Function string    `json:"function"`
	Tick     time.Time `json:"tick"` // the last one that was run
	Outcome  string    `json:"outcome,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// Schedule is what people see of a function's schedule.
type Schedule struct {
	Function string    `json:"function"`
	Cron     string    `json:"cron"`
	Next     time.Time `json:"next,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	Outcome  string    `json:"outcome,omitempty"` // of the last one; "" while it runs
	Error    string    `json:"error,omitempty"`
}

// SetSchedules says what of a site is run by schedule from now on, instead of what was before. Every server is told. An
// error is a weir.Invalid and names the schedules that can't be read; the others stand.
func (s *Service) SetSchedules(site string, p Published) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.plans[site]
	fresh := &plans{p.Deploy, p.URL, map[string]*plan{}}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.Crons)) {
		text := p.Crons[name]
		if old != nil && old.functions[name] != nil && old.functions[name].text == text {
			fresh.functions[name] = old.functions[name] // what is due now stays due
			continue
		}
		c, err := cron.Parse(text)
		if err != nil {
			errs = append(errs, &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the schedule %.100q of %s can't be", weir.Printable(text), name), Err: err,
				Remedy: `write five fields, MINUTE HOUR DAY MONTH WEEKDAY, as in "30 4 * * 1-5", or @hourly, @daily, @weekly, @monthly or @yearly`})
			continue
		}
		fresh.functions[name] = &plan{text: text, cron: c, next: c.Next(s.o.Clock.Now())}
	}
	s.plans[site] = fresh
	if len(fresh.functions) == 0 {
		delete(s.plans, site)
	}
	s.look()
	return errors.Join(errs...)
}

// Schedules gives the schedules of a site, by function.
func (s *Service) Schedules(ctx context.Context, site string) ([]Schedule, error) {
	entries, err := s.ticks.List(ctx, store.Token(site))
	if err != nil {
		return nil, err
	}
	last := map[string]tick{}
	for _, e := range entries {
		if t, err := readTick(e); err == nil {
			last[t.Function] = t
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Schedule{}
	if p := s.plans[site]; p != nil {
		for name, f := range p.functions {
			out = append(out, Schedule{name, f.text, f.cron.Next(s.o.Clock.Now()), last[name].Tick, last[name].Outcome, last[name].Error})
		}
	}
	slices.SortFunc(out, func(a, b Schedule) int { return cmp.Compare(a.Function, b.Function) })
	return out, nil
}

func readTick(e store.Entry) (tick, error) {
	var t tick
	err := json.Unmarshal(e.Value, &t)
	if err == nil && keyOf(t.Site, t.Function) != e.Key {
		err = errors.New("it belongs elsewhere")
	}
	return t, err
}

// RunNow runs a scheduled function as its schedule would, on this server, and waits for its end. It counts as no tick,
// and takes no place of one: whoever may run functions by hand keeps no schedule from being followed.
// Errors: weir.NotFound if it has no schedule, weir.Busy, and the Runner's.
func (s *Service) RunNow(ctx context.Context, site, function string) (Outcome, error) {
	s.mu.Lock()
	job, err := s.scheduled(site, function)
	if err == nil && (sum(s.byHand) >= max(1, s.o.Concurrency/2) || s.byHand[site] >= max(1, s.o.Concurrency/8)) {
		err = &weir.Error{Code: weir.Busy, Message: "as many scheduled functions are run by hand now as may", Remedy: "try again in a minute"}
	}
	if err == nil {
		s.byHand[site]++
	}
	s.mu.Unlock()
	if err != nil {
		return Outcome{}, err
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.byHand[site]--; s.byHand[site] == 0 {
			delete(s.byHand, site)
		}
	}()
	return s.within(context.WithoutCancel(ctx), job) // who asked may go
}

// scheduled gives the job of a scheduled function. The caller holds s.mu.
func (s *Service) scheduled(site, function string) (Job, error) {
	p := s.plans[site]
	if p == nil || p.functions[function] == nil {
		return Job{}, &weir.Error{Code: weir.NotFound, Message: "the published deploy has no scheduled function " + weir.Cut(weir.Printable(function), 100), Remedy: "see weir jobs schedules"}
	}
	id := ulid.Make().String()
	event, err := scheduleEvent(p.url, function, id, p.functions[function].cron.Next(s.o.Clock.Now()))
	return Job{ID: id, Site: site, Deploy: p.deploy, Function: function, Event: event, Limit: ScheduledLimit}, err
}

// takeTick takes room for a run of a site's scheduled function, if there is. The caller holds s.mu.
func (s *Service) takeTick(site string) bool {
	if sum(s.ticking) >= s.o.Concurrency || s.ticking[site] >= s.mostOfSite() {
		return false
	}
	s.ticking[site]++
	return true
}

func (s *Service) giveTick(site string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ticking[site]--; s.ticking[site] == 0 {
		delete(s.ticking, site)
	}
	s.look()
}

// within runs a job for as long as it may.
func (s *Service) within(ctx context.Context, job Job) (Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-in(s.o.Clock, job.Limit):
			cancel(errTooLong)
		case <-over:
		}
	}()
	out, err := s.o.Runner.Run(ctx, job)
	switch cause := context.Cause(ctx); {
	case cause == nil || err == nil && out.Outcome == OK:
		return out, err
	case errors.Is(cause, errTooLong):
		return Outcome{"timed_out", cause.Error()}, nil
	default:
		return Outcome{"cancelled", cause.Error()}, nil
	}
}

// startTicks starts what is due, and gives when there is more to start.
func (s *Service) startTicks(runs *runs, now time.Time) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for site, p := range s.plans {
		for name, f := range p.functions {
			at := f.next
			if f.pause.After(at) {
				at = f.pause
			}
			switch {
			case f.next.IsZero():
				continue
			case at.After(now):
				next = sooner(next, at)
				continue
			case now.Sub(f.next) > maxLate:
				s.o.Logger.Warn("a scheduled run is left out: its time is past", "site", site, "function", name, "tick", f.next)
				f.next = f.cron.Next(now)
				next = sooner(next, f.next)
				continue
			case !s.takeTick(site):
				continue // who ends makes Work look again
			}
			due := f.next
			for f.next = f.cron.Next(due); !f.next.IsZero() && !f.next.After(now); f.next = f.cron.Next(due) {
				due = f.next // of several that are due, the last
			}
			next = sooner(next, f.next)
			job, err := s.scheduled(site, name)
			runs.begin(func(ctx context.Context) {
				defer s.giveTick(site)
				if err == nil {
					err = s.runTick(ctx, job, due)
				}
				if err != nil {
					s.o.Logger.Warn("a scheduled run could not be begun; trying again", "site", site, "function", name, "err", err)
					s.again(f, due)
				}
			})
		}
	}
	return next
}

// again makes a tick due again that could not be begun.
func (s *Service) again(f *plan, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.next, f.pause = due, s.o.Clock.Now().Add(storePause)
}

// runTick runs a function if this server is the first to claim the tick. An error says that nobody has.
func (s *Service) runTick(ctx context.Context, job Job, due time.Time) error {
	t := tick{Site: job.Site, Function: job.Function, Tick: due}
	rev, err := s.claimTick(ctx, t)
	if err != nil || rev == 0 {
		return err
	}
	out, err := s.within(ctx, job)
	if err != nil {
		out = Outcome{string(weir.ErrorCode(err)), err.Error()}
	}
	t.Outcome, t.Error = out.Outcome, weir.Cut(weir.Printable(out.Error), maxError)
	if out.Outcome != OK {
		s.o.Logger.Warn("a scheduled function failed", "site", job.Site, "function", job.Function, "request", job.ID, "outcome", t.Outcome, "err", t.Error)
	}
	if value, err := json.Marshal(t); err == nil {
		// If it can't be written, or a later tick is there already, the outcome stands in the logs alone.
		s.ticks.Update(context.WithoutCancel(ctx), keyOf(t.Site, t.Function), value, rev)
	}
	return nil
}

// claimTick gives the revision at which the tick is ours, 0 if it isn't.
func (s *Service) claimTick(ctx context.Context, t tick) (uint64, error) {
	key := keyOf(t.Site, t.Function)
	value, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	for {
		var rev uint64
		e, err := s.ticks.Get(ctx, key)
		switch {
		case weir.ErrorCode(err) == weir.NotFound:
			rev, err = s.ticks.Create(ctx, key, value)
		case err == nil:
			last, bad := readTick(e)
			if bad == nil && !last.Tick.Before(t.Tick) && last.Tick.Sub(s.o.Clock.Now()) < maxSkew {
				return 0, nil
			}
			rev, err = s.ticks.Update(ctx, key, value, e.Revision)
		}
		if !errors.Is(err, store.ErrConflict) {
			return rev, err
		}
	}
}

// sweepTicks removes what is known of functions that have no schedule any more.
func (s *Service) sweepTicks(ctx context.Context) {
	entries, err := s.ticks.List(ctx, "")
	if err != nil {
		s.o.Logger.Warn("scheduled functions: the store can't be tidied", "err", err)
		return
	}
	for _, e := range entries {
		t, err := readTick(e)
		s.mu.Lock()
		p := s.plans[t.Site]
		stays := err != nil || p != nil && p.functions[t.Function] != nil || s.o.Clock.Now().Sub(e.Time) < 24*time.Hour
		s.mu.Unlock()
		if !stays {
			s.ticks.Delete(ctx, e.Key, e.Revision)
		}
	}
}
