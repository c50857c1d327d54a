package instance

// What happens to instances that nobody is calling: they are ended when they have been idle for
// too long, broke the protocol, or burn CPU although they were given nothing to do.

import "time"

const (
	watchEvery = time.Second
	// An idle instance may use a quarter of a core to finish what it began, but not for longer
	// than this many looks in a row.
	idleShare    = 0.25
	idlePatience = 10
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
	if err != nil {
		return false
	}
	used := u.CPU - in.cpuSeen
	in.cpuSeen = u.CPU
	if float64(used) < idleShare*float64(watchEvery) {
		in.burns = 0
		return false
	}
	in.burns++
	if in.burns < idlePatience {
		return false
	}
	in.cfg.Logger.Warn("instance ended: it used CPU although no invocation was in flight",
		"function", in.cfg.Function, "instance", in.id)
	return true
}
