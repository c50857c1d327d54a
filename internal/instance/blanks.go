package instance

// Blanks are processes that wait for their function: Node.js and the shim have started behind the walls of
// a profile, and what most functions use of Node is loaded. Each serves one function, once.

import (
	"context"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/runtime"
)

const (
	// blankIdle is for how long blanks of a profile are kept after one was last asked for.
	blankIdle = 30 * time.Minute
	// A blank that could not be started, or ended by itself, is followed by the next after a wait that
	// doubles.
	minBackOff, maxBackOff = time.Second, time.Minute
)

// blankMemory is the smallest memory limit, in bytes, of functions that blanks are for. What a blank has
// loaded beforehand holds some 5 MB, which may be what a function with less misses.
const blankMemory = 128 << 20

// blanks are the processes that wait, and what is wanted of them. The fleet's lock guards them.
type blanks struct {
	ready    []*blank // the oldest first
	wanted   []*want  // the last one asked for first
	starting bool
	retry    backOff
}

type blank struct {
	process *process
	profile *profile
}

// want is a profile and when it was last asked for.
type want struct {
	profile *profile
	asked   time.Time
}

// backOff says when to try again what failed.
type backOff struct {
	after time.Time
	wait  time.Duration
}

func (b *backOff) failed(now time.Time) {
	b.wait = min(max(2*b.wait, minBackOff), maxBackOff)
	b.after = now.Add(b.wait)
}

func (b *backOff) succeeded() { *b = backOff{} }

// profile gives what a blank for the function would be, nil if none can be: what the policy grants of the
// host is another for each function, what can be executed is fixed at the start, and little memory is soon full.
func (cfg *Config) profile() *profile {
	if eng := cfg.Engine; eng.Policy().Intrinsic && len(eng.Globs(policy.Read))+len(eng.Globs(policy.Write)) > 0 {
		return nil
	}
	s := cfg.spec()
	if s.Limits.Memory < blankMemory {
		return nil
	}
	if len(s.Exec) > 0 || len(s.Addons) > 0 || len(s.Read) > 0 || slices.ContainsFunc(s.Write, func(w string) bool { return !inTmp(w) }) {
		return nil
	}
	s.Name, s.Bundle, s.LeftOut = "a blank", "", nil
	s.Argv = append(s.Argv, runtime.Blank)
	// The limits that the supervisor keeps are no part of the sandbox.
	s.Limits.Timeout, s.Limits.Request, s.Limits.Response, s.Limits.Log = 0, 0, 0, 0
	return &profile{*s, cfg.Egress.OwnTLS()}
}

// want notes that a profile was asked for. A nil one is none.
func (b *blanks) want(pr *profile, now time.Time) {
	if pr == nil {
		return
	}
	i := slices.IndexFunc(b.wanted, func(w *want) bool { return w.profile.equal(pr) })
	if i < 0 {
		i = len(b.wanted)
		b.wanted = append(b.wanted, &want{profile: pr})
	}
	w := b.wanted[i]
	w.asked = now
	b.wanted = slices.Insert(slices.Delete(b.wanted, i, i+1), 0, w)
}

// take gives a blank of the function's profile, nil if there is none. It is nobody else's from then on.
func (f *Fleet) take(pr *profile) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blanks.want(pr, time.Now())
	for i, b := range f.blanks.ready {
		if !b.process.dead.Load() && b.profile.equal(pr) {
			f.blanks.ready = slices.Delete(f.blanks.ready, i, i+1)
			f.memory -= startMemory
			return b.process
		}
	}
	return nil
}

// shares gives the profiles of which there should be blanks, one for each blank. The caller holds f.mu.
func (f *Fleet) shares(now time.Time) []*profile {
	f.blanks.wanted = slices.DeleteFunc(f.blanks.wanted, func(w *want) bool { return now.Sub(w.asked) > blankIdle })
	var out []*profile
	for i := 0; i < f.o.Blanks && len(f.blanks.wanted) > 0; i++ {
		out = append(out, f.blanks.wanted[i%min(len(f.blanks.wanted), f.o.Blanks)].profile)
	}
	return out
}

// refill starts a blank in the background, if one is missing. The caller holds f.mu.
func (f *Fleet) refill() {
	now := time.Now()
	if f.blanks.starting || f.ctx.Err() != nil || now.Before(f.blanks.retry.after) || f.memory+startMemory > f.o.MaxMemory {
		return
	}
	missing := f.shares(now)
	for _, b := range f.blanks.ready {
		if i := slices.IndexFunc(missing, func(pr *profile) bool { return pr.equal(b.profile) }); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		}
	}
	if len(missing) == 0 {
		return
	}
	f.blanks.starting = true
	f.memory += startMemory
	f.live.Go(func() { f.startBlank(missing[0]) })
}

func (f *Fleet) startBlank(pr *profile) {
	p, err := f.newBlank(f.ctx, pr)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blanks.starting = false
	if err != nil {
		f.memory -= startMemory
		if f.ctx.Err() == nil {
			f.blanks.retry.failed(time.Now())
			f.o.Logger.Warn("a process that should wait for its function can't be started", "error", err)
		}
		return
	}
	f.blanks.ready = append(f.blanks.ready, &blank{p, pr})
	f.refill()
	if len(f.blanks.ready) > f.o.Blanks {
		f.dropBlank()
	}
}

// newBlank starts a process that sees an empty folder as /var/task.
func (f *Fleet) newBlank(ctx context.Context, pr *profile) (*process, error) {
	t, err := f.tasks.make()
	if err != nil {
		return nil, err
	}
	own := *pr
	own.spec.Bundle = t.dir
	p, err := f.startProcess(ctx, &own, nil)
	if err != nil {
		t.remove()
		return nil, err
	}
	p.task = t
	return p, nil
}

// dropBlank ends the blank that is wanted least: of a profile that nobody asks for, else the oldest. It
// tells whether there was one. The caller holds f.mu.
func (f *Fleet) dropBlank() bool {
	if len(f.blanks.ready) == 0 {
		return false
	}
	surplus := f.shares(time.Now())
	least := 0
	for i, b := range f.blanks.ready {
		j := slices.IndexFunc(surplus, func(pr *profile) bool { return pr.equal(b.profile) })
		if j < 0 {
			least = i
			break
		}
		surplus = slices.Delete(surplus, j, j+1)
	}
	b := f.blanks.ready[least]
	f.blanks.ready = slices.Delete(f.blanks.ready, least, least+1)
	f.memory -= startMemory
	f.live.Go(b.process.end)
	return true
}

// sweepBlanks ends blanks that nobody asks for any more and buries those that ended by themselves. The
// caller holds f.mu.
func (f *Fleet) sweepBlanks(now time.Time) {
	for _, b := range slices.Clone(f.blanks.ready) {
		if b.process.dead.Load() {
			f.blanks.retry.failed(now)
			f.blanks.ready = slices.DeleteFunc(f.blanks.ready, func(o *blank) bool { return o == b })
			f.memory -= startMemory
			f.live.Go(b.process.end)
		}
	}
	for len(f.blanks.ready) > len(f.shares(now)) && f.dropBlank() {
	}
	f.refill()
}
