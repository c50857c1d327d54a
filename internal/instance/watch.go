package instance

// What happens to instances that nobody is calling: they are ended when they have been idle for
// too long, broke the protocol, or burn CPU although they were given nothing to do.

import "time"

const (
	watchEvery = time.Second
	// An idle instance may use a quarter of a core to finish what it began, and some seconds beyond
	// that, which it gets back as slowly.
	idleShare = 0.25
	idleBurst = 7500 * time.Millisecond
)

// watch looks after idle instances until the pool is closed.
func (p *Pool) watch() {
	defer p.live.Done()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			p.sweep(now)
		}
	}
}

// sweep ends the idle instances that are due.
func (p *Pool) sweep(now time.Time) {
	var due []*instance
	p.mu.Lock()
	keep := p.idle[:0]
	for _, in := range p.idle {
		if !in.reusable() || now.Sub(in.idleSince) > p.cfg.Idle || in.burning() {
			due = append(due, in)
			continue
		}
		keep = append(keep, in)
	}
	clear(p.idle[len(keep):])
	p.idle = keep
	p.mu.Unlock()
	for _, in := range due {
		in.end()
	}
}

// burning tells whether an idle instance has used CPU steadily since it became idle.
func (in *instance) burning() bool {
	u, err := in.proc.Usage()
	if err != nil || !in.burned(u.CPU) {
		return false
	}
	in.cfg.Logger.Warn("instance ended: it used CPU although no invocation was in flight",
		"function", in.cfg.Function, "instance", in.id)
	return true
}

// burned takes a look at the CPU that an idle instance has used in its life. What it used before it
// became idle for the last time is not held against it.
func (in *instance) burned(total time.Duration) bool {
	used := total - in.cpuSeen
	in.cpuSeen = total
	if !in.idleSince.Equal(in.idleSeen) {
		in.idleSeen, in.excess = in.idleSince, 0
		return false
	}
	in.excess = max(0, in.excess+used-time.Duration(idleShare*float64(watchEvery)))
	return in.excess > idleBurst
}
