package deploys

// Blobs that nothing refers to are removed. See guard.go for why none is removed that somebody is about to need.

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// graceTime keeps blobs that were just written from being looked at: who wrote them refers to them at once.
const graceTime = 10 * time.Minute

// pauseTime is between two sweeps of one server.
const pauseTime = time.Second

// marks are the blobs that are referred to.
type marks struct {
	blobs  map[string]bool
	read   map[string]bool  // documents whose references are marked, by site and digest
	bySite map[string]int64 // bytes that sites refer to, each content once

	site string // whose deploys are being marked
	own  map[string]bool
}

// of says whose deploys come next.
func (m *marks) of(site string) {
	if site != m.site {
		m.site, m.own = site, map[string]bool{}
	}
}

// add marks a blob, and counts it for the site that refers to it.
func (m *marks) add(digest string, size int64) {
	m.blobs[digest] = true
	if !m.own[digest] {
		m.own[digest] = true
		m.bySite[m.site] += size
	}
}

// sweep removes the blobs that nothing refers to. Most of the work is done before anybody has to wait for it.
func (s *Service) sweep(ctx context.Context) error {
	m := &marks{blobs: map[string]bool{}, read: map[string]bool{}, bySite: map[string]int64{}}
	counted := s.counting()
	if err := s.mark(ctx, m); err != nil {
		return err
	}
	counted(m.bySite)
	var idle []store.Blob
	before := s.now().Add(-s.grace)
	err := s.blobs.List(ctx, func(b store.Blob) error {
		if !m.blobs[b.SHA256] && !b.Time.After(before) {
			idle = append(idle, b)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for {
		if idle, err = s.sweepOnce(ctx, m, idle); err != nil || len(idle) == 0 {
			return err
		}
		select { // so that those who wait come to something
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pauseTime):
		}
	}
}

// sweepOnce removes as many of the idle blobs as it has time for, unless they are referred to by now, and gives the
// rest. If another server sweeps, there is no rest.
func (s *Service) sweepOnce(ctx context.Context, m *marks, idle []store.Blob) (rest []store.Blob, err error) {
	if len(idle) == 0 {
		return nil, nil
	}
	began, revision, err := s.sweeps(ctx)
	if err != nil || s.running(began) && began.Until.Sub(s.now()) < time.Minute { // else a clock was ahead
		return nil, err
	}
	st := sweepState{Epoch: began.Epoch + 1, Sweeping: true, Until: s.now().Add(sweepTime)}
	if revision == 0 {
		revision, err = s.gc.Create(ctx, "state", encode(st))
	} else {
		revision, err = s.gc.Update(ctx, "state", encode(st), revision)
	}
	if errors.Is(err, store.ErrConflict) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		st.Sweeping = false
		_, endErr := s.gc.Update(context.WithoutCancel(ctx), "state", encode(st), revision)
		if endErr != nil && !errors.Is(endErr, store.ErrConflict) {
			err = errors.Join(err, endErr)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	if err := s.mark(ctx, m); err != nil {
		return nil, err
	}
	s.hook("marked")
	for i, b := range idle {
		if !s.now().Before(st.Until) {
			return idle[i:], nil
		}
		if m.blobs[b.SHA256] {
			continue
		}
		if err := s.blobs.Delete(ctx, b); err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, err
		}
	}
	return nil, nil
}

// mark adds all that is referred to now. What was received is read before the deploys: it becomes a part of one before
// it is forgotten.
func (s *Service) mark(ctx context.Context, m *marks) error {
	entries, err := s.uploads.List(ctx, "received")
	if err != nil {
		return err
	}
	of := map[string][]received{} // by deploy
	for _, e := range entries {
		var got received
		if err := decode(e.Value, &got); err != nil {
			return err
		}
		m.blobs[got.SHA256] = true
		id := strings.Split(e.Key, ".")[1]
		of[id] = append(of[id], got)
	}
	entries, err = s.deploys.List(ctx, "deploy") // in the order of their sites
	if err != nil {
		return err
	}
	for _, e := range entries {
		var r deployRecord
		if err := decode(e.Value, &r); err != nil {
			return err
		}
		m.of(r.Site)
		for _, got := range of[r.ID] {
			m.add(got.SHA256, got.Size)
		}
		if err := s.markDeploy(ctx, m, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) markDeploy(ctx context.Context, m *marks, r deployRecord) error {
	for _, digest := range []string{r.Declared, r.Known, r.Manifest, r.Outline, r.Policies} {
		if digest == "" || m.blobs[digest] {
			continue
		}
		b, err := s.blobs.Stat(ctx, digest)
		if err != nil && weir.ErrorCode(err) != weir.NotFound {
			return err
		}
		m.add(digest, b.Size)
	}
	for _, digest := range []string{r.Known, r.Manifest} {
		seen := m.site + " " + digest
		if digest == "" || m.read[seen] {
			continue
		}
		var document struct { // what known and weir.Manifest have in common
			Files     map[string]weir.DeployFile     `json:"files"`
			Functions map[string]weir.DeployFunction `json:"functions"`
		}
		if err := s.readDocument(ctx, digest, &document); err != nil {
			now, readErr := s.readDeploy(ctx, r.ID)
			if weir.ErrorCode(readErr) == weir.NotFound || readErr == nil && now.Known != digest && now.Manifest != digest {
				continue // it was needed no longer, and was removed
			}
			return err // what it refers to can't be known, so nothing is removed
		}
		for _, f := range document.Files {
			m.add(f.SHA256, f.Size)
		}
		for _, f := range document.Functions {
			m.add(f.SHA256, f.Size)
		}
		m.read[seen] = true
	}
	return nil
}
