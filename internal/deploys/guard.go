package deploys

// What is about to be referred to must not be removed. A sweep reads all references, then removes the blobs that none
// names; so one that is found to be there might be named too late. Two rules close that:
//
//   - A sweep says that it runs, and raises the epoch, before it reads references.
//   - Who refers to a blob writes the reference first and then looks whether a sweep has begun meanwhile. If not, any
//     later one sees the reference. If so, it waits for its end and looks whether the blobs are still there.
//
// So nobody refers to anything while a sweep runs, and sweeps are short.

import (
	"context"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// sweepState is what servers know of each other's sweeps.
type sweepState struct {
	Epoch    uint64    `json:"epoch"` // how many sweeps have begun
	Sweeping bool      `json:"sweeping"`
	Until    time.Time `json:"until,omitzero"` // no sweep removes anything later than this
}

const (
	sweepTime  = 10 * time.Second      // of one sweep, at most
	clockSkew  = 5 * time.Second       // between the clocks of two servers, at most
	sweepCheck = 50 * time.Millisecond // how often a waiting server looks
)

func (s *Service) sweeps(ctx context.Context) (sweepState, uint64, error) {
	st, revision, err := read[sweepState](ctx, s.gc, "state")
	if weir.ErrorCode(err) == weir.NotFound {
		return st, 0, nil
	}
	return st, revision, err
}

// running tells whether a sweep may still remove something. One whose server has ended doesn't.
func (s *Service) running(st sweepState) bool {
	return st.Sweeping && s.now().Before(st.Until.Add(clockSkew))
}

// quiet waits until no sweep runs, and gives the epoch. A sweep that lasts longer than any may is one of a server that
// ended, and whose clock was ahead.
func (s *Service) quiet(ctx context.Context) (uint64, error) {
	var last sweepState
	var since time.Time
	for {
		st, _, err := s.sweeps(ctx)
		if st != last {
			last, since = st, time.Now()
		}
		if err != nil || !s.running(st) || time.Since(since) > s.quietTime {
			return st.Epoch, err
		}
		s.hook("waiting")
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(sweepCheck):
		}
	}
}

// guarded runs refer, which writes references to blobs and gives the blobs, until no sweep can have removed any of
// them.
func (s *Service) guarded(ctx context.Context, refer func() ([]string, error)) error {
	for {
		before, err := s.quiet(ctx)
		if err != nil {
			return err
		}
		digests, err := refer()
		if err != nil {
			return err
		}
		s.hook("referred")
		st, _, err := s.sweeps(ctx)
		if err != nil || st.Epoch == before {
			return err
		}
		if _, err := s.quiet(ctx); err != nil {
			return err
		}
		if there, err := s.haveAll(ctx, digests); err != nil || there {
			return err
		}
	}
}

func (s *Service) haveAll(ctx context.Context, digests []string) (bool, error) {
	for _, d := range digests {
		_, err := s.blobs.Stat(ctx, d)
		if weir.ErrorCode(err) == weir.NotFound {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
