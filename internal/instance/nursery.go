package instance

// A function's zygote: a process that has loaded it and is forked for its instances. It is started once an
// instance has served, in nobody's way, and lives as long as the function is in use and memory allows. Where
// there is none, or it fails, instances start as they would without.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

// nursery is what a pool has of zygotes. The fleet's lock guards it.
type nursery struct {
	zygote   *zygote   // that is forked, nil: none
	all      []*zygote // and those that are kept for the children that they have, or are being ended
	starting bool
	never    bool // the function can't have one
	retry    backOff
}

// zygote is an instance that serves nobody.
type zygote struct {
	*instance
	pool  *Pool
	users int // forks that are under way, and children; the fleet's lock guards it
}

// unforkable says why no instance of the function is to be forked, "" if nothing speaks against it yet.
func (cfg *Config) unforkable() string {
	eng := cfg.Engine
	switch {
	case cfg.monitored():
		return "its policy is in monitor mode"
	case eng.Policy().Intrinsic && len(eng.Globs(policy.Read))+len(eng.Globs(policy.Write)) > 0:
		return "its policy's patterns of files mean what is there when an instance starts"
	}
	return ""
}

// breed starts the function's zygote, unless it has one or can't.
func (p *Pool) breed() {
	f := p.cfg.Fleet
	f.mu.Lock()
	wanted := p.mayBreed(time.Now())
	if wanted {
		p.nursery.starting = true
		f.memory += startMemory
		p.live.Add(1) // until it has ended
	}
	f.mu.Unlock()
	if !wanted {
		return
	}
	z, err := newZygote(p.ctx, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	p.nursery.starting = false
	if err != nil {
		f.memory -= startMemory
		p.unbred(err)
		p.live.Done()
		return
	}
	p.nursery.zygote, p.nursery.all = z, append(p.nursery.all, z)
	if p.closed {
		z.retire()
	}
	p.keepWarm()
}

// mayBreed tells whether a zygote is missing and there is room for it. The caller holds the fleet's lock.
func (p *Pool) mayBreed(now time.Time) bool {
	f, n := p.cfg.Fleet, &p.nursery
	return f.addon != nil && n.zygote == nil && !n.starting && !n.never && !p.closed && !now.Before(n.retry.after) &&
		f.memory+startMemory <= f.o.MaxMemory
}

// unbred takes account of a zygote that could not be started. What is not for want of time will be so again.
// The caller holds the fleet's lock.
func (p *Pool) unbred(err error) {
	if p.ctx.Err() != nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		p.nursery.retry.failed(time.Now())
		return
	}
	p.nursery.never = true
	tell := func() {
		p.cfg.Logger.Info("instances can't be forked: each starts by itself", "function", p.cfg.Function, "reason", err)
	}
	if weir.ErrorCode(err) == weir.NoWall { // it is the machine's fault
		p.cfg.Fleet.unforkable.Do(tell)
		return
	}
	tell()
}

// newZygote starts a process like an instance's and has the function's code loaded there. The error says why
// it can't be forked.
func newZygote(ctx context.Context, p *Pool) (*zygote, error) {
	if why := p.cfg.unforkable(); why != "" {
		return nil, errors.New(why)
	}
	in, spec := blankInstance(p)
	in.pool = nil // which is not told of its end
	in.code = nil // it was compiled for other flags of V8's
	spec.Argv, spec.Zygote = runtime.ZygoteArgv(p.cfg.Node, p.limits), zygoteChildren
	var err error
	if in.process, err = p.cfg.Fleet.startProcess(ctx, &profile{*spec, p.cfg.Egress.OwnTLS()}, nil); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, in.proc.Kill)()
	if err = in.connect(); err == nil {
		_, err = in.conn.Load(in.request(), time.Now().Add(p.cfg.loadTime))
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, p.cfg.loadTime)
		defer cancel()
		err = in.proc.(*sandbox.Process).WaitReady(ctx)
	}
	if err != nil {
		in.end()
		return nil, err
	}
	in.idleSince = time.Now()
	return &zygote{instance: in, pool: p}, nil
}

// borrow gives the zygote to fork, nil if there is none or it has as many children as it may. The fork, and
// then the child, holds it until release.
func (p *Pool) borrow() *zygote {
	f := p.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	z := p.nursery.zygote
	if z == nil || z.users >= zygoteChildren {
		return nil
	}
	z.users++
	return z
}

func (z *zygote) release() {
	f := z.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	z.users--
	z.idleSince = time.Now()
	if z.retired && z.users == 0 {
		go z.finish()
	}
}

// retire has the zygote forked no more, and ended once it has no children. The caller holds the fleet's lock.
func (z *zygote) retire() {
	if z.retired {
		return
	}
	z.retired = true
	z.pool.nursery.zygote = nil
	if z.users == 0 {
		go z.finish()
	}
}

// finish ends a zygote that nobody uses.
func (z *zygote) finish() {
	z.end()
	p, f := z.pool, z.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	p.nursery.all = slices.DeleteFunc(p.nursery.all, func(o *zygote) bool { return o == z })
	if z.evicted {
		f.evicting--
	}
	f.memory -= z.memory
	f.serveWaiting()
	p.live.Done()
}

// failed retires a zygote of which no child came to be. The next one waits, longer each time.
func (z *zygote) failed(err error) {
	f := z.cfg.Fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	if !z.retired {
		z.cfg.Logger.Warn("the function's zygote can't be forked any more: instances start by themselves until there is another",
			"function", z.cfg.Function, "error", err)
		z.pool.nursery.retry.failed(time.Now())
		z.retire()
	}
}

// fork makes the instance's process a child of z.
func (in *instance) fork(ctx context.Context, z *zygote) error {
	p := &process{egress: z.egress.Child(), zygote: z, exited: make(chan struct{})}
	ours, theirs, err := socketpair()
	if err == nil {
		defer theirs.Close()
		p.channel = ours
		p.logs, err = newLogs()
	}
	if err != nil {
		p.abandon()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	c, err := z.proc.(*sandbox.Process).Fork(ctx, theirs, p.logs.stdout, p.logs.stderr)
	p.logs.started()
	if err != nil {
		p.abandon()
		return fmt.Errorf("forking: %w", err)
	}
	p.proc = c
	go p.reap()
	in.process, in.start, in.code = p, record.FromZygote, nil
	return nil
}

// sweepZygotes ends the zygote if the function has not been in use for long, or buries it. The caller holds the fleet's lock.
func (p *Pool) sweepZygotes(now time.Time) {
	switch z := p.nursery.zygote; {
	case z == nil:
	case z.dead.Load():
		p.nursery.retry.failed(now)
		z.retire()
	case p.running > 0:
		z.idleSince = now
	case now.Sub(z.idleSince) > p.cfg.Idle:
		z.retire()
	}
}

// spare tells whether an instance is to wait that is forked for the next invocation: it is, if each gets one
// of its own, as long as there are any. The caller holds the fleet's lock.
func (p *Pool) spare(now time.Time) bool {
	return p.how.Isolation == weir.PerRequest && p.nursery.zygote != nil && now.Sub(p.called) < p.cfg.Idle
}
