package instance

// The pool of one function: which instance serves the next invocation, and when one starts.

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/weir"
)

const (
	// DefaultMax is how many instances one function may have at a time.
	DefaultMax = 32
	// DefaultQueue is how many callers of one function may wait for an instance.
	DefaultQueue = 1000
	// DefaultIdle is how long an instance may wait for work before it is ended.
	DefaultIdle = 5 * time.Minute
)

// Config is what a pool needs to start instances of one function.
type Config struct {
	Function string
	Bundle   weir.Bundle
	Engine   *policy.Engine
	Env      map[string]string // the site's variables; the function sees those its policy names
	Platform map[string]string // variables that every function of the site sees (URL, SITE_NAME …)
	Node     runtime.Node
	Shared   []string // what write rules of the site's functions grant
	Own      []string // the site's own files that decide what its functions are and may: none may write them
	Fleet    *Fleet
	Egress   *egress.Function // closed with the pool
	Recorder record.Recorder
	Log      func(Line) // takes what functions print; called from several goroutines
	Logger   *slog.Logger
	Max      int           // 0: DefaultMax
	Queue    int           // callers that may wait; 0: DefaultQueue
	Idle     time.Duration // 0: DefaultIdle

	CodeDir string // where compiled code is kept; "": nowhere, and none is made

	loadTime time.Duration // 0: the constant of that name; tests have other ideas

	host *host     // made by NewPool
	code *compiled // likewise
}

// Info says which instance served an invocation.
type Info struct {
	Instance string       // "" when none could be started
	Cold     bool         // it was started for this invocation
	Start    record.Start // how, if it was
}

// Pool serves the invocations of one function. It is safe for concurrent use.
type Pool struct {
	cfg     Config
	limits  weir.Limits
	how     weir.Running // defaults filled in
	profile *profile     // of the blanks that it can use, nil: none
	live    sync.WaitGroup
	stop    context.CancelFunc
	ctx     context.Context

	// The fleet's lock guards what follows.
	all      map[*instance]bool // that have started
	open     []*instance        // that have room for an invocation, the warmest last
	queue    list.List          // of *waiter, who came first in front
	patience time.Duration      // what callers wait for a busy instance before another is started
	growing  bool               // that is being watched
	running  int                // instances that run, are being started or are being ended
	warming  bool               // one of them is being started for nobody yet
	retry    backOff            // of what is started for nobody
	called   time.Time          // when somebody wanted an instance last
	nursery  nursery
	closed   bool
}

// NewPool makes a pool. It starts only what is to be kept warm.
func NewPool(cfg Config) *Pool {
	cfg.Max, cfg.Queue, cfg.Idle = cmp.Or(cfg.Max, DefaultMax), cmp.Or(cfg.Queue, DefaultQueue), cmp.Or(cfg.Idle, DefaultIdle)
	cfg.loadTime = cmp.Or(cfg.loadTime, loadTime)
	cfg.host = &host{function: cfg.Function, engine: cfg.Engine, logger: cfg.Logger}
	p := &Pool{cfg: cfg, limits: cfg.Bundle.Config.Limits(cfg.Engine.Policy().Limits), how: cfg.Engine.Policy().Running, all: map[*instance]bool{}, patience: firstPatience}
	if p.how.Concurrency = max(1, p.how.Concurrency); p.how.Isolation == weir.PerRequest {
		p.how.Concurrency = 1
	}
	p.profile = cfg.profile()
	p.cfg.code = newCompiled(&p.cfg, p.limits)
	p.ctx, p.stop = context.WithCancel(context.Background())
	cfg.Fleet.join(p)
	return p
}

// Limits gives the limits in force, defaults filled in.
func (p *Pool) Limits() weir.Limits { return p.limits }

// Invoke runs one invocation on an instance that has room for it, or a new one. When ctx ends while it
// waits for one, it gives up; not later. Errors are *weir.Error: TimedOut, Crashed, TooLarge, Broken (the
// function can't be loaded), NoWall (no sandbox), Busy (the function has as many instances and callers
// as it may, or had until the invocation's time was over), Unavailable (the server has).
func (p *Pool) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, Info, error) {
	p.cfg.Fleet.callers.Add(1)
	defer p.cfg.Fleet.callers.Add(-1)
	in, cold, err := p.take(ctx)
	if err != nil {
		return weir.Result{}, Info{Cold: cold}, err
	}
	info := Info{Instance: in.id, Cold: cold}
	if cold {
		info.Start = in.start
	}
	res, err := in.invoke(inv, func() { p.release(in) })
	return res, info, err
}

// Close ends every idle instance at once and every busy one when its work is over, then closes the
// pool's connections to the outside. Invoke must not be called any more.
func (p *Pool) Close() {
	f := p.cfg.Fleet
	f.mu.Lock()
	p.closed = true
	for in := range p.all {
		p.retire(in)
	}
	if z := p.nursery.zygote; z != nil {
		z.retire()
	}
	f.mu.Unlock()
	p.stop()
	p.live.Wait()
	f.leave(p)
	p.cfg.Egress.Close()
}

// pop takes the warmest instance that has room, nil if there is none. The caller holds the fleet's lock.
func (p *Pool) pop() *instance {
	for len(p.open) > 0 {
		in := p.open[len(p.open)-1]
		if !in.usable() {
			p.bury(in)
			continue
		}
		if in.active++; in.active >= p.how.Concurrency {
			p.open = slices.Delete(p.open, len(p.open)-1, len(p.open))
		}
		return in
	}
	return nil
}

// release takes an instance back when one of its invocations is over.
func (p *Pool) release(in *instance) {
	f := p.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	full := in.active == p.how.Concurrency
	in.active--
	in.served, in.idleSince = true, time.Now()
	p.retry.succeeded()
	switch {
	case in.dead.Load():
		p.retire(in)
		go in.end() // whatever else runs there
	case in.conn.Spoilt(): // what runs there may come to its end
		p.retire(in)
	case p.closed || in.retired || p.how.Isolation == weir.PerRequest:
		p.retire(in)
	case in.active == 0 && f.owes(p):
		f.makeRoom(in)
	case full:
		p.open = append(p.open, in)
	}
	if len(f.waiting) > 0 {
		f.serveWaiting()
	}
	// Now, as they would have been in the invocation's way before.
	if len(f.blanks.ready) < f.o.Blanks {
		f.refill()
	}
	if p.mayBreed(time.Now()) {
		p.live.Go(p.breed)
	}
}

// retire gives an instance nothing to do any more and ends it when it has nothing left to do. The caller
// holds the fleet's lock.
func (p *Pool) retire(in *instance) {
	in.retired = true
	p.open = slices.DeleteFunc(p.open, func(o *instance) bool { return o == in })
	if in.active == 0 {
		go in.end()
	}
}

// bury retires an instance that ended by itself while it was idle. The caller holds the fleet's lock.
func (p *Pool) bury(in *instance) {
	if !in.served {
		p.retry.failed(time.Now())
	}
	p.retire(in)
}

// ended takes account of the end of an instance.
func (p *Pool) ended(in *instance) {
	f := p.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(p.all, in)
	if in.evicted {
		f.evicting--
	}
	p.uncount(in.memory)
}

// mayStart tells whether one more instance may be started. The caller holds the fleet's lock.
func (p *Pool) mayStart() bool { return p.running < p.cfg.Max && p.cfg.Fleet.room() }

// count takes account of an instance that is about to be started, which uncount undoes. The caller holds
// the fleet's lock.
func (p *Pool) count() {
	f := p.cfg.Fleet
	p.running++
	f.instances++
	f.memory += startMemory
	p.live.Add(1)
}

func (p *Pool) uncount(memory int64) {
	f := p.cfg.Fleet
	p.running--
	f.instances--
	f.memory -= memory
	f.serveWaiting()
	p.keepWarm()
	p.live.Done()
}

// start starts an instance that was counted, for one invocation or, if active is 0, for nobody yet.
func (p *Pool) start(active int) (*instance, error) {
	f := p.cfg.Fleet
	begin := time.Now()
	in, err := newInstance(p.ctx, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	p.started(time.Since(begin))
	if active == 0 {
		p.warming = false
	}
	if err != nil {
		if p.ctx.Err() != nil {
			err = replaced()
		}
		if active == 0 {
			p.retry.failed(time.Now())
		}
		p.uncount(startMemory)
		return nil, err
	}
	in.active, in.idleSince = active, time.Now()
	p.all[in] = true
	p.live.Go(func() { p.cfg.code.want(p.ctx) }) // in is live, so Close still waits for more
	if active == 0 {
		p.live.Go(p.breed)
	}
	if p.closed {
		p.retire(in)
	} else if active < p.how.Concurrency {
		p.open = append(p.open, in)
		f.serveWaiting()
		p.keepWarm()
	}
	return in, nil
}

func replaced() error {
	return &weir.Error{Code: weir.Unavailable, Message: "the function is being replaced", Remedy: "try again"}
}

// keepWarm starts an instance for nobody, if one is missing of those that are to be kept and the fleet has
// room for it. The caller holds the fleet's lock.
func (p *Pool) keepWarm() {
	wanted := p.how.KeepWarm
	if p.spare(time.Now()) {
		wanted = max(wanted, 1)
	}
	if p.closed || p.warming || p.ready() >= wanted || time.Now().Before(p.retry.after) ||
		p.running >= p.cfg.Max || !p.cfg.Fleet.fits() {
		return
	}
	p.warming = true
	p.count()
	go func() {
		if _, err := p.start(0); err != nil && p.ctx.Err() == nil {
			p.cfg.Logger.Error("no instance can be kept warm", "function", p.cfg.Function, "error", err)
		}
	}()
}

// ready counts the instances that are kept warm: those that serve, or of a function whose instances serve
// but once those that have not. The caller holds the fleet's lock.
func (p *Pool) ready() int {
	if p.how.Isolation == weir.PerRequest {
		return len(p.open)
	}
	n := 0
	for in := range p.all {
		if !in.retired {
			n++
		}
	}
	return n
}
