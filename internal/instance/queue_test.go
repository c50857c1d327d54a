package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// counting answers how many invocations its instance has begun, after e.ms milliseconds.
const counting = `let n = 0;
exports.handler = async (e) => { const mine = ++n; if (e.ms) await new Promise((r) => setTimeout(r, e.ms)); return mine; };
`

// queued waits until n callers of p wait.
func (w *world) queued(p *Pool, n int) {
	w.t.Helper()
	w.until(fmt.Sprint(n, " callers wait"), func() bool { return p.queue.Len() == n })
}

// TestQueueIsInOrder: who came first is served first.
func TestQueueIsInOrder(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, counting, func(cfg *Config) { cfg.Max = 1 })
	var callers sync.WaitGroup
	defer callers.Wait()
	callers.Go(func() { call(t, p, `{"ms":1000}`) })
	w.until("the first is served", func() bool { return p.running == 1 })
	for i := range 10 {
		callers.Go(func() {
			if got, _ := call(t, p, "{}"); got != fmt.Sprint(i+2) {
				t.Errorf("caller %d was number %s", i+2, got)
			}
		})
		w.queued(p, i+1)
	}
}

// TestQueueIsBounded: it is the function's bound or the server's that a caller meets, who is told which.
func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t, FleetOptions{MaxInstances: 2})
	few := func(cfg *Config) { cfg.Max, cfg.Queue = 1, 2 }
	own := w.pool(&policy.Policy{Function: "own"}, counting, few)
	servers := w.pool(&policy.Policy{Function: "servers"}, counting, func(cfg *Config) { cfg.Max, cfg.Queue = 2, 2 })
	var callers sync.WaitGroup
	defer callers.Wait()
	for _, p := range []*Pool{own, servers} {
		callers.Go(func() { call(t, p, `{"ms":2000}`) })
		w.until("one is served", func() bool { return p.running == 1 })
		for i := range 2 {
			callers.Go(func() { call(t, p, "{}") })
			w.queued(p, i+1)
		}
	}
	for p, want := range map[*Pool]weir.Code{own: weir.Busy, servers: weir.Unavailable} {
		if code, _ := invoke(t, p, "{}"); code != want {
			t.Errorf("%s: %q", p.cfg.Function, code)
		}
	}
}

// TestWhoHangsUpLeavesTheQueue, and nothing is done for them; whose invocation has begun is served to its
// end.
func TestWhoHangsUpLeavesTheQueue(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, counting, func(cfg *Config) { cfg.Max, cfg.Queue = 1, 10000 })
	ctx, hangUp := context.WithCancel(t.Context())
	ask := func(event string) weir.Code {
		_, _, err := p.Invoke(ctx, weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage(event)})
		return weir.ErrorCode(err)
	}
	var callers sync.WaitGroup
	callers.Go(func() {
		if code := ask(`{"ms":3000}`); code != "" {
			t.Errorf("who hung up during the invocation got %q", code)
		}
	})
	w.until("the first is served", func() bool { return p.running == 1 })
	for range 9000 {
		callers.Go(func() {
			if code := ask("{}"); code != weir.Unavailable {
				t.Errorf("who hung up while waiting got %q", code)
			}
		})
	}
	w.queued(p, 9000)
	numbers := make(chan string, 1000)
	for range 1000 {
		callers.Go(func() { got, _ := call(t, p, "{}"); numbers <- got })
	}
	w.queued(p, 10000)
	hangUp()
	callers.Wait()
	seen := map[string]bool{}
	for range 1000 {
		seen[<-numbers] = true
	}
	if len(seen) != 1000 || !seen["1001"] {
		t.Errorf("%d callers were served by one instance", len(seen))
	}
	w.queued(p, 0)
}

// TestHangUpsAtEveryMoment lose neither an instance nor the room in one.
func TestHangUpsAtEveryMoment(t *testing.T) {
	w := newWorld(t, FleetOptions{MaxInstances: 3})
	pools := []*Pool{w.pool(&policy.Policy{Function: "a"}, counting, nil), w.pool(&policy.Policy{Function: "b"}, counting, nil)}
	var callers sync.WaitGroup
	for i := range 400 {
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*5*time.Millisecond)
			defer cancel()
			pools[i%2].Invoke(ctx, weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage(`{"ms":3}`)})
		})
	}
	callers.Wait()
	w.until("everybody is idle", func() bool { return w.fleet.evicting == 0 && len(w.fleet.waiting) == 0 })
	for _, p := range pools {
		call(t, p, "{}")
		w.fleet.mu.Lock()
		for in := range p.all {
			if !in.retired && (in.active != 0 || !slices.Contains(p.open, in)) {
				t.Errorf("%s has an instance that serves nobody any more", p.cfg.Function)
			}
		}
		w.fleet.mu.Unlock()
	}
	w.until("the counts are right", func() bool {
		return w.fleet.instances == len(pools[0].all)+len(pools[1].all) && w.fleet.instances <= 3
	})
}

// TestFullServerIsShared: a function that takes all there is gives some of it up to another that has
// nothing, though it has callers waiting itself.
func TestFullServerIsShared(t *testing.T) {
	w := newWorld(t, FleetOptions{MaxInstances: 2})
	hog := w.pool(&policy.Policy{Function: "hog"}, counting, nil)
	other := w.pool(&policy.Policy{Function: "other"}, counting, nil)
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 500 {
		callers.Go(func() {
			hog.Invoke(ctx, weir.Invocation{ID: "r", Function: "hog", Event: json.RawMessage(`{"ms":200}`)})
		})
	}
	w.queued(hog, 498)
	call(t, other, "{}")
	w.fleet.mu.Lock()
	if hog.queue.Len() == 0 || hog.running == 0 {
		t.Errorf("the other function was served when %d callers of the first waited for %d instances", hog.queue.Len(), hog.running)
	}
	w.fleet.mu.Unlock()
	stop()
	callers.Wait()
}

// TestTurnThatComesTooLate: whoever hangs up at the moment of their turn gives it to the next, be it an
// instance or the right to start one.
func TestTurnThatComesTooLate(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, counting, func(cfg *Config) { cfg.Max = 1 })
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	late := func() (in *instance, err error) {
		w.fleet.mu.Lock()
		caller := p.enqueue()
		w.fleet.serveWaiting()
		w.fleet.mu.Unlock()
		in, _, err = p.await(gone, caller)
		return in, err
	}
	w.fleet.mu.Lock()
	p.count()
	w.fleet.mu.Unlock()
	if p.giveBack(nil); p.running != 0 || w.fleet.instances != 0 {
		t.Errorf("the right to start one is lost: %d are counted", p.running)
	}
	for range 50 { // which of the two is seen first is left to chance
		in, err := late()
		if err == nil {
			p.release(in)
		}
		w.fleet.mu.Lock()
		for in := range p.all {
			if in.active != 0 || !slices.Contains(p.open, in) {
				t.Errorf("the instance is lost: %d invocations are counted", in.active)
			}
		}
		if p.running != len(p.all) || w.fleet.instances != len(p.all) {
			t.Errorf("%d instances run, %d are counted", len(p.all), p.running)
		}
		w.fleet.mu.Unlock()
	}
	if got, _ := call(t, p, "{}"); got != "1" {
		t.Errorf("the next caller got %s", got)
	}
	w.fleet.mu.Lock()
	first, next := p.enqueue(), p.enqueue()
	w.fleet.serveWaiting()
	w.fleet.mu.Unlock()
	p.giveBack(<-first.turn)
	select {
	case in := <-next.turn:
		p.release(in)
	default:
		t.Error("the next in the queue is not served")
	}
}

// TestWhoWaitsSharesWhatStarts: an instance that starts for one caller has room for others that wait, and they need
// not wait for the first to be done.
func TestWhoWaitsSharesWhatStarts(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Concurrency: 3}, Limits: weir.Limits{Timeout: 20 * time.Second}}, `
let n = 0, all;
const met = new Promise((r) => { all = r; });
exports.handler = async () => {
  const waiting = setInterval(() => {}, 1000); // else nothing could come any more that answers
  if (++n === 3) all();
  await met;
  clearInterval(waiting);
  return 1;
};`, func(cfg *Config) { cfg.Max = 1 })
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			if code, _ := invoke(t, p, "{}"); code != "" {
				t.Errorf("a caller got %q", code)
			}
		})
	}
	callers.Wait()
}

// TestTurnOnAnInstanceThatIsNotWanted: whoever hangs up at the moment of their turn leaves no instance behind that
// another invocation has spoilt meanwhile.
func TestTurnOnAnInstanceThatIsNotWanted(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Concurrency: 2}}, counting, nil)
	call(t, p, "{}")
	w.fleet.mu.Lock()
	caller := p.enqueue()
	w.fleet.serveWaiting()
	in := <-caller.turn
	p.retire(in)
	w.fleet.mu.Unlock()
	p.giveBack(in)
	w.until("the instance has ended", func() bool { return p.running == 0 })
}
