package api

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// slowDeploys answer when the test says so.
type slowDeploys struct {
	*fake
	asked chan bool
	goOn  chan bool
	most  atomic.Int32
	now   atomic.Int32
}

func (s *slowDeploys) hold() {
	now := s.now.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	defer s.now.Add(-1)
	s.asked <- true
	<-s.goOn
}

func (s *slowDeploys) Outline(ctx context.Context, id string) (weir.Manifest, error) {
	s.hold()
	return s.fake.Outline(ctx, id)
}

func (s *slowDeploys) UploadFile(context.Context, deploys.Author, string, string, io.Reader) error {
	s.hold()
	return nil
}

// TestCallsOfOneToken: of what costs much, a token has a few at a time, and the others wait for their turn; nobody else
// waits for them.
func TestCallsOfOneToken(t *testing.T) {
	for name, c := range map[string]struct {
		method, path string
		each         int
	}{"deploys": {"GET", "", largeEach}, "uploads": {"PUT", "/files/a", uploadsEach}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
			w.take(d.ID, "all of it", "")
			slow := &slowDeploys{fake: w.fake, asked: make(chan bool, 1000), goOn: make(chan bool)}
			w.api.Deploys = slow
			var calls sync.WaitGroup
			ask := func(role string) {
				calls.Go(func() {
					if rec := w.ask(role, c.method, "/deploys/"+d.ID+c.path, ""); rec.Code != 200 {
						t.Errorf("%s: %d %s", role, rec.Code, rec.Body)
					}
				})
			}
			for range 5 * c.each {
				ask("developer")
			}
			for range c.each {
				<-slow.asked
			}
			ask("owner")
			<-slow.asked // while all places of the developer are taken
			close(slow.goOn)
			calls.Wait()
			if most := slow.most.Load(); int(most) > c.each+1 {
				t.Errorf("%d at a time", most)
			}
		})
	}
}
