package server

// What the production URLs of each site show. When another deploy is published, it is loaded first and shown then, so
// that no request waits for it or fails.

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const (
	loadAgain = time.Second      // after a fault
	giveUp    = 10 * time.Second // what was published before is shown no longer than this in place of what can't be loaded
)

// published is safe for concurrent use.
type published struct {
	ctx    context.Context // of loading
	find   func(ctx context.Context, deploy string) (weir.Deploy, error)
	site   func(id string) (weir.Site, bool) // as it is known now
	mounts *mounts
	tell   func(site, deploy string) // that the site shows this from now on, or will when somebody asks for it
	logger *slog.Logger

	mu      sync.Mutex
	shown   map[string]*shown // by site, for those that somebody has asked for
	loading sync.WaitGroup
}

// shown is what a site shows.
type shown struct {
	deploy weir.Deploy // without an ID: what the site's record says, whether it can be loaded or not
	want   string      // the deploy that the site's record says
	since  time.Time   // when that was said
	busy   bool        // it is being loaded
}

// changed takes the record of a site that is new; the zero Site: it is gone.
func (p *published) changed(before, after weir.Site) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shown[before.ID]
	if after.Published == "" {
		delete(p.shown, before.ID)
		return
	}
	if s != nil && s.want != after.Published {
		s.want, s.since = after.Published, time.Now()
	}
	switch {
	case s != nil && s.deploy.ID != "" && s.deploy.ID != after.Published:
		if !s.busy {
			s.busy = true
			p.loading.Go(func() { p.load(after.ID, s) })
		}
	case after.Published != before.Published:
		p.tell(after.ID, after.Published)
	}
}

// of gives the deploy that a site shows. Errors: weir.NotFound if nothing is published.
func (p *published) of(ctx context.Context, site weir.Site) (weir.Deploy, error) {
	p.mu.Lock()
	s := p.shown[site.ID]
	if s == nil {
		if now, ok := p.site(site.ID); ok { // what changes from here on, changed is told after this
			site = now
		}
		if s = (&shown{want: site.Published}); s.want != "" {
			p.shown[site.ID] = s
		}
	}
	d, want := s.deploy, s.want
	p.mu.Unlock()
	if d.ID != "" {
		return d, nil
	}
	if want == "" {
		return weir.Deploy{}, &weir.Error{Code: weir.NotFound, Message: "nothing is published here yet", Remedy: "deploy the site to production"}
	}
	d, err := p.find(ctx, want)
	if err != nil {
		return d, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.want == want {
		s.deploy = d
	}
	return d, nil
}

// load gets what a site should show ready, and shows it.
func (p *published) load(site string, s *shown) {
	for p.ctx.Err() == nil {
		p.mu.Lock()
		want := s.want
		p.mu.Unlock()
		d, err := p.find(p.ctx, want)
		if err == nil {
			var m *mount
			if m, err = p.mounts.acquire(p.ctx, d); err == nil {
				p.mounts.release(m)
			}
		}
		p.mu.Lock()
		late := time.Since(s.since) > giveUp
		switch {
		case s.want != want:
			p.mu.Unlock()
			continue
		case err == nil:
			s.deploy, s.busy = d, false
			p.mu.Unlock()
			p.tell(site, want)
			return
		case late: // whoever published it meant to be rid of what was there before
			p.logger.Error("what was published can't be loaded, and what was shown before is not shown any longer", "deploy", want, "error", err)
			s.deploy, s.busy = weir.Deploy{}, false
			p.mu.Unlock()
			p.tell(site, want)
			return
		}
		p.mu.Unlock()
		select {
		case <-time.After(loadAgain):
		case <-p.ctx.Done():
		}
	}
}
