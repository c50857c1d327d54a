package instance

// The fleet is all instances of one server: it holds them to what the machine has, shares that out between
// the functions, and keeps the blanks.

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/sandbox"
	forkaddon "github.com/weir-run/weir/internal/sandbox/zygote"
)

// startMemory is what an instance is taken to need, in bytes, until it has been looked at.
const startMemory = 48 << 20

// FleetOptions say what a fleet may use. Zero bounds mean the defaults.
type FleetOptions struct {
	Launcher     *sandbox.Launcher
	Egress       *egress.Egress
	StateDir     string // where the blanks' folders are
	Logger       *slog.Logger
	Zygotes      bool  // functions have processes that are forked for their instances, where that can be
	Blanks       int   // processes that wait for a function; 0: none
	MaxInstances int   // of all functions together; 0: as many as fit into MaxMemory with startMemory each
	MaxMemory    int64 // bytes that instances and blanks may hold together; 0: three quarters of the machine's
}

// Fleet is safe for concurrent use. Its lock guards the state of its pools and their instances, too.
type Fleet struct {
	o          FleetOptions
	addon      []byte // by which zygotes are forked, nil: there are none
	tasks      *tasks // nil: there are no blanks
	ctx        context.Context
	stop       context.CancelFunc
	live       sync.WaitGroup // goroutines
	unfit      sync.Once      // to say that a bundle can't be linked
	unforkable sync.Once      // to say that this machine can't keep forked processes apart

	callers atomic.Int32 // whose invocation waits for its turn or for its answer

	mu        sync.Mutex
	pools     []*Pool
	waiting   []*Pool // those with callers that wait, whose turn is next first
	instances int     // that run, are being started or are being ended
	memory    int64   // that they, the blanks and the zygotes hold, in bytes, as of the last look
	evicting  int     // instances that are being ended to make room
	blanks    blanks
}

// NewFleet makes a fleet without instances. It is told and goes on without blanks if it can't have them.
func NewFleet(o FleetOptions) *Fleet {
	if o.MaxMemory == 0 {
		o.MaxMemory = machineMemory() / 4 * 3
	}
	if o.MaxInstances == 0 {
		o.MaxInstances = max(1, int(o.MaxMemory/startMemory))
	}
	f := &Fleet{o: o}
	if o.Zygotes {
		if f.addon = forkaddon.Addon(); f.addon == nil {
			o.Logger.Info("instances can't be forked: each starts by itself", "reason", errNoAddon)
		}
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	if o.Blanks > 0 {
		var err error
		if f.tasks, err = newTasks(o.StateDir); err != nil {
			o.Logger.Warn("no process waits for its function: every instance starts from nothing", "error", err)
			f.o.Blanks = 0
		}
	}
	f.live.Go(f.watch)
	return f
}

// busy tells whether several callers wait for something.
func (f *Fleet) busy() bool { return f.callers.Load() > 1 }

// Close ends the blanks. The pools must be closed before.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.stop() // with the lock: nothing is begun from now on
	f.mu.Unlock()
	f.live.Wait()
	for _, b := range f.blanks.ready {
		b.process.end()
	}
	f.blanks.ready = nil
	f.tasks.close()
}

// machineMemory gives what memory the machine has, in bytes, or less if a cgroup bounds it
// (proc_meminfo(5), cgroups(7)).
func machineMemory() int64 {
	memory := int64(1 << 30)
	text, err := os.ReadFile("/proc/meminfo")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 1 && fields[0] == "MemTotal:" {
		if kB, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			memory = kB << 10
		}
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(name)
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
			memory = min(memory, n)
		}
	}
	return memory
}

// room tells whether one more instance may start. If not, and none is on its way out, room is made: of
// blanks first, then of the instance that has been idle for the longest. The caller holds f.mu.
func (f *Fleet) room() bool {
	for f.memory+startMemory > f.o.MaxMemory && f.dropBlank() {
	}
	if f.fits() {
		return true
	}
	if f.evicting == 0 {
		f.evict()
	}
	return false
}

// fits tells whether one more instance is within the bounds. The first always is. The caller holds f.mu.
func (f *Fleet) fits() bool {
	return f.instances < f.o.MaxInstances && (f.memory+startMemory <= f.o.MaxMemory || f.instances == 0)
}

// evict ends the instance that has been idle for the longest, but for those that are to be kept warm, and
// gives it; nil if there is none. A zygote without children is one if memory is what is missing. The caller
// holds f.mu.
func (f *Fleet) evict() *instance {
	var oldest *instance
	var eldest *zygote
	for _, p := range f.pools {
		z := p.nursery.zygote
		if z != nil && z.users == 0 && f.memory+startMemory > f.o.MaxMemory && (oldest == nil || z.idleSince.Before(oldest.idleSince)) {
			oldest, eldest = z.instance, z
		}
		if p.running <= p.how.KeepWarm || p.queue.Len() > 0 { // whom it will serve next; see owes
			continue
		}
		for _, in := range p.open {
			if in.active == 0 && (oldest == nil || in.idleSince.Before(oldest.idleSince)) {
				oldest, eldest = in, nil
			}
		}
	}
	switch {
	case eldest != nil:
		f.evicting++
		eldest.evicted = true
		eldest.retire()
	case oldest != nil:
		f.makeRoom(oldest)
	}
	return oldest
}

// makeRoom ends an idle instance so that another can start. The caller holds f.mu.
func (f *Fleet) makeRoom(in *instance) {
	f.evicting++
	in.evicted = true
	in.pool.retire(in)
}

// serveWaiting gives what has become free to the callers that wait, one function after the other. The
// caller holds f.mu.
func (f *Fleet) serveWaiting() {
	for failed := 0; failed < len(f.waiting); {
		p := f.waiting[0]
		f.waiting = append(f.waiting[1:], p)
		if p.serveNext() {
			failed = 0
		} else {
			failed++
		}
		if p.queue.Len() == 0 {
			f.waiting = slices.DeleteFunc(f.waiting, func(q *Pool) bool { return q == p })
		}
	}
}

// owes tells whether p should give up an instance, as the fleet is full and a function waits that has
// fewer by two or more. The caller holds f.mu.
func (f *Fleet) owes(p *Pool) bool {
	return f.evicting == 0 && !f.fits() && slices.ContainsFunc(f.waiting, func(q *Pool) bool {
		return q.running < q.cfg.Max && q.running+1 < p.running
	})
}

// join and leave say which pools there are.
func (f *Fleet) join(p *Pool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pools = append(f.pools, p)
	f.blanks.want(p.profile, time.Now())
	f.refill()
	p.keepWarm()
}

func (f *Fleet) leave(p *Pool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pools = slices.DeleteFunc(f.pools, func(q *Pool) bool { return q == p })
	f.waiting = slices.DeleteFunc(f.waiting, func(q *Pool) bool { return q == p })
}
