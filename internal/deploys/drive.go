package deploys

// Whoever runs looks after the deploys that aren't at their end, also after those that another server has left.

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	lookTime     = 2 * time.Second  // how often is looked for deploys that aren't at their end
	idleTime     = 10 * time.Second // after which a deploy is believed to have been left by the server that was at it
	firstCollect = 5 * time.Minute  // after the start
	collectTime  = time.Hour        // how often deploys are removed
	collectPause = graceTime        // between two times, if somebody needs room: before, little would go
	uploadTime   = 24 * time.Hour   // in which a deploy has to be whole
	leftTime     = time.Minute      // a key without its deploy that is older was left
)

// Run does what is to be done until ctx ends: it stages deploys that are whole, publishes them, goes on with those that
// another server has left, and removes old ones.
func (s *Service) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for range s.o.Workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if !s.driveNext(ctx) {
					select {
					case <-ctx.Done():
					case <-s.work.come:
					}
				}
			}
		})
	}
	wg.Go(func() { s.collectNowAndThen(ctx) })
	look := time.NewTicker(lookTime)
	defer look.Stop()
	for ctx.Err() == nil {
		s.look(ctx)
		select {
		case <-ctx.Done():
		case <-look.C:
		}
	}
	wg.Wait()
}

// collectNowAndThen collects once an hour, and earlier if somebody needs room.
func (s *Service) collectNowAndThen(ctx context.Context) {
	last := time.Now().Add(-collectPause)
	for wait := firstCollect; ; wait = collectTime {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.collect:
			timer.Stop()
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(last.Add(collectPause))):
			}
		}
		if err := s.Collect(ctx); err != nil && ctx.Err() == nil {
			s.o.Logger.Warn("old deploys could not be removed", "error", weir.Printable(err.Error()))
		}
		last = time.Now()
	}
}

// wake has a worker do the next step of a deploy.
func (s *Service) wake(r deployRecord) { s.work.put(active{site: r.Site, id: r.ID}) }

func (s *Service) wakeIfWhole(ctx context.Context, r deployRecord) error {
	if r.Known == "" || r.State != weir.DeployPrepared && r.State != weir.DeployUploading {
		return nil
	}
	p, err := s.received(ctx, r)
	if errors.Is(err, errPast) {
		return nil
	}
	if err == nil && p.whole() {
		s.wake(r)
	}
	return err
}

// look wakes all deploys that aren't at their end.
func (s *Service) look(ctx context.Context) {
	keys, err := s.uploads.Keys(ctx, "active")
	if err != nil && ctx.Err() == nil {
		s.o.Logger.Warn("the deploys that are not at their end can't be listed", "error", err)
	}
	for _, key := range keys {
		parts := strings.Split(key, ".")
		s.work.put(active{site: parts[1], id: parts[2], found: true})
	}
}

// driveNext does what is next for the deploy whose turn it is, and tells whether there was one.
func (s *Service) driveNext(ctx context.Context) bool {
	a, ok := s.work.take()
	if ok {
		defer s.work.done(a)
		s.steps(ctx, a)
	}
	return ok
}

func (s *Service) steps(ctx context.Context, a active) {
	for {
		r, _, err := read[deployRecord](ctx, s.deploys, deployKey(a.site, a.id))
		var more bool
		if weir.ErrorCode(err) == weir.NotFound {
			err = s.dropLeft(ctx, a)
		} else if err == nil {
			inPassing := r.State == weir.DeployPreparing || r.State == weir.DeployReady || r.State == weir.DeployFailed
			if a.found && inPassing && s.now().Sub(r.Updated) < idleTime {
				return // a server is at it
			}
			more, err = s.step(ctx, r)
			a.found = a.found && !more
		}
		if err != nil && !errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
			s.o.Logger.Warn("a deploy can't go on", "site", a.site, "deploy", a.id, "error", weir.Printable(err.Error()))
		}
		if err != nil || !more {
			return
		}
	}
}

// dropLeft removes the key of a deploy that never came to be, or is gone.
func (s *Service) dropLeft(ctx context.Context, a active) error {
	e, err := s.uploads.Get(ctx, a.key())
	if err == nil && s.now().Sub(e.Time) > leftTime {
		return s.uploads.Delete(ctx, a.key(), e.Revision)
	}
	return nil
}

// step does the next step of a deploy, and tells whether there is another one to do now.
func (s *Service) step(ctx context.Context, r deployRecord) (more bool, err error) {
	switch r.State {
	case weir.DeployReady:
		return false, s.settle(ctx, r, Author{Name: r.Author, From: r.From})
	case weir.DeployFailed:
		return false, s.end(ctx, r)
	case weir.DeployUploaded, weir.DeployProcessing:
		return s.process(ctx, r)
	}
	if s.now().Sub(r.Created) > uploadTime {
		_, err := s.fail(ctx, r, "", "not all of it was uploaded within a day; deploy again")
		return false, err
	}
	switch r.State {
	case weir.DeployPreparing:
		_, err = s.prepare(ctx, r)
		return err == nil, err
	case weir.DeployPrepared, weir.DeployUploading:
		return s.complete(ctx, r)
	}
	return false, nil
}

// complete looks whether all of a deploy was received, by whichever server.
func (s *Service) complete(ctx context.Context, r deployRecord) (more bool, err error) {
	p, err := s.received(ctx, r)
	if err != nil {
		return false, err
	}
	if !p.whole() && !p.due(s.now()) {
		return false, nil
	}
	if p, err = s.readReceived(ctx, r, true); err != nil || !p.whole() {
		return false, err
	}
	r, err = s.updateDeploy(ctx, r, func(now *deployRecord) error {
		if now.Declared != r.Declared || now.Known != r.Known || now.State != weir.DeployPrepared && now.State != weir.DeployUploading {
			return errSame
		}
		now.State = weir.DeployUploaded
		return nil
	})
	return err == nil && r.State == weir.DeployUploaded, err
}
