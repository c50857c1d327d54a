package jobs

// Running what was accepted. A run is counted by the same compare-and-set that makes it this server's, before it
// begins: whatever happens to the server then, there are never more runs than promised, and what was not settled
// is taken over by another, or by this one when it is back.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	sweepEvery  = time.Hour
	lookEvery   = time.Minute      // at least, because a clock may be set, and a machine sleep
	storePause  = 5 * time.Second  // before the store is asked again that could not be reached
	roomPause   = 30 * time.Second // before a job is tried again for which there was no room
	settleTries = 5                // to write down how a run ended
	maxError    = 1000             // bytes of an error that are kept
)

// The ends of a run that are not its own.
var (
	errStopping = errors.New("the server stopped during the run")
	errLost     = errors.New("another server has taken the job over")
	errTooLong  = errors.New("the run took longer than it may")
)

// Work runs jobs and schedules until ctx ends. Then it begins no more, and waits for what is under way: what has not
// ended when Options.Grace is over is ended and given back. It is called once.
func (s *Service) Work(ctx context.Context) {
	runs := newRuns(s.o.Clock)
	sweep := s.o.Clock.Now()
	last := sweep.Round(0) // by the clock on the wall, which may be set
	for ctx.Err() == nil {
		now := s.o.Clock.Now().Round(0)
		if now.Before(last) {
			s.wentBack(now)
			sweep = now.Add(sweepEvery)
		}
		last = now
		if !now.Before(sweep) {
			s.sweep(ctx)
			sweep = now.Add(sweepEvery)
		}
		next := sooner(now.Add(lookEvery), sooner(s.startJobs(runs, now), s.startTicks(runs, now)))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-s.o.Clock.At(next):
		}
	}
	runs.end(s.o.Grace)
}

// sooner gives the first of two times. Zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// startJobs starts what can be, and gives when there may be more to start.
func (s *Service) startJobs(runs *runs, now time.Time) (next time.Time) {
	for {
		picked, next := s.pick(now)
		if picked == nil {
			return next
		}
		runs.begin(func(ctx context.Context) { s.work(ctx, *picked) })
	}
}

// pick chooses a job to run and makes it ours here, or gives when there may be one. The site with the fewest runs goes
// first, and of it the job that waits longest: so a site that floods the table delays itself. What it gives is the job
// as it was chosen: if it is another's by the time it is claimed, the claim must fail.
func (s *Service) pick(now time.Time) (picked *row, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sum(s.running) >= s.o.Concurrency {
		return nil, time.Time{} // who ends makes Work look again
	}
	var best *row
	for _, r := range s.table {
		due, ever := s.due(r)
		if !ever || s.running[r.Site] >= s.mostOfSite() {
			continue
		}
		if due.After(now) {
			next = sooner(next, due)
			continue
		}
		if best == nil || s.running[r.Site] < s.running[best.Site] || s.running[r.Site] == s.running[best.Site] && r.Accepted.Before(best.Accepted) {
			best = r
		}
	}
	if best == nil {
		return nil, next
	}
	best.mine = true
	s.running[best.Site]++
	chosen := *best
	return &chosen, next
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// mostOfSite is how many runs a site may have here at a time.
func (s *Service) mostOfSite() int { return (s.o.Concurrency + 1) / 2 }

// due says from when on a job may be begun here, if ever. The caller holds s.mu.
func (s *Service) due(r *row) (from time.Time, ever bool) {
	if r.mine || r.State == Dead {
		return from, false
	}
	from = r.After
	if latest := r.seen.Add(slices.Max(pauses[:])); from.After(latest) { // a clock was wrong
		from = latest
	}
	if r.State == Running { // its server has been silent
		from = r.seen.Add(s.o.Lease)
	}
	if r.pause.After(from) {
		from = r.pause
	}
	return from, true
}

// wentBack takes note that the clock was set back: what was to come by the time that it showed before would come late.
func (s *Service) wentBack(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.table {
		if r.seen.After(now) {
			r.seen = now
		}
		r.pause = time.Time{}
	}
	for _, p := range s.plans {
		for _, f := range p.functions {
			f.next, f.pause = f.cron.Next(now), time.Time{}
		}
	}
}

// work runs a job that was picked, and makes it nobody's again.
func (s *Service) work(ctx context.Context, picked row) {
	key := keyOf(picked.Site, picked.ID)
	err := s.attempt(ctx, picked.state, picked.revision)
	gone := false
	if errors.Is(err, store.ErrConflict) { // the watch tells how it came about, unless it did before the job was learned
		_, getErr := s.jobs.Get(context.WithoutCancel(ctx), key)
		gone = weir.ErrorCode(getErr) == weir.NotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[picked.Site]--; s.running[picked.Site] == 0 {
		delete(s.running, picked.Site)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		s.o.Logger.Warn("background jobs: the store can't be reached; trying again", "err", err)
	}
	if r := s.table[key]; r != nil {
		r.mine = false
		if err != nil {
			r.pause = s.o.Clock.Now().Add(storePause)
		}
		if gone {
			delete(s.table, key)
		}
	}
	s.look()
}

// attempt claims a job, runs it and settles what comes of it. Errors are those of the store.
func (s *Service) attempt(ctx context.Context, st state, rev uint64) error {
	if st.Runs >= MaxRuns { // the server that had the last run is gone
		st.Error = "the server that ran it was lost"
		return s.settle(ctx, s.bury(st), rev)
	}
	st.State, st.Server, st.After = Running, s.server, time.Time{}
	st.Runs++
	rev, err := s.change(ctx, st, rev)
	if err != nil {
		return err
	}
	event, err := s.events.Get(ctx, keyOf(st.Site, st.ID))
	if err != nil && weir.ErrorCode(err) != weir.NotFound {
		st.Runs-- // not begun
		return s.settle(ctx, wait(st, s.o.Clock.Now().Add(storePause), "the store can't be reached"), rev)
	}
	if err != nil {
		st.Error = "its event is lost"
		return s.settle(ctx, s.bury(st), rev)
	}
	job := Job{ID: st.ID, Site: st.Site, Deploy: st.Deploy, Function: st.Function, Event: event.Value, Limit: BackgroundLimit}
	out, rev, err := s.run(ctx, job, st, rev)
	return s.settle(ctx, s.after(st, out, err), rev)
}

// after gives what a job is after a run; the state "" if it is done.
func (s *Service) after(st state, out Outcome, err error) state {
	now := s.o.Clock.Now()
	switch {
	case errors.Is(err, errLost):
		return st // another's
	case err == nil && out.Outcome == OK:
		st.State = ""
		return st
	case err == nil || errors.Is(err, errTooLong) || errors.Is(err, errStopping):
		told, pause := out.Outcome+": "+out.Error, time.Duration(0)
		if err != nil {
			told = err.Error()
		}
		st.Error = told
		if st.Runs == MaxRuns {
			return s.bury(st)
		}
		if !errors.Is(err, errStopping) {
			pause = pauses[st.Runs-1]
		}
		return wait(st, now.Add(pause), told)
	case weir.ErrorCode(err) != weir.NotFound && now.Sub(st.Accepted) < tryToStart:
		st.Runs-- // it was not begun
		return wait(st, now.Add(roomPause), err.Error())
	}
	st.Runs--
	st.Error = err.Error()
	return s.bury(st)
}

func wait(st state, after time.Time, why string) state {
	st.State, st.After, st.Server, st.Error = Waiting, after, "", why
	return st
}

func (s *Service) bury(st state) state {
	st.State, st.Server, st.Died = Dead, "", s.o.Clock.Now()
	return st
}

// settle writes down what became of a run. If the store can't be reached for long, the job is taken for one whose server
// was lost.
func (s *Service) settle(ctx context.Context, st state, rev uint64) error {
	ctx = context.WithoutCancel(ctx)
	if st.State == Running {
		return nil // another's
	}
	st.Error = weir.Cut(weir.Printable(st.Error), maxError)
	if st.State == Dead {
		s.o.Logger.Warn("a background function failed for good", "site", st.Site, "function", st.Function, "request", st.ID, "runs", st.Runs, "err", st.Error)
	}
	for try := 1; ; try++ {
		var err error
		if st.State == "" {
			err = s.remove(ctx, st, rev)
		} else {
			_, err = s.change(ctx, st, rev)
		}
		if err == nil && st.State == Dead {
			s.trim(ctx, st.Site)
		}
		if err == nil || errors.Is(err, store.ErrConflict) || try == settleTries {
			return err
		}
		<-in(s.o.Clock, time.Second)
	}
}

// run runs a job and says meanwhile that it is still ours, with which the revision goes on. The error says why the run was
// ended, or not begun.
func (s *Service) run(ctx context.Context, job Job, st state, rev uint64) (out Outcome, last uint64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type end struct {
		out Outcome
		err error
	}
	ended := make(chan end, 1)
	go func() {
		out, err := s.o.Runner.Run(ctx, job)
		ended <- end{out, err}
	}()
	tooLong := in(s.o.Clock, job.Limit)
	heard := s.o.Clock.Now()
	for {
		select {
		case e := <-ended:
			if cause := context.Cause(ctx); cause != nil && (e.err != nil || e.out.Outcome != OK) {
				return e.out, rev, cause
			}
			return e.out, rev, e.err
		case <-tooLong:
			cancel(fmt.Errorf("%w: %v", errTooLong, job.Limit))
		case <-in(s.o.Clock, s.o.Lease/3):
			next, err := s.renew(ctx, st, rev)
			switch {
			case err == nil:
				rev, heard = next, s.o.Clock.Now()
			case errors.Is(err, store.ErrConflict) || s.o.Clock.Now().Sub(heard) > s.o.Lease*2/3:
				cancel(errLost)
			}
		}
	}
}

// renew says that a job is still ours. A renewal that arrived though its answer didn't is no conflict.
func (s *Service) renew(ctx context.Context, st state, rev uint64) (uint64, error) {
	ctx = context.WithoutCancel(ctx) // it is ours until the run has ended
	next, err := s.change(ctx, st, rev)
	if !errors.Is(err, store.ErrConflict) {
		return next, err
	}
	e, getErr := s.jobs.Get(ctx, keyOf(st.Site, st.ID))
	if getErr != nil {
		return 0, err
	}
	if now, readErr := readState(e.Key, e.Value); readErr == nil && now.Server == s.server && now.Runs == st.Runs {
		return e.Revision, nil
	}
	return 0, err
}

// sweep removes dead letters that are too old, and what is left of steps that were cut short.
func (s *Service) sweep(ctx context.Context) {
	s.trim(ctx, "")
	keys, err := s.events.Keys(ctx, "")
	if err != nil {
		s.o.Logger.Warn("background jobs: the store can't be tidied", "err", err)
		return
	}
	left := map[string]bool{}
	for _, key := range keys {
		if s.isOrphan(ctx, key) {
			left[key] = true
		}
	}
	for key := range left {
		if e, err := s.events.Get(ctx, key); err == nil && s.left[key] && s.o.Clock.Now().Sub(e.Time) > time.Hour {
			s.events.Delete(ctx, key, e.Revision)
		}
	}
	s.left = left
	s.sweepTicks(ctx)
}

// isOrphan tells whether an event has no job. One may be about to come: that takes no longer than from one sweep to the
// next, while clocks may differ by any time.
func (s *Service) isOrphan(ctx context.Context, key string) bool {
	s.mu.Lock()
	_, known := s.table[key]
	s.mu.Unlock()
	if known {
		return false
	}
	_, err := s.jobs.Get(ctx, key)
	return weir.ErrorCode(err) == weir.NotFound
}

// trim removes dead letters of a site ("": of all) that are too old or too many, the oldest first.
func (s *Service) trim(ctx context.Context, site string) {
	for _, dead := range s.deadBySite(site) {
		keep := usage{}
		for _, r := range slices.Backward(dead) { // the latest first
			keep.jobs, keep.bytes = keep.jobs+1, keep.bytes+int64(r.Size)
			if keep.jobs <= s.o.PerSite && keep.bytes <= s.o.SiteBytes && s.o.Clock.Now().Sub(r.Died) <= keepDead {
				continue
			}
			if err := s.remove(ctx, r.state, r.revision); err != nil && !errors.Is(err, store.ErrConflict) {
				s.o.Logger.Warn("a dead letter can't be removed", "site", r.Site, "err", err)
				return
			}
		}
	}
}

// deadBySite gives the dead letters of a site ("": of all), the oldest first.
func (s *Service) deadBySite(site string) map[string][]row {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]row{}
	for _, r := range s.table {
		if r.State == Dead && (site == "" || r.Site == site) {
			out[r.Site] = append(out[r.Site], *r)
		}
	}
	for _, rows := range out {
		slices.SortFunc(rows, func(a, b row) int { return a.Died.Compare(b.Died) })
	}
	return out
}
