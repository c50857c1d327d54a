package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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
		site := weir.Site{ID: "1"}
		var told []string
		p := &published{ctx: ctx, find: find, site: func(string) (weir.Site, bool) { return site, true }, mounts: m, logger: slog.New(slog.DiscardHandler),
			tell: func(_, deploy string) { told = append(told, deploy) }, shown: map[string]*shown{}}
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
		if !slices.Equal(told, []string{"a", "c", "d", "e"}) {
			t.Errorf("told to be shown: %v", told)
		}
		cancel()
		p.loading.Wait()
		m.end()
	})
}

// TestPublishedWhileItIsFirstAskedFor: what is published while a first request finds out what the site shows, is what
// it shows then.
func TestPublishedWhileItIsFirstAskedFor(t *testing.T) {
	var p *published
	now := weir.Site{ID: "1", Published: "a"}
	publish := func(id string) {
		before := now
		now.Published = id
		p.changed(before, now)
	}
	asked := func(context.Context, string) {}
	p = &published{ctx: t.Context(), site: func(string) (weir.Site, bool) { return now, true }, tell: func(string, string) {}, shown: map[string]*shown{},
		find: func(ctx context.Context, id string) (weir.Deploy, error) {
			asked(ctx, id)
			return weir.Deploy{ID: id, Site: "1"}, nil
		}}
	before := now
	publish("b") // after the request's host was looked up
	if d, err := p.of(t.Context(), before); err != nil || d.ID != "b" {
		t.Errorf("%s %v is shown, b was published before", d.ID, err)
	}

	publish("")
	publish("c")
	asked = func(context.Context, string) { publish("d") }
	if _, err := p.of(t.Context(), now); err != nil {
		t.Error(err)
	}
	asked = func(context.Context, string) {}
	if d, err := p.of(t.Context(), now); err != nil || d.ID != "d" {
		t.Errorf("%s %v is shown, d was published while c was looked for", d.ID, err)
	}
}
