package server

// Deploys that are ready to answer: loaded when somebody asks for them, swapped for new ones without a gap, and given
// up when nobody has asked for a while.

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/weir"
)

const (
	unmountAfter = 30 * time.Minute // without a request
	lookOver     = time.Minute      // how often that is looked for
	failedFor    = time.Second      // how long it is believed that a deploy can't be loaded
	mountsOfSite = 8                // deploys of a site that are ready to answer, besides what it shows
	loadsOfSite  = 2                // of its deploys that are being loaded at a time, which may take processors for long

	// maxMounted is how much memory mounts may take, in bytes, roughly, before idle ones are given up: whoever deploys
	// can have any number of them loaded. A mount takes mountSize, so much for each of its files, and for each byte of
	// its rules.
	maxMounted = 1 << 30
	mountSize  = 1 << 20
	fileSize   = 512
	ruleSize   = 20
)

// mount is a deploy that is ready to answer.
type mount struct {
	deploy     weir.Deploy
	handler    http.Handler
	lambda     http.Handler // its functions by the Lambda Invoke API
	dispatcher *invoke.Dispatcher
	end        func()              // ends what would go on for long; called once it is not to be used any more
	clean      func(string) string // takes the values of its variables out of a text
	size       int64               // of its memory, in bytes, roughly
	close      func()              // frees what it has; called once, when nobody uses it any more

	// Guarded by mounts.mu.
	users int
	used  time.Time
	gone  bool // nobody gets it any more
}

// sizeOf reckons the memory of the mount of a deploy with these rules.
func sizeOf(m weir.Manifest, rules map[string]string) int64 {
	size := int64(mountSize + fileSize*len(m.Files))
	for _, text := range rules {
		size += ruleSize * int64(len(text))
	}
	return size
}

// standing is what of a deploy's record decides how it runs, and nothing else: requests come with records of different
// ages, and must not drive out each other's mount.
func standing(d weir.Deploy) string {
	if heldBack(d) {
		return "held over " + d.Baseline
	}
	return ""
}

// mounts is safe for concurrent use.
type mounts struct {
	ctx    context.Context // of loading
	load   func(context.Context, weir.Deploy) (*mount, error)
	shown  func(weir.Deploy) bool                  // tells whether a deploy is what its site shows; nil: none is
	over   func(context.Context, weir.Deploy) bool // tells whether a deploy was removed or rejected; nil: none was
	logger *slog.Logger

	mu      sync.Mutex
	slots   map[string]*slot // by deploy
	loads   map[string]int   // by site, those that are under way
	ended   *sync.Cond       // a load has; with mu
	closing sync.WaitGroup
	closed  bool
}

// slot is what there is of one deploy.
type slot struct {
	site    string
	mount   *mount        // nil: none yet
	loading chan struct{} // closed when the load that is under way is over; nil: none is
	again   *weir.Deploy  // what is to be loaded after it, as it is stale already
	err     error         // of the last load
	failed  time.Time     // when that was
}

func newMounts(ctx context.Context, load func(context.Context, weir.Deploy) (*mount, error), logger *slog.Logger) *mounts {
	m := &mounts{ctx: ctx, load: load, logger: logger, slots: map[string]*slot{}, loads: map[string]int{}}
	m.ended = sync.NewCond(&m.mu)
	return m
}

// acquire gives a deploy ready to answer, whose user must release it. One that ran by another review is not used.
func (m *mounts) acquire(ctx context.Context, d weir.Deploy) (*mount, error) {
	for {
		m.mu.Lock()
		s := m.slots[d.ID]
		if s != nil && s.mount != nil && standing(s.mount.deploy) != standing(d) {
			m.retire(s.mount)
			s.mount, s.err = nil, nil
		}
		if s != nil && s.mount != nil {
			mt := s.mount
			mt.users++
			mt.used = time.Now()
			m.mu.Unlock()
			return mt, nil
		}
		if s != nil && s.err != nil && time.Since(s.failed) < failedFor {
			m.mu.Unlock()
			return nil, s.err
		}
		loaded, err := m.begin(d)
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-loaded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// begin loads a deploy, unless that is under way already; the channel is closed when it is over. The caller holds m.mu.
func (m *mounts) begin(d weir.Deploy) (<-chan struct{}, error) {
	if m.closed {
		return nil, &weir.Error{Code: weir.Unavailable, Message: "the server is ending", Remedy: "try again"}
	}
	s := m.slots[d.ID]
	if s == nil || s.mount == nil && s.loading == nil {
		if err := m.makeRoom(d); err != nil {
			return nil, err
		}
	}
	if s == nil {
		s = &slot{site: d.Site}
		m.slots[d.ID] = s
	}
	if s.loading == nil {
		s.loading = make(chan struct{})
		m.closing.Go(func() { m.fill(s, d) })
	}
	return s.loading, nil
}

// makeRoom gives up the deploy of a site that nobody has asked for for longest, if as many are loaded as may be: each
// takes memory and room on the disk, and anybody can ask for those that a site has. The caller holds m.mu.
func (m *mounts) makeRoom(d weir.Deploy) error {
	if m.isShown(d) {
		return nil
	}
	there, idlest := 0, ""
	for id, s := range m.slots {
		if s.site != d.Site || id == d.ID || s.mount == nil && s.loading == nil || s.mount != nil && m.isShown(s.mount.deploy) {
			continue
		}
		there++
		if s.loading == nil && s.mount.users == 0 && (idlest == "" || s.mount.used.Before(m.slots[idlest].mount.used)) {
			idlest = id
		}
	}
	switch {
	case there < mountsOfSite:
	case idlest == "":
		return &weir.Error{Code: weir.Busy, Message: fmt.Sprintf("%d deploys of this site are being used", there), Remedy: "try again"}
	default:
		m.retire(m.slots[idlest].mount)
		delete(m.slots, idlest)
	}
	return nil
}

func (m *mounts) isShown(d weir.Deploy) bool { return m.shown != nil && m.shown(d) }

// fill loads a deploy into its slot. What was there goes on serving until then, and after a fault.
func (m *mounts) fill(s *slot, d weir.Deploy) {
	for {
		loaded, err := m.loadInTurn(d)
		m.mu.Lock()
		switch {
		case err != nil:
			if m.ctx.Err() == nil {
				m.logger.Error("a deploy can't be served", "deploy", d.ID, "site", d.Site, "error", err)
			}
			s.err, s.failed = err, time.Now()
		case m.closed:
			m.retire(loaded)
		default:
			if s.mount != nil {
				m.retire(s.mount)
			}
			s.mount, s.err = loaded, nil
			loaded.used = time.Now()
			m.fit(s)
		}
		if s.again == nil || m.closed {
			close(s.loading)
			s.loading = nil
			m.mu.Unlock()
			return
		}
		d, s.again = *s.again, nil
		m.mu.Unlock()
	}
}

// loadInTurn loads a deploy when few enough others of its site are being loaded.
func (m *mounts) loadInTurn(d weir.Deploy) (*mount, error) {
	m.mu.Lock()
	for m.loads[d.Site] >= loadsOfSite {
		m.ended.Wait()
	}
	m.loads[d.Site]++
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.loads[d.Site]--; m.loads[d.Site] == 0 {
			delete(m.loads, d.Site)
		}
		m.ended.Broadcast()
	}()
	return m.load(m.ctx, d)
}

// fit gives up what nobody has asked for for longest, but for one slot, until all is within its bound. The caller
// holds m.mu.
func (m *mounts) fit(but *slot) {
	for {
		total, idlest := int64(0), ""
		for id, s := range m.slots {
			if s.mount == nil {
				continue
			}
			total += s.mount.size
			if s != but && s.loading == nil && s.mount.users == 0 && (idlest == "" || s.mount.used.Before(m.slots[idlest].mount.used)) {
				idlest = id
			}
		}
		if total <= maxMounted || idlest == "" {
			return
		}
		m.retire(m.slots[idlest].mount)
		delete(m.slots, idlest)
	}
}

// release gives a mount back.
func (m *mounts) release(mt *mount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mt.users--
	mt.used = time.Now()
	if mt.gone && mt.users == 0 {
		m.closing.Go(mt.close)
	}
}

// retire lets nobody else have a mount, and closes it after its last user. The caller holds m.mu.
func (m *mounts) retire(mt *mount) {
	mt.gone = true
	mt.end()
	if mt.users == 0 {
		m.closing.Go(mt.close)
	}
}

// renew loads every deploy of a site anew that somebody has asked for, as what they run with has changed.
func (m *mounts) renew(site string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		if s.mount == nil || s.mount.deploy.Site != site {
			continue
		}
		if s.loading != nil {
			s.again = &s.mount.deploy
			continue
		}
		_, _ = m.begin(s.mount.deploy) // fails only when all ends
	}
}

// drop gives up every deploy of a site that is no more.
func (m *mounts) drop(site string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range m.slots {
		if s.mount == nil || s.mount.deploy.Site != site {
			continue
		}
		m.retire(s.mount)
		s.mount, s.again = nil, nil
		if s.loading == nil {
			delete(m.slots, id)
		}
	}
}

// sweep gives up what nobody has asked for, until ctx ends.
func (m *mounts) sweep(ctx context.Context) {
	tick := time.NewTicker(lookOver)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			m.dropIdle(now)
			m.dropOver(ctx)
		}
	}
}

// dropOver gives up deploys that are in use though nobody may ask for them any more: what goes on for long, like a
// WebSocket, would go on.
func (m *mounts) dropOver(ctx context.Context) {
	if m.over == nil {
		return
	}
	m.mu.Lock()
	var used []*mount
	for _, s := range m.slots {
		if s.mount != nil && s.mount.users > 0 {
			used = append(used, s.mount)
		}
	}
	m.mu.Unlock()
	for _, mt := range used {
		if !m.over(ctx, mt.deploy) {
			continue
		}
		m.mu.Lock()
		if s := m.slots[mt.deploy.ID]; s != nil && s.mount == mt {
			m.retire(mt)
			if s.mount, s.again = nil, nil; s.loading == nil {
				delete(m.slots, mt.deploy.ID)
			}
		}
		m.mu.Unlock()
	}
}

func (m *mounts) dropIdle(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range m.slots {
		switch {
		case s.loading != nil:
		case s.mount == nil:
			delete(m.slots, id)
		case s.mount.users == 0 && now.Sub(s.mount.used) > unmountAfter:
			m.retire(s.mount)
			delete(m.slots, id)
		}
	}
}

// end gives up everything and waits until that is done.
func (m *mounts) end() {
	m.mu.Lock()
	m.closed = true
	for id, s := range m.slots {
		if s.mount != nil {
			m.retire(s.mount)
		}
		if s.loading == nil {
			delete(m.slots, id)
		}
	}
	m.mu.Unlock()
	m.closing.Wait()
}
