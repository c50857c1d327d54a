package instance

// When a function gets one more instance. A caller who finds all of them busy waits a moment first: a short
// invocation is over long before another process could have started, and a process for each of a crowd of
// callers would take the processors from those that work.

import (
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// How long a caller waits for a busy instance before another is started: half of what a start takes, so that
// nobody waits much longer than a start in vain, within bounds.
const (
	minPatience   = 5 * time.Millisecond
	maxPatience   = 100 * time.Millisecond
	firstPatience = 25 * time.Millisecond // as long as no start has been seen
)

// started takes account of how long a start took. The caller holds the fleet's lock.
func (p *Pool) started(took time.Duration) {
	p.patience = min(max(took/2, minPatience), maxPatience)
}

// eager tells whether waiting would be in vain: no instance will ever become free. The caller holds the
// fleet's lock.
func (p *Pool) eager() bool {
	if p.how.Isolation == weir.PerRequest {
		return true
	}
	hopes := p.running - len(p.all) // that are being started
	for in := range p.all {
		if !in.retired && !in.dead.Load() {
			hopes++
		}
	}
	return hopes == 0
}

// due tells whether another instance may be started for a caller who has waited since then. The caller holds
// the fleet's lock.
func (p *Pool) due(since time.Time) bool {
	return (p.eager() || time.Since(since) >= p.patience) && p.mayStart()
}

// watchQueue sees to it that callers don't wait for longer than that if another instance can be started. The
// caller holds the fleet's lock.
func (p *Pool) watchQueue() {
	if p.growing || p.queue.Len() == 0 || p.eager() {
		return
	}
	p.growing = true
	wait := p.patience - time.Since(p.queue.Front().Value.(*waiter).since)
	if wait <= 0 {
		wait = p.patience // that it could not be helped so far
	}
	time.AfterFunc(wait, p.grow)
}

// grow starts instances for those that have waited for long enough: no more at a time than there are, as the
// first of them may free the others.
func (p *Pool) grow() {
	f := p.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	p.growing = false
	for n := p.running; n > 0 && p.serveNext(); n-- {
	}
	p.watchQueue()
}
