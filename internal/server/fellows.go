package server

// The servers of one store tell each other that they are there and what they have come to show, so that whoever
// publishes a deploy has the answer once it is shown by all.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/store"
)

const (
	helloEvery = 5 * time.Second       // a server says that it is there
	heardOf    = 12 * time.Second      // one that says nothing for longer is not waited for
	waitShown  = 5 * time.Second       // for all servers to show what was published
	askAgain   = 20 * time.Millisecond // and then less and less often
	keepShown  = time.Minute           // for how long it is told what a server has come to show
	forgotten  = time.Hour             // a server that says nothing for longer leaves nothing behind
	mostShown  = 1000                  // sites of which that is told
)

const fellowKey = "server"

// fellows are the servers of a store. It is safe for concurrent use.
type fellows struct {
	kv     store.KV // "server.ID": a greeting; nil: there is one server only
	id     string
	logger *slog.Logger
	news   chan struct{} // there is something to tell

	mu    sync.Mutex
	begun bool               // what changes from here on is news
	shows map[string]showing // by site
}

// greeting is what a server says of itself.
type greeting struct {
	Shows map[string]showing `json:"shows,omitempty"` // by site: what it has come to show lately
}

type showing struct {
	Deploy string    `json:"deploy"`
	Since  time.Time `json:"since"` // by the clock of who shows it
}

func newFellows(kv store.KV, logger *slog.Logger) *fellows {
	return &fellows{kv: kv, id: rand.Text(), logger: logger, news: make(chan struct{}, 1), shows: map[string]showing{}}
}

// show says that this server shows a deploy of a site from now on, or will when it is asked for the site.
func (f *fellows) show(site, deploy string) {
	f.mu.Lock()
	if f.begun && len(f.shows) < mostShown {
		f.shows[site] = showing{deploy, time.Now()}
	}
	f.mu.Unlock()
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// begin is called when this server knows all sites.
func (f *fellows) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = true
}

// greet tells the other servers what there is to tell until ctx ends, and then that this one is gone.
func (f *fellows) greet(ctx context.Context) {
	key, deaf := fellowKey+"."+f.id, false
	tick := time.NewTicker(helloEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		value, err := json.Marshal(greeting{f.lately()})
		if err == nil && f.kv != nil {
			_, err = f.kv.Put(ctx, key, value)
		}
		if err != nil && ctx.Err() == nil && !deaf {
			f.logger.Warn("the other servers can't be told what this one shows", "error", err)
		}
		deaf = err != nil
		select {
		case <-ctx.Done():
		case <-f.news:
		case <-tick.C:
		}
	}
	if f.kv != nil {
		gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = f.kv.Delete(gone, key, 0) // else the others notice by themselves
	}
}

// lately gives what this server has come to show, and forgets what that was long ago.
func (f *fellows) lately() map[string]showing {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.shows, func(_ string, s showing) bool { return time.Since(s.Since) > keepShown })
	return maps.Clone(f.shows)
}

// shown waits until every server that is there shows a deploy of a site, for a while at most, and no longer than that
// is wanted.
func (f *fellows) shown(ctx context.Context, site, deploy string, wanted func() bool) {
	ctx, cancel := context.WithTimeout(ctx, waitShown)
	defer cancel()
	for pause := askAgain; !f.allShow(ctx, site, deploy) && wanted(); pause = min(pause*3/2, 10*askAgain) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (f *fellows) allShow(ctx context.Context, site, deploy string) bool {
	if f.lately()[site].Deploy != deploy {
		return false
	}
	if f.kv == nil {
		return true
	}
	all, err := f.kv.List(ctx, fellowKey)
	if err != nil {
		return false
	}
	var now time.Time // by the store's clock, as those of entries are
	for _, e := range all {
		if e.Time.After(now) {
			now = e.Time
		}
	}
	for _, e := range all {
		var g greeting
		switch silent := now.Sub(e.Time); {
		case strings.HasSuffix(e.Key, "."+f.id) || json.Unmarshal(e.Value, &g) != nil:
		case silent > forgotten:
			_ = f.kv.Delete(ctx, e.Key, e.Revision) // or the next who publishes does
		case silent <= heardOf && g.Shows[site].Deploy != deploy:
			return false
		}
	}
	return true
}
