package deploys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// page is a deploy of one file that differs from all others.
func page(n int) folder { return folder{"index.html": fmt.Sprint("page ", n)} }

func TestAnOlderDeployTakesNoPlaceFromANewerOne(t *testing.T) {
	s, _ := newService(t)
	site := newSite(t, s)
	slow, m := page(1).begin(t, s, dev, site.ID, BeginOptions{})
	slowAlias, mAlias := page(1).begin(t, s, dev, site.ID, BeginOptions{Alias: "pr"})
	fast := page(2).deploy(t, s, dev, site.ID, BeginOptions{})
	fastAlias := page(2).deploy(t, s, dev, site.ID, BeginOptions{Alias: "PR"})
	page(1).upload(t, dev, slow, m, s)
	page(1).upload(t, dev, slowAlias, mAlias, s)
	s.workOff(t.Context())
	now := reread(t, s, site)
	if state(t, s, slow).State != weir.DeployReady || now.Published != fast.ID || now.Aliases["pr"] != fastAlias.ID || len(now.Aliases) != 1 {
		t.Errorf("got %+v", now)
	}
	// A person may put it there. What was begun before takes no place then, either.
	if now, err := s.Publish(t.Context(), dev, slow); err != nil || now.Published != slow {
		t.Errorf("got %+v %v", now, err)
	}
}

// TestWhatIsPublishedCanBeServed: from the moment that its site leads to it, whatever else is to be done.
func TestWhatIsPublishedCanBeServed(t *testing.T) {
	var s *Service
	var states []weir.DeployState
	f := &fake{}
	s = newServer(t, newStore(t), f, Options{Shown: func(ctx context.Context, site, id string) {
		d, err := s.SiteDeploy(ctx, site, id)
		told, err2 := s.Deploy(ctx, id)
		if err := errors.Join(err, err2); err != nil {
			t.Error(err)
		}
		states = append(states, d.State, told.State)
	}})
	page(1).deploy(t, s, approver, newSite(t, s).ID, BeginOptions{})
	if !slices.Equal(states, []weir.DeployState{weir.DeployReady, weir.DeployProcessing}) {
		t.Errorf("while it is published, it is %v to those who serve it and to others", states)
	}
}

// TestClocksThatDiffer: what is begun after something was published takes its place, though by the clock of the server
// that is asked it was begun before.
func TestClocksThatDiffer(t *testing.T) {
	st := newStore(t)
	ahead, behind := &fake{now: time.Now().Add(time.Hour)}, &fake{}
	a, b := newServer(t, st, ahead, Options{}), newServer(t, st, behind, Options{})
	site := newSite(t, a)
	page(1).deploy(t, a, approver, site.ID, BeginOptions{})
	page(1).deploy(t, a, dev, site.ID, BeginOptions{Alias: "pr"})
	second := page(2).deploy(t, b, approver, site.ID, BeginOptions{})
	alias := page(2).deploy(t, b, dev, site.ID, BeginOptions{Alias: "pr"})
	if now := reread(t, b, site); now.Published != second.ID || now.Approved != second.ID || now.Aliases["pr"] != alias.ID {
		t.Errorf("%+v, and begun last were %s and %s", now, second.ID, alias.ID)
	}
}

func TestDraftsAliasesAndLocks(t *testing.T) {
	s, f := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	live := page(1).deploy(t, s, dev, site.ID, BeginOptions{})
	draft := page(2).deploy(t, s, dev, site.ID, BeginOptions{Draft: true})
	alias := page(3).deploy(t, s, dev, site.ID, BeginOptions{Alias: "Feature/Login_2"})
	if draft.Context != weir.ContextPreview || alias.Context != weir.ContextBranch || alias.Alias != "feature-login-2" {
		t.Errorf("got %+v %+v", draft, alias)
	}
	if _, err := s.Lock(ctx, dev, site.ID); err != nil {
		t.Fatal(err)
	}
	locked := page(4).deploy(t, s, dev, site.ID, BeginOptions{})
	if now := reread(t, s, site); !now.Locked || now.Published != live.ID || now.Aliases["feature-login-2"] != alias.ID || locked.State != weir.DeployReady {
		t.Errorf("got %+v", now)
	}
	if now, err := s.Publish(ctx, dev, draft.ID); err != nil || now.Published != draft.ID || !now.Locked {
		t.Errorf("a person publishes what they like: %+v %v", now, err)
	}
	if now, err := s.Unlock(ctx, dev, site.ID); err != nil || now.Locked || now.Published != draft.ID {
		t.Errorf("got %+v %v", now, err)
	}
	if got := f.actions(site.ID); !strings.HasSuffix(got, "dev:site.lock dev:site.unlock") {
		t.Errorf("on record is %q", got)
	}
	of, err := s.Deploys(ctx, site.ID, Filter{Alias: "feature-login-2"})
	if err != nil || len(of) != 1 {
		t.Errorf("got %+v %v", of, err)
	}
	failed, _ := page(5).begin(t, s, dev, site.ID, BeginOptions{})
	_, err = s.Publish(ctx, dev, failed)
	expect(t, "publish what is not ready", err, weir.Conflict)
	for _, bad := range []string{"--", "xn", "🙂", strings.Repeat("a", 60), strings.Repeat("0a", 12)} {
		_, err := s.Begin(ctx, dev, site.ID, BeginOptions{Alias: bad})
		expect(t, "the alias "+bad, err, weir.Invalid)
	}
	_, err = s.Begin(ctx, dev, site.ID, BeginOptions{Context: "staging"})
	expect(t, "a context", err, weir.Invalid)
}

// TestAnAliasIsRemovedAlone: its deploy stays under its own URL, and what is deployed by it later has it again.
func TestAnAliasIsRemovedAlone(t *testing.T) {
	s, f := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	d := page(1).deploy(t, s, dev, site.ID, BeginOptions{Alias: "feature/x"})
	other := page(2).deploy(t, s, dev, site.ID, BeginOptions{Alias: "other"})
	now, err := s.RemoveAlias(ctx, dev, site.ID, "Feature/X")
	if err != nil || len(now.Aliases) != 1 || now.Aliases["other"] != other.ID {
		t.Errorf("got %+v %v", now, err)
	}
	if got, err := s.Deploy(ctx, d.ID); err != nil || got.State != weir.DeployReady {
		t.Errorf("its deploy: %+v %v", got, err)
	}
	if got := f.actions(d.ID); !strings.HasSuffix(got, "dev:deploy.unalias") {
		t.Errorf("on record is %q", got)
	}
	for _, none := range []string{"feature-x", "nope"} {
		_, err = s.RemoveAlias(ctx, dev, site.ID, none)
		expect(t, "remove "+none, err, weir.NotFound)
	}
	_, err = s.RemoveAlias(ctx, dev, site.ID, "--")
	expect(t, "remove what is none", err, weir.Invalid)
	again := page(3).deploy(t, s, dev, site.ID, BeginOptions{Alias: "feature/x"})
	if now := reread(t, s, site); now.Aliases["feature-x"] != again.ID {
		t.Errorf("got %+v", now)
	}
}

func TestRollbackGoesBackStepByStep(t *testing.T) {
	s, f := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	_, err := s.Rollback(ctx, dev, site.ID)
	expect(t, "nothing was published", err, weir.Conflict)
	var ids []string
	for i := range 4 {
		ids = append(ids, page(i).deploy(t, s, dev, site.ID, BeginOptions{}).ID)
	}
	if err := s.DeleteDeploy(ctx, dev, ids[2]); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{ids[1], ids[0]} {
		if now, err := s.Rollback(ctx, dev, site.ID); err != nil || now.Published != want {
			t.Fatalf("got %+v %v, want %s", now, err, want)
		}
	}
	_, err = s.Rollback(ctx, dev, site.ID)
	expect(t, "there is no more", err, weir.Conflict)
	if now, err := s.Publish(ctx, dev, ids[3]); err != nil || now.Published != ids[3] {
		t.Errorf("got %+v %v", now, err)
	}
	if now, err := s.Rollback(ctx, dev, site.ID); err != nil || now.Published != ids[0] {
		t.Errorf("got %+v %v", now, err)
	}
	if got := f.actions(ids[0]); got != "dev:deploy.begin dev:deploy.ready dev:deploy.publish dev:deploy.rollback dev:deploy.rollback" {
		t.Errorf("on record is %q", got)
	}
	// A new deploy goes live all the same, if it isn't locked.
	if d := page(5).deploy(t, s, dev, site.ID, BeginOptions{}); reread(t, s, site).Published != d.ID {
		t.Error("a new deploy was not published")
	}
}

// TestManyAtOnce: whatever two servers do to a site at the same time, nothing of it is lost.
func TestManyAtOnce(t *testing.T) {
	st, f := newStore(t), &fake{}
	servers := []*Service{newServer(t, st, f, Options{}), newServer(t, st, f, Options{})}
	site := newSite(t, servers[0])
	var wg sync.WaitGroup
	ids := make([]string, 8)
	for i := range ids {
		wg.Go(func() {
			s := servers[i%2]
			ids[i] = page(i).deploy(t, s, dev, site.ID, BeginOptions{Alias: fmt.Sprint("a", i%4)}).ID
			if _, err := s.Publish(t.Context(), dev, ids[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range servers {
		s.look(t.Context())
		s.workOff(t.Context())
	}
	r, _, err := servers[0].readSite(t.Context(), site.ID)
	if err != nil || len(r.Aliases) != 4 || !slices.Contains(ids, r.Published) || len(r.Previous) != len(ids)-1 {
		t.Errorf("got %+v %v", r, err)
	}
	for alias, id := range r.Aliases {
		n := slices.Index(ids, id)
		if other := ids[(n+4)%8]; fmt.Sprint("a", n%4) != alias || other > id {
			t.Errorf("%s is %s, but %s was begun later", alias, id, other)
		}
	}
}
