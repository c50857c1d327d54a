package deploys

import (
	"context"
	"errors"
	"slices"
	"strings"
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

// TestOneSiteKeepsNoOtherWaiting: neither deploys that take long, nor many of them.
func TestOneSiteKeepsNoOtherWaiting(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{Workers: 2})
	slow, other := newSite(t, s), newSite(t, s)
	real := &fake{}
	f.stage = func(ctx context.Context, in StageInput) (StageOutput, error) {
		if in.Site.ID == slow.ID {
			<-ctx.Done()
			return StageOutput{}, ctx.Err()
		}
		return real.Stage(ctx, in)
	}
	var ids []string
	for i := range 5 {
		id, m := page(i).begin(t, s, dev, slow.ID, BeginOptions{})
		page(i).upload(t, dev, id, m, s)
		ids = append(ids, id)
	}
	run(t, s)
	waitFor(t, s, ids[0], weir.DeployProcessing)
	for range 3 {
		id, m := site1.begin(t, s, dev, other.ID, BeginOptions{})
		site1.upload(t, dev, id, m, s)
		waitFor(t, s, id, weir.DeployReady)
	}
}

// TestDeployThatTakesTooLong fails, so that the next one has its turn.
func TestDeployThatTakesTooLong(t *testing.T) {
	s, f := newService(t)
	s.stageTime = time.Millisecond
	site := newSite(t, s)
	f.stage = func(ctx context.Context, in StageInput) (StageOutput, error) {
		<-ctx.Done()
		return StageOutput{}, ctx.Err()
	}
	if d := site1.deploy(t, s, dev, site.ID, BeginOptions{}); d.State != weir.DeployFailed || !strings.Contains(d.Error, "takes longer") {
		t.Errorf("got %+v", d)
	}
}

// TestQueue: who waits for longest goes first, with one deploy at a time, and what waits already does not wait twice.
func TestQueue(t *testing.T) {
	q := newQueue()
	for _, id := range []string{"a1", "a2", "a3", "a1", "b1", "c1"} {
		q.put(active{site: id[:1], id: id, found: true})
	}
	q.put(active{site: "a", id: "a2"})
	var got []string
	take := func() active {
		a, ok := q.take()
		if ok {
			got = append(got, a.id)
		}
		return a
	}
	first, _, _ := take(), take(), take()
	take() // all sites have one
	q.done(first)
	if a := take(); a.found {
		t.Error("what was asked for again was forgotten")
	}
	q.done(active{site: "c"})
	q.done(active{site: "a"})
	take()
	if !slices.Equal(got, []string{"a1", "b1", "c1", "a2", "a3"}) {
		t.Errorf("in the order %v", got)
	}
	q.done(active{site: "a"})
	q.done(active{site: "b"})
	if len(q.waiting)+len(q.running)+len(q.served) > 0 {
		t.Errorf("left over: %+v", q)
	}
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

// TestClockThatWasAhead: what a server left whose clock was years ahead keeps nobody waiting for that time.
func TestClockThatWasAhead(t *testing.T) {
	st, ahead, f := newStore(t), &fake{now: time.Now().AddDate(10, 0, 0)}, &fake{}
	a, b := newServer(t, st, ahead, Options{}), strict(t, st, f)
	b.quietTime = 100 * time.Millisecond
	site := newSite(t, a)
	live := site1.deploy(t, a, dev, site.ID, BeginOptions{})
	alias := page(1).deploy(t, a, dev, site.ID, BeginOptions{Alias: "next"})
	left, m := page(2).begin(t, a, dev, site.ID, BeginOptions{})
	page(2).upload(t, dev, left, m, a)
	a.skipNext()
	r, err := a.readDeploy(t.Context(), left)
	if err == nil {
		a.complete(t.Context(), r)
		_, err = a.updateDeploy(t.Context(), r, a.take)
	}
	if err == nil {
		_, err = a.gc.Put(t.Context(), "state", encode(sweepState{Epoch: 5, Sweeping: true, Until: ahead.clock().Add(sweepTime)}))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.look(t.Context())
	b.workOff(t.Context())
	if d := state(t, b, left); d.State != weir.DeployReady {
		t.Errorf("what was being processed: %+v", d)
	}
	next := page(3).deploy(t, b, dev, site.ID, BeginOptions{})
	if published := reread(t, b, site).Published; published != next.ID || published == live.ID {
		t.Error("what is deployed now is not published")
	}
	if d := page(4).deploy(t, b, dev, site.ID, BeginOptions{Alias: "next"}); reread(t, b, site).Aliases["next"] != d.ID {
		t.Errorf("the alias stays at %s", alias.ID)
	}
	if _, err := b.blobs.Put(t.Context(), strings.NewReader("nobody's"), ""); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Hour)
	if collect(t, b); b.hasBlob(t, "nobody's") {
		t.Error("nothing is swept any more")
	}
}
