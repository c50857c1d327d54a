package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// TestNothingIsLeftOfARequest: with isolation for each request, an invocation finds nothing of another, in
// whatever process it runs.
func TestNothingIsLeftOfARequest(t *testing.T) {
	const leaky = `const fs = require('fs'), net = require('net');
globalThis.n = 0; let m = 0;
exports.handler = async () => {
  const found = [];
  if (globalThis.n++ || m++ || ({}).polluted || process.env.LEFT || process.title === 'left') found.push('memory');
  found.push(...fs.readdirSync('/tmp'));
  const open = await new Promise((r) => net.connect(4321, '127.0.0.1').on('connect', () => r(true)).on('error', () => r(false)));
  if (open) found.push('server');
  Object.prototype.polluted = true; process.env.LEFT = '1'; process.title = 'left';
  require.cache[__filename].exports.handler = () => 'mine';
  fs.writeFileSync('/tmp/left', 'x'); process.umask(0o77);
  net.createServer(() => {}).listen(4321, '127.0.0.1');
  setInterval(() => { globalThis.n++; }, 1);
  return found.join() || 'nothing';
};
`
	for name, o := range map[string]struct {
		blanks, warm int
		forks        bool
	}{"fresh": {0, 0, false}, "from blanks": {2, 0, false}, "kept warm": {0, 2, false}, "forked": {0, 1, true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, FleetOptions{Blanks: o.blanks})
			if o.forks {
				w = forkingWorld(t, FleetOptions{})
			}
			p := w.pool(&policy.Policy{Function: "f", Rules: []policy.Rule{{Kind: policy.Write, Pattern: "/tmp/**"}},
				Running: weir.Running{Isolation: weir.PerRequest, KeepWarm: o.warm, Concurrency: 5}}, leaky, nil)
			w.until("what waits is ready", func() bool { return len(w.fleet.blanks.ready) == o.blanks && len(p.open) == o.warm })
			if o.forks {
				w.bred(p, "{}")
			}
			var mu sync.Mutex
			seen := map[string]bool{}
			var callers sync.WaitGroup
			for range 3 {
				callers.Go(func() {
					for range 4 {
						got, info := call(t, p, "{}")
						mu.Lock()
						if got != `"nothing"` || seen[info.Instance] {
							t.Errorf("found of another invocation: %s; the instance was used before: %t", got, seen[info.Instance])
						}
						seen[info.Instance] = true
						mu.Unlock()
					}
				})
			}
			callers.Wait()
			w.until("nothing is left but what is kept warm", func() bool {
				return p.running == o.warm && len(p.open) == o.warm && len(w.fleet.blanks.ready) == o.blanks && !w.fleet.blanks.starting
			})
			if o.blanks > 0 {
				w.until("the folders go", func() bool { return w.folders() == o.blanks })
			}
		})
	}
}

// TestKeptWarm: instances are there before anybody calls, are not idle for too long, and come again.
func TestKeptWarm(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{KeepWarm: 2}}, tame, nil)
	w.until("two are ready", func() bool { return len(p.open) == 2 })
	if code, info := invoke(t, p, "{}"); code != "" || info.Cold || info.Start != "" {
		t.Errorf("the first caller got %q, %+v", code, info)
	}
	w.fleet.sweep(time.Now().Add(2 * DefaultIdle))
	if p.running != 2 || len(p.open) != 2 {
		t.Errorf("after a long time %d are left", len(p.open))
	}
	w.fleet.mu.Lock()
	victim := p.open[0]
	w.fleet.mu.Unlock()
	victim.proc.Kill()
	<-victim.exited
	w.fleet.sweep(time.Now())
	w.until("it is replaced", func() bool { return len(p.open) == 2 && p.open[0] != victim && p.open[1] != victim && p.running == 2 })
}

// TestCrashLoopBacksOff: what ends before it has served anybody is started again ever more seldom.
func TestCrashLoopBacksOff(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"later":     "exports.handler = async () => 1; setImmediate(() => process.exit(3));",
		"at import": "throw new Error('not today');",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, FleetOptions{})
			p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{KeepWarm: 3}}, source, nil)
			var ends int
			var last time.Duration
			w.until("it has failed three times", func() bool {
				if p.retry.wait != last {
					last = p.retry.wait
					ends++
				}
				if p.running > 1 && name == "at import" {
					t.Error("several are started at a time")
				}
				return last >= 4*minBackOff
			})
			if ends > 3 {
				t.Errorf("it waits for %s after %d ends", last, ends)
			}
		})
	}
}

// closeAtOnce closes a pool in which an import never ends.
func (w *world) closeAtOnce(p *Pool) {
	w.t.Helper()
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		w.fleet.o.Launcher.Close() // else all would wait for the import
		w.t.Fatal("it waits for the import")
	}
}

// TestCloseWhileStarting: an import that never ends holds nobody up, and nothing is left; who waits for it is told.
func TestCloseWhileStarting(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	endless := func(cfg *Config) { cfg.loadTime = time.Hour } // so that it does not end by itself
	loading := make(chan struct{})
	var once sync.Once
	w.log = func(Line) { once.Do(func() { close(loading) }) }
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{KeepWarm: 1}}, "console.log('loading'); for (;;) {}", endless)
	<-loading
	waits := make(chan error)
	go func() {
		_, _, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage("{}")})
		waits <- err
	}()
	w.until("a caller waits", func() bool { return p.running == 2 })
	w.closeAtOnce(p)
	if err := <-waits; weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("the caller got %v", err)
	}
	if w.fleet.instances != 0 || p.running != 0 || w.fleet.memory != 0 {
		t.Errorf("%d instances and %d bytes are left", w.fleet.instances, w.fleet.memory)
	}
	if _, _, err := p.Invoke(t.Context(), weir.Invocation{}); weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("a closed pool answers %v", err)
	}
}

// TestConcurrency: an instance takes as many invocations at a time as the policy says, before another is
// started.
func TestConcurrency(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Concurrency: 3}}, counting, func(cfg *Config) { cfg.Max = 2 })
	var callers sync.WaitGroup
	defer callers.Wait()
	for range 3 {
		callers.Go(func() { call(t, p, `{"ms":1000}`) })
		w.until("it is served", func() bool { return len(p.all) == 1 })
	}
	w.until("one serves three", func() bool {
		for in := range p.all {
			return in.active == 3
		}
		return false
	})
	callers.Go(func() { call(t, p, "{}") })
	w.until("the fourth has another", func() bool { return p.running == 2 })
}

// TestSpoiltInstanceGetsNothingMore: what wrote to its channel gets no other invocation, though it is never
// idle, and nobody waits for it; those that it has come to their end.
func TestSpoiltInstanceGetsNothingMore(t *testing.T) {
	const spoils = `const fs = require('fs');
exports.handler = (e) => new Promise((r) => { if (e.spoil) fs.writeSync(3, 'x'.repeat(100)); setTimeout(r, e.ms ?? 0, 1); });
`
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Concurrency: 3}}, spoils, nil)
	_, first := call(t, p, "{}")
	var callers sync.WaitGroup
	defer callers.Wait()
	callers.Go(func() { call(t, p, `{"ms":5000}`) })
	w.until("it is served", func() bool { return len(p.open) == 1 && p.open[0].active == 1 })
	if _, info := call(t, p, `{"spoil":true}`); info.Instance != first.Instance {
		t.Fatalf("%+v, then %+v", first, info)
	}
	w.fleet.mu.Lock()
	p.patience = time.Hour
	w.fleet.mu.Unlock()
	if _, info := call(t, p, "{}"); info.Instance == first.Instance {
		t.Error("it was given another invocation")
	}
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	if p.running != 2 {
		t.Error("a caller waited for its end")
	}
}

// TestIdleMakesRoom: when the server is full, the instance that has been idle for the longest gives way, and
// one that serves does not.
func TestIdleMakesRoom(t *testing.T) {
	w := newWorld(t, FleetOptions{MaxInstances: 2})
	var pools []*Pool
	for _, name := range []string{"a", "b", "c", "d"} {
		pools = append(pools, w.pool(&policy.Policy{Function: name}, counting, nil))
	}
	for _, i := range []int{0, 1, 0} {
		call(t, pools[i], "{}")
	}
	call(t, pools[2], "{}")
	w.until("b has given way", func() bool { return pools[0].running == 1 && pools[1].running == 0 && pools[2].running == 1 })
	var callers sync.WaitGroup
	callers.Go(func() { call(t, pools[0], `{"ms":1000}`) })
	w.until("a serves", func() bool { return len(pools[0].open) == 0 })
	call(t, pools[3], "{}")
	w.until("c has given way", func() bool { return pools[2].running == 0 && pools[3].running == 1 })
	callers.Wait()
	if got, _ := call(t, pools[0], "{}"); got != "4" {
		t.Errorf("a's instance has served %s", got)
	}
}

// TestMemoryBudget: idle instances that hold too much together are ended, the longest idle first, and there
// are no blanks then; and a full server starts no instance.
func TestMemoryBudget(t *testing.T) {
	const hungry = "const b = Buffer.alloc(150 << 20, 1); exports.handler = async (e) => { if (e.ms) await new Promise((r) => setTimeout(r, e.ms)); return b.length; };"
	w := newWorld(t, FleetOptions{Blanks: 1, MaxMemory: 400 << 20})
	var pools []*Pool
	for _, name := range []string{"a", "b", "c"} {
		pools = append(pools, w.pool(&policy.Policy{Function: name}, hungry, nil))
		call(t, pools[len(pools)-1], "{}")
	}
	w.fleet.sweep(time.Now())
	w.until("the first has given way", func() bool { return pools[0].running == 0 })
	if pools[2].running != 1 {
		t.Error("the last one was ended")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	defer callers.Wait()
	defer cancel()
	for _, p := range pools[1:] {
		callers.Go(func() {
			p.Invoke(ctx, weir.Invocation{ID: "r", Function: p.cfg.Function, Event: json.RawMessage(`{"ms":5000}`)})
		})
	}
	w.until("both serve", func() bool {
		return len(pools[1].open)+len(pools[2].open) == 0 && pools[1].running*pools[2].running == 1
	})
	w.fleet.mu.Lock()
	w.fleet.o.MaxMemory = 250 << 20
	w.fleet.mu.Unlock()
	w.fleet.sweep(time.Now())
	w.until("there is no blank", func() bool { return len(w.fleet.blanks.ready) == 0 && !w.fleet.blanks.starting })
	refused, giveUp := context.WithCancel(t.Context())
	callers.Go(func() {
		pools[0].Invoke(refused, weir.Invocation{ID: "r", Function: "a", Event: json.RawMessage("{}")})
	})
	w.queued(pools[0], 1)
	giveUp()
}

// TestEveryEndOfABlank: what a function does to its process hurts neither the next blank nor the folder
// that it had.
func TestEveryEndOfABlank(t *testing.T) {
	t.Parallel()
	w := newWorld(t, FleetOptions{Blanks: 1, MaxInstances: 1})
	p := w.pool(&policy.Policy{Function: "f", Limits: weir.Limits{Timeout: 2 * time.Second, Memory: 128 << 20}}, `exports.handler = async (e) => {
  if (e.how === 'exit') process.exit(1);
  if (e.how === 'kill') process.kill(process.pid, 'SIGKILL'), process.abort();
  if (e.how === 'spin') for (;;);
  if (e.how === 'eat') { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); }
  return 1;
};`, nil)
	for how, want := range map[string]weir.Code{"exit": weir.Crashed, "kill": weir.Crashed, "spin": weir.TimedOut, "eat": weir.Crashed} {
		w.blanksReady(1)
		if code, info := invoke(t, p, fmt.Sprintf(`{"how":%q}`, how)); code != want || info.Start != "pool" {
			t.Errorf("%q: %q, started from %q", how, code, info.Start)
		}
		w.until("it is gone", func() bool { return p.running == 0 })
	}
	p.Close()
	w.blanksReady(1)
	w.until("their folders go", func() bool { return w.folders() == 1 })
}

// TestKeptWarmMakesNoRoom: what is to be kept while nobody calls is not ended for another function's sake.
func TestKeptWarmMakesNoRoom(t *testing.T) {
	w := newWorld(t, FleetOptions{MaxInstances: 1})
	kept := w.pool(&policy.Policy{Function: "kept", Running: weir.Running{KeepWarm: 1}}, tame, nil)
	w.until("it is ready", func() bool { return len(kept.open) == 1 })
	other := w.pool(&policy.Policy{Function: "other"}, tame, nil)
	ctx, giveUp := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	callers.Go(func() {
		if _, _, err := other.Invoke(ctx, weir.Invocation{ID: "r", Function: "other", Event: json.RawMessage("{}")}); weir.ErrorCode(err) != weir.Unavailable {
			t.Errorf("the caller got %v", err)
		}
	})
	w.until("the other's caller waits, or is served", func() bool { return other.queue.Len() == 1 || w.fleet.evicting+other.running > 0 })
	w.until("what is kept is there", func() bool { return len(kept.open) == 1 && w.fleet.evicting == 0 })
	giveUp()
	callers.Wait()
}
