package server

// Deploys that are ready to answer: loaded when somebody asks for them, swapped for new ones without a gap, and given
// up when nobody has asked for a while.

import (
	"context"
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
	size       int64  // of its memory, in bytes, roughly
	close      func() // frees what it has; called once, when nobody uses it any more

	// Guarded by mounts.mu.
	users int
	used  time.Time
	gone  bool // nobody gets it any more
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
	logger *slog.Logger

	mu      sync.Mutex
	slots   map[string]*slot // by deploy
	closing sync.WaitGroup
	closed  bool
}

// slot is what there is of one deploy.
type slot struct {
	mount   *mount        // nil: none yet
	loading chan struct{} // closed when the load that is under way is over; nil: none is
	again   *weir.Deploy  // what is to be loaded after it, as it is stale already
	err     error         // of the last load
	failed  time.Time     // when that was
}

func newMounts(ctx context.Context, load func(context.Context, weir.Deploy) (*mount, error), logger *slog.Logger) *mounts {
	return &mounts{ctx: ctx, load: load, logger: logger, slots: map[string]*slot{}}
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
	if s == nil {
		s = &slot{}
		m.slots[d.ID] = s
	}
	if s.loading == nil {
		s.loading = make(chan struct{})
		m.closing.Go(func() { m.fill(s, d) })
	}
	return s.loading, nil
}

// fill loads a deploy into its slot. What was there goes on serving until then, and after a fault.
func (m *mounts) fill(s *slot, d weir.Deploy) {
	for {
		loaded, err := m.load(m.ctx, d)
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
			m.makeRoom(s)
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

// makeRoom gives up what nobody has asked for for longest, but for one slot, until all is within its bound. The caller
// holds m.mu.
func (m *mounts) makeRoom(but *slot) {
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
		}
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
