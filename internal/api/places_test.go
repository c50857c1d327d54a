package api

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// slowOutlines are deploys whose outlines are given when the test says so.
type slowOutlines struct {
	*fake
	asked chan bool
	goOn  chan bool
	most  atomic.Int32
	now   atomic.Int32
}

func (s *slowOutlines) Outline(ctx context.Context, id string) (weir.Manifest, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	s.asked <- true
	<-s.goOn
	return s.fake.Outline(ctx, id)
}

// TestCallsOfOneToken: of what costs much, a token has a few at a time, and the others wait for their turn; nobody else
// waits for them.
func TestCallsOfOneToken(t *testing.T) {
	w := newWorld(t)
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	w.take(d.ID, "all of it", "")
	slow := &slowOutlines{fake: w.fake, asked: make(chan bool, 100), goOn: make(chan bool)}
	w.api.Deploys = slow
	var calls sync.WaitGroup
	ask := func(role string) {
		calls.Go(func() {
			if rec := w.ask(role, "GET", "/deploys/"+d.ID, ""); rec.Code != 200 {
				t.Errorf("%s: %d %s", role, rec.Code, rec.Body)
			}
		})
	}
	for range 5 * largeEach {
		ask("viewer")
	}
	for range largeEach {
		<-slow.asked
	}
	ask("developer")
	<-slow.asked // while all places of the viewer are taken
	close(slow.goOn)
	calls.Wait()
	if most := slow.most.Load(); most > largeEach+1 {
		t.Errorf("%d at a time", most)
	}
}
