package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

func TestPublishedIsLoadedBeforeItIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loads{}
		ctx, cancel := context.WithCancel(t.Context())
		m := newMounts(ctx, l.load, slog.New(slog.DiscardHandler))
		find := func(_ context.Context, id string) (weir.Deploy, error) { return weir.Deploy{ID: id, Site: "1"}, nil }
		p := &published{ctx: ctx, find: find, mounts: m, logger: slog.New(slog.DiscardHandler), shown: map[string]*shown{}}
		site := weir.Site{ID: "1"}
		publish := func(id string) {
			before := site
			site.Published = id
			p.changed(before, site)
		}
		shows := func(want string) {
			t.Helper()
			synctest.Wait()
			d, err := p.of(ctx, site)
			if d.ID != want || (err == nil) != (want != "") {
				t.Errorf("%q %v, want %q", d.ID, err, want)
			}
		}
		shows("")
		publish("a")
		shows("a")
		l.gate = make(chan struct{})
		publish("b")
		shows("a") // until b is there
		publish("c")
		l.gate <- struct{}{}
		shows("a") // b is not wanted any more
		l.gate <- struct{}{}
		shows("c")
		l.gate = nil

		fault := errors.New("the store is away")
		l.fault.Store(&fault)
		publish("d")
		shows("c")
		l.fault.Store(nil)
		time.Sleep(3 * time.Second)
		shows("d") // a fault that has passed

		l.fault.Store(&fault)
		publish("e")
		time.Sleep(2 * giveUp)
		shows("e") // and not d, which somebody wanted to be rid of
		publish("")
		shows("")
		cancel()
		p.loading.Wait()
		m.end()
	})
}
