package jobs

// What this server knows of all jobs: a copy of what is in the store, which may be behind. Whatever is done because of
// it is a compare-and-set, so that being behind costs an attempt and nothing else.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// row is a job as this server knows it.
type row struct {
	state
	revision uint64
	seen     time.Time // when this revision was first seen here; clocks of other servers don't matter
	mine     bool      // it is being worked on here
	pause    time.Time // the store could not be reached; not before
}

// usage is what jobs take.
type usage struct {
	jobs  int
	bytes int64
}

// watch learns what is there, and goes on learning until Close.
func (s *Service) watch(ctx context.Context) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	first := make(chan error, 1) // has one in it when all that is there is known, or can't be
	tell := func(err error) {
		select {
		case first <- err:
		default:
		}
	}
	s.done.Go(func() {
		for watching.Err() == nil {
			err := s.watchOnce(watching, func() { tell(nil) })
			tell(err)
			if watching.Err() != nil {
				return
			}
			s.o.Logger.Warn("background jobs: the store can't be watched; trying again", "err", err)
			select {
			case <-watching.Done():
			case <-in(s.o.Clock, time.Second):
			}
		}
	})
	var err error
	select {
	case err = <-first:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		stop()
	}
	return err
}

// watchOnce keeps the table until the watch ends. What was there before, and isn't any more, goes.
func (s *Service) watchOnce(ctx context.Context, current func()) error {
	there := map[string]bool{}
	return s.jobs.Watch(ctx, "", func(c store.Change) error {
		switch {
		case c.Current:
			s.keepOnly(there)
			current()
		case c.Deleted:
			delete(there, c.Key)
			s.unlearn(c.Key, c.Revision)
		default:
			there[c.Key] = true
			st, err := readState(c.Key, c.Value)
			if err != nil {
				s.o.Logger.Warn("background jobs: a job that can't be read is left alone", "key", c.Key, "err", err)
				return nil
			}
			s.learn(c.Key, st, c.Revision)
		}
		return nil
	})
}

// learn takes note of a job, unless something later of it is known.
func (s *Service) learn(key string, st state, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.table[key]
	if r == nil {
		r = &row{}
		s.table[key] = r
	}
	if revision > r.revision {
		r.state, r.revision, r.seen, r.pause = st, revision, s.o.Clock.Now(), time.Time{}
		s.look()
	}
}

func (s *Service) unlearn(key string, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.table[key]; r != nil && revision > r.revision {
		delete(s.table, key)
	}
}

func (s *Service) keepOnly(there map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.table, func(key string, r *row) bool { return !there[key] })
}

// look makes Work look for something to do.
func (s *Service) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reserve counts what is about to be accepted of a site, if there is room for it.
func (s *Service) reserve(site string, use usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.reserved[site]
	for _, r := range s.table {
		if r.Site == site && r.State != Dead {
			have.jobs, have.bytes = have.jobs+1, have.bytes+int64(r.Size)
		}
	}
	if have.jobs+use.jobs > s.o.PerSite || have.bytes+use.bytes > s.o.SiteBytes {
		return &weir.Error{Code: weir.Busy, Message: fmt.Sprintf("%d background runs of this site wait already, with %d bytes", have.jobs, have.bytes), Remedy: "try again later"}
	}
	kept := s.reserved[site]
	s.reserved[site] = usage{kept.jobs + use.jobs, kept.bytes + use.bytes}
	return nil
}

func (s *Service) release(site string, use usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := usage{s.reserved[site].jobs - use.jobs, s.reserved[site].bytes - use.bytes}
	if s.reserved[site] = kept; kept.jobs == 0 {
		delete(s.reserved, site)
	}
}

// List gives the jobs of a site that wait or run, the oldest first.
func (s *Service) List(site string) []Info {
	return s.infos(func(r *row) bool { return r.Site == site && r.State != Dead })
}

// DeadLetters gives the jobs of a site that are run no more, the oldest first.
func (s *Service) DeadLetters(site string) []Info {
	return s.infos(func(r *row) bool { return r.Site == site && r.State == Dead })
}

func (s *Service) infos(want func(*row) bool) []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Info
	for _, r := range s.table {
		if !want(r) {
			continue
		}
		i := Info{ID: r.ID, Deploy: r.Deploy, Function: r.Function, State: r.State, Accepted: r.Accepted, Runs: r.Runs, Error: r.Error, Size: r.Size, Died: r.Died}
		if r.State == Waiting {
			i.Next = r.After
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Info) int {
		if c := a.Accepted.Compare(b.Accepted); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Replay makes a dead letter wait again, for as many runs as a new job has. Errors: weir.NotFound, weir.Conflict,
// weir.Busy.
func (s *Service) Replay(ctx context.Context, site, id string) error {
	st, rev, err := s.dead(ctx, site, id)
	if err != nil {
		return err
	}
	use := usage{1, int64(st.Size)}
	if err := s.reserve(site, use); err != nil {
		return err
	}
	defer s.release(site, use)
	st.State, st.Runs, st.After, st.Died = Waiting, 0, s.o.Clock.Now(), time.Time{}
	_, err = s.change(ctx, st, rev)
	return err
}

// Drop removes a dead letter. Errors: weir.NotFound, weir.Conflict.
func (s *Service) Drop(ctx context.Context, site, id string) error {
	st, rev, err := s.dead(ctx, site, id)
	if err != nil {
		return err
	}
	return s.remove(ctx, st, rev)
}

// dead gives a dead letter as it is in the store.
func (s *Service) dead(ctx context.Context, site, id string) (state, uint64, error) {
	key := keyOf(site, id)
	e, err := s.jobs.Get(ctx, key)
	if weir.ErrorCode(err) == weir.NotFound || weir.ErrorCode(err) == weir.Invalid {
		return state{}, 0, &weir.Error{Code: weir.NotFound, Message: "there is no dead letter " + weir.Cut(weir.Printable(id), 100), Remedy: "see weir jobs dead"}
	}
	if err != nil {
		return state{}, 0, err
	}
	st, err := readState(key, e.Value)
	if err == nil && st.State != Dead {
		err = errors.New("it is " + st.State)
	}
	if err != nil {
		return state{}, 0, &weir.Error{Code: weir.Conflict, Message: weir.Cut(weir.Printable(id), 100) + " is no dead letter", Err: err}
	}
	return st, e.Revision, nil
}

// change is a step in the life of a job: a compare-and-set.
func (s *Service) change(ctx context.Context, st state, revision uint64) (uint64, error) {
	value, err := json.Marshal(st)
	if err != nil {
		return 0, err
	}
	key := keyOf(st.Site, st.ID)
	rev, err := s.jobs.Update(ctx, key, value, revision)
	if err != nil {
		return 0, err
	}
	s.learn(key, st, rev)
	return rev, nil
}

// remove is the last step: the job goes, and its event after it.
func (s *Service) remove(ctx context.Context, st state, revision uint64) error {
	key := keyOf(st.Site, st.ID)
	if err := s.jobs.Delete(ctx, key, revision); err != nil {
		return err
	}
	s.mu.Lock()
	if r := s.table[key]; r != nil && r.revision <= revision {
		delete(s.table, key)
	}
	s.mu.Unlock()
	return s.events.Delete(ctx, key, 0)
}
