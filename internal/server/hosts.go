package server

// Which deploy a host name means. Every server watches the records of all sites, so that what is published on one is
// served by all at once, and a request asks nobody.

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// watchAgain is how long after a fault what is watched is watched anew.
const watchAgain = time.Second

// hosts knows the sites. It is safe for concurrent use.
type hosts struct {
	domain  string                        // sites are NAME.domain
	changed func(before, after weir.Site) // told of every change of a site; after has no ID if it is gone
	logger  *slog.Logger

	mu     sync.RWMutex
	byID   map[string]weir.Site
	byName map[string]string // ids by NAME.domain and by custom domains
}

func newHosts(domain string, changed func(before, after weir.Site), logger *slog.Logger) *hosts {
	return &hosts{domain: domain, changed: changed, logger: logger, byID: map[string]weir.Site{}, byName: map[string]string{}}
}

// watch follows the records until ctx ends. It calls ready once all that there are have been read.
func (h *hosts) watch(ctx context.Context, sites store.KV, ready func()) {
	for {
		seen := map[string]bool{}
		err := sites.Watch(ctx, "site", func(c store.Change) error {
			switch {
			case c.Current:
				h.forget(seen)
				seen = nil
				ready()
			case c.Deleted:
				h.set(strings.TrimPrefix(c.Key, "site."), weir.Site{})
			default:
				if seen != nil {
					seen[strings.TrimPrefix(c.Key, "site.")] = true
				}
				var s weir.Site
				if err := json.Unmarshal(c.Value, &s); err != nil {
					h.logger.Error("the record of a site can't be read", "key", c.Key, "error", err)
					return nil
				}
				h.set(s.ID, s)
			}
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		h.logger.Warn("the sites can't be watched, what is known of them goes on being served", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

// forget removes the sites that are no longer there.
func (h *hosts) forget(seen map[string]bool) {
	h.mu.RLock()
	var gone []string
	for id := range h.byID {
		if !seen[id] {
			gone = append(gone, id)
		}
	}
	h.mu.RUnlock()
	for _, id := range gone {
		h.set(id, weir.Site{})
	}
}

// set takes what is now known of a site; the zero Site: that there is none.
func (h *hosts) set(id string, s weir.Site) {
	h.mu.Lock()
	before := h.byID[id]
	for _, name := range h.namesOf(before) {
		if h.byName[name] == id {
			delete(h.byName, name)
		}
	}
	delete(h.byID, id)
	if s.ID != "" {
		h.byID[id] = s
		for _, name := range h.namesOf(s) {
			h.byName[name] = id
		}
	}
	h.mu.Unlock()
	h.changed(before, s)
}

func (h *hosts) namesOf(s weir.Site) []string {
	if s.ID == "" {
		return nil
	}
	return append([]string{s.Name + "." + h.domain}, s.Domains...)
}

// all gives every site.
func (h *hosts) all() []weir.Site {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var out []weir.Site
	for _, s := range h.byID {
		out = append(out, s)
	}
	return out
}

// site gives a site by its id.
func (h *hosts) site(id string) (weir.Site, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	s, ok := h.byID[id]
	return s, ok
}

var deployID = regexp.MustCompile(`^[0-9a-f]{24}$`)

var errNoSite = errors.New("no site has that host name")

// find gives the site that a Host header names and what of it: "" for what is published, else the id of a deploy.
func (h *hosts) find(host string) (s weir.Site, deploy string, err error) {
	name := host
	if withoutPort, port, err := net.SplitHostPort(host); err == nil {
		if strings.Trim(port, "0123456789") != "" {
			return s, "", errNoSite
		}
		name = withoutPort
	}
	name = strings.ToLower(name)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if id, ok := h.byName[name]; ok {
		return h.byID[id], "", nil
	}
	label, ok := strings.CutSuffix(name, "."+h.domain)
	at := strings.LastIndex(label, "--")
	if !ok || at < 0 {
		return s, "", errNoSite
	}
	prefix := label[:at]
	if s, ok = h.byID[h.byName[label[at+2:]+"."+h.domain]]; !ok {
		return s, "", errNoSite
	}
	if deploy, ok := s.Aliases[prefix]; ok {
		return s, deploy, nil
	}
	if deployID.MatchString(prefix) {
		return s, prefix, nil
	}
	return weir.Site{}, "", errNoSite
}
