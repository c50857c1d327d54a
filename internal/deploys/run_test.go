package deploys

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// run has a server do its work until it is stopped.
func run(t *testing.T, s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { s.Run(ctx) })
	stop = func() {
		cancel()
		done.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// waitFor waits until a deploy is in a state, as a client would.
func waitFor(t *testing.T, s *Service, id string, want weir.DeployState) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := errors.New("found")
	err := s.deploys.Watch(ctx, "deploy", func(c store.Change) error {
		var d weir.Deploy
		if !c.Current && !c.Deleted && decode(c.Value, &d) == nil && d.ID == id && d.State == want {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Fatalf("%v: it is %s", err, state(t, s, id).State)
	}
}

// TestAServerIsStopped in the middle of a deploy: another one ends it.
func TestAServerIsStopped(t *testing.T) {
	st, f := newStore(t), &fake{}
	a, b := newServer(t, st, f, Options{}), newServer(t, st, f, Options{})
	site := newSite(t, a)
	staging := make(chan bool)
	f.stage = func(ctx context.Context, in StageInput) (StageOutput, error) {
		staging <- true
		<-ctx.Done()
		return StageOutput{}, ctx.Err()
	}
	stop := run(t, a)
	id, m := site1.begin(t, a, dev, site.ID, BeginOptions{})
	site1.upload(t, dev, id, m, a)
	<-staging
	stop()
	if d := state(t, a, id); d.State != weir.DeployProcessing {
		t.Fatalf("got %+v", d)
	}
	f.stage = nil
	f.advance(retryTime + time.Second)
	run(t, b)
	waitFor(t, b, id, weir.DeployReady)
	quick := page(1)
	id, m = quick.begin(t, b, dev, site.ID, BeginOptions{})
	quick.upload(t, dev, id, m, b)
	waitFor(t, b, id, weir.DeployReady)
}

// TestCancelledWhileItIsStaged: it stays cancelled.
func TestCancelledWhileItIsStaged(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{})
	site := newSite(t, s)
	var id string
	f.stage = func(ctx context.Context, in StageInput) (StageOutput, error) {
		if _, err := s.Cancel(ctx, dev, id); err != nil {
			t.Error(err)
		}
		return StageOutput{Functions: in.Manifest.Functions}, nil
	}
	id, m := site1.begin(t, s, dev, site.ID, BeginOptions{})
	site1.upload(t, dev, id, m, s)
	s.workOff(t.Context())
	if d := state(t, s, id); d.State != weir.DeployFailed || reread(t, s, site).Published != "" {
		t.Errorf("got %+v", d)
	}
}
