package instance

// The pool of one function: which instance serves the next invocation, and when one ends.

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

const (
	// DefaultMax is how many instances one function may have at a time.
	DefaultMax = 32
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
	Launcher *sandbox.Launcher
	Egress   *egress.Function // closed with the pool
	Recorder record.Recorder
	Log      func(Line) // takes what functions print; called from several goroutines
	Logger   *slog.Logger
	Max      int           // 0: DefaultMax
	Idle     time.Duration // 0: DefaultIdle

	CodeDir string // where compiled code is kept; "": nowhere, and none is made

	host *host     // made by NewPool
	code *compiled // likewise
}

// Info says which instance served an invocation.
type Info struct {
	Instance string // "" when none could be started
	Cold     bool   // it was started for this invocation
}

// Pool serves the invocations of one function. It is safe for concurrent use.
type Pool struct {
	cfg    Config
	limits weir.Limits
	slots  chan struct{} // one token for each instance that may still be started

	mu     sync.Mutex
	idle   []*instance // the warmest last
	ready  chan struct{}
	closed bool
	live   sync.WaitGroup
	stop   context.CancelFunc
	ctx    context.Context
}

// NewPool makes a pool without instances.
func NewPool(cfg Config) *Pool {
	if cfg.Max == 0 {
		cfg.Max = DefaultMax
	}
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	cfg.host = &host{function: cfg.Function, engine: cfg.Engine, logger: cfg.Logger}
	p := &Pool{
		cfg:    cfg,
		limits: cfg.Engine.Policy().Limits.WithDefaults(),
		slots:  make(chan struct{}, cfg.Max),
		ready:  make(chan struct{}, 1),
	}
	for range cfg.Max {
		p.slots <- struct{}{}
	}
	p.cfg.code = newCompiled(&p.cfg, p.limits)
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.live.Add(1)
	go p.watch()
	return p
}

// Limits gives the limits in force, defaults filled in.
func (p *Pool) Limits() weir.Limits { return p.limits }

// Invoke runs one invocation on an idle instance or a new one. Errors are *weir.Error: TimedOut,
// Crashed, TooLarge, Broken (the function can't be loaded), NoWall (no sandbox), Unavailable (all
// instances stayed busy until the invocation's time was over).
func (p *Pool) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, Info, error) {
	in, cold, err := p.take(ctx)
	if err != nil {
		return weir.Result{}, Info{Cold: cold}, err
	}
	info := Info{Instance: in.id, Cold: cold}
	res, err := in.invoke(inv)
	if err != nil || !in.reusable() {
		in.end()
	} else {
		p.put(in)
	}
	return res, info, err
}

// Close ends every idle instance at once and every busy one when its invocation is over, then
// closes the pool's connections to the outside. Invoke must not be called any more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	p.stop()
	for _, in := range idle {
		in.end()
	}
	p.live.Wait()
	p.cfg.Egress.Close()
}

// take gives the warmest idle instance, or starts one, or waits until either is possible.
func (p *Pool) take(ctx context.Context) (in *instance, cold bool, err error) {
	if in := p.pop(); in != nil {
		return in, false, nil
	}
	wait := time.NewTimer(p.limits.Timeout)
	defer wait.Stop()
	for {
		if in := p.pop(); in != nil {
			return in, false, nil
		}
		select {
		case <-p.slots:
			in, err := p.start(ctx)
			if err != nil {
				p.slots <- struct{}{}
				return nil, true, err
			}
			return in, true, nil
		case <-p.ready:
		case <-ctx.Done():
			return nil, false, &weir.Error{Code: weir.Unavailable, Message: "the caller gave up", Err: ctx.Err()}
		case <-wait.C:
			return nil, false, &weir.Error{Code: weir.Unavailable,
				Message: "all instances of " + p.cfg.Function + " are busy",
				Remedy:  "try again, or shorten the function's work"}
		}
	}
}

// pop takes the warmest idle instance that is still alive, nil if there is none. One that is
// taken leaves a signal for the next waiter if others remain.
func (p *Pool) pop() *instance {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		in := p.idle[n-1]
		p.idle = p.idle[:n-1]
		if n > 1 {
			p.signal()
		}
		p.mu.Unlock()
		if in.reusable() {
			return in
		}
		in.end()
	}
}

func (p *Pool) put(in *instance) {
	in.idleSince = time.Now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		in.end()
		return
	}
	p.idle = append(p.idle, in)
	p.signal()
	p.mu.Unlock()
}

// signal wakes one waiter, if there is one.
func (p *Pool) signal() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// start starts an instance for which the caller holds a slot. The slot returns when it ends.
func (p *Pool) start(ctx context.Context) (*instance, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, &weir.Error{Code: weir.Unavailable, Message: "the function is being replaced", Remedy: "try again"}
	}
	p.live.Add(1)
	p.mu.Unlock()
	in, err := newInstance(ctx, &p.cfg, p.limits, func() {
		p.slots <- struct{}{}
		p.live.Done()
	})
	if err != nil {
		p.live.Done()
		return nil, err
	}
	p.live.Go(func() { p.cfg.code.want(p.ctx) }) // in is live, so Close still waits for more
	return in, nil
}
