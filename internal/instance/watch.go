package instance

// What happens to instances that nobody is calling: they are ended when they have been idle for
// too long, broke the protocol, or burn CPU although they were given nothing to do, and when all
// together hold more memory than they may.

import "time"

const (
	watchEvery = time.Second
	// An idle instance may use a quarter of a core to finish what it began, and some seconds beyond
	// that, which it gets back as slowly.
	idleShare = 0.25
	idleBurst = 7500 * time.Millisecond
)

// watch looks after the fleet until it is closed.
func (f *Fleet) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case now := <-tick.C:
			f.sweep(now)
		}
	}
}

// sweep ends what is due and starts what is missing.
func (f *Fleet) sweep(now time.Time) {
	used := f.measure()
	f.mu.Lock()
	defer f.mu.Unlock()
	starting := f.instances
	f.memory = 0
	leaving := int64(0) // held by what is being ended
	for _, p := range f.pools {
		starting -= len(p.all)
		for in := range p.all {
			if u, ok := used[in]; ok && u.memory > 0 {
				in.memory = u.memory
			}
			f.memory += in.memory
			if in.retired {
				leaving += in.memory
			}
		}
		if p.nursery.starting {
			f.memory += startMemory
		}
		for _, z := range p.nursery.all {
			if u, ok := used[z.instance]; ok && u.memory > 0 {
				z.memory = u.memory
			}
			f.memory += z.memory
			if z.retired && z.users == 0 {
				leaving += z.memory
			}
		}
		p.sweep(now, used)
		p.sweepZygotes(now)
		p.keepWarm()
	}
	f.memory += int64(starting+len(f.blanks.ready)) * startMemory
	if f.blanks.starting {
		f.memory += startMemory
	}
	f.sweepBlanks(now)
	for f.memory-leaving > f.o.MaxMemory && f.dropBlank() {
	}
	for f.memory-leaving > f.o.MaxMemory {
		in := f.evict()
		if in == nil {
			break
		}
		leaving += in.memory
	}
	f.serveWaiting() // with what is used no more
}

// use is what an instance has used of the machine.
type use struct {
	cpu    time.Duration
	memory int64
}

// measure looks at every instance and zygote. It takes a while, so the lock is not held meanwhile.
func (f *Fleet) measure() map[*instance]use {
	used := map[*instance]use{}
	f.mu.Lock()
	for _, p := range f.pools {
		for in := range p.all {
			used[in] = use{}
		}
		for _, z := range p.nursery.all {
			used[z.instance] = use{}
		}
	}
	f.mu.Unlock()
	for in := range used {
		if u, err := in.proc.Usage(); err == nil {
			used[in] = use{u.CPU, u.Memory}
		} else {
			delete(used, in)
		}
	}
	return used
}

// sweep ends the idle instances that are due. The caller holds the fleet's lock.
func (p *Pool) sweep(now time.Time, used map[*instance]use) {
	var due []*instance
	for _, in := range p.open {
		if in.active > 0 {
			continue
		}
		u, known := used[in]
		switch {
		case !in.usable():
			p.cfg.Logger.Debug("an idle instance ended", "function", p.cfg.Function, "instance", in.id)
			due = append(due, in)
		case now.Sub(in.idleSince) > p.cfg.Idle && p.ready()-len(due) > p.how.KeepWarm,
			known && in.burning(u.cpu):
			due = append(due, in)
		}
	}
	for _, in := range due {
		p.bury(in)
	}
}

// burning tells whether an idle instance has used CPU steadily since it became idle.
func (in *instance) burning(total time.Duration) bool {
	if !in.burned(total) {
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
