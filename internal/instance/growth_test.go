package instance

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// TestCrowdOfShortCalls: who would be served in a moment starts no process.
func TestCrowdOfShortCalls(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, counting, nil)
	call(t, p, "{}")
	w.fleet.mu.Lock()
	p.patience = time.Hour
	w.fleet.mu.Unlock()
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 20 {
				call(t, p, "{}")
			}
		})
	}
	callers.Wait()
	if got, _ := call(t, p, "{}"); got != fmt.Sprint(16*20+2) {
		t.Errorf("one instance had %s of the calls", got)
	}
}

// TestCrowdOfLongCalls: who would have to wait for long gets a process of their own, from the first call on and
// though nothing ever becomes free.
func TestCrowdOfLongCalls(t *testing.T) {
	t.Parallel()
	const callers = 6
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, counting, nil)
	var all sync.WaitGroup
	defer all.Wait()
	for range callers {
		all.Go(func() { call(t, p, `{"ms":5000}`) })
	}
	w.until("each has an instance", func() bool { return len(p.all) == callers && p.queue.Len() == 0 })
}

// TestRequestIsolationWaitsForNobody: no instance would become free.
func TestRequestIsolationWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Isolation: weir.PerRequest}}, counting, nil)
	w.fleet.mu.Lock()
	p.patience = time.Hour
	w.fleet.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for range 3 {
		all.Go(func() { call(t, p, `{"ms":5000}`) })
	}
	w.until("each has a process", func() bool { return p.running == 3 && p.queue.Len() == 0 })
}

// TestWhoWaitedForTheServerGetsAnInstance: not only the first of them, when the server has room again for all.
func TestWhoWaitedForTheServerGetsAnInstance(t *testing.T) {
	t.Parallel()
	const callers = 3
	w := newWorld(t, FleetOptions{MaxInstances: callers})
	p := w.pool(&policy.Policy{Function: "f"}, counting, nil)
	w.fleet.mu.Lock()
	p.patience = maxPatience // all come at the same moment
	w.fleet.instances += callers
	w.fleet.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for range callers {
		all.Go(func() { call(t, p, `{"ms":5000}`) })
	}
	w.until("all wait", func() bool { return p.queue.Len() == callers })
	w.fleet.mu.Lock()
	for e := p.queue.Front(); e != nil; e = e.Next() {
		e.Value.(*waiter).since = time.Now() // however slow the machine is
	}
	w.fleet.instances -= callers
	w.fleet.serveWaiting()
	w.fleet.mu.Unlock()
	w.until("each has an instance", func() bool { return len(p.all) == callers && p.queue.Len() == 0 })
}

// TestMemoryThatIsGivenBackServesWhoWaits: though no instance has ended.
func TestMemoryThatIsGivenBackServesWhoWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, FleetOptions{})
	busy := w.pool(&policy.Policy{Function: "busy"}, counting, nil)
	p := w.pool(&policy.Policy{Function: "f"}, counting, nil)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { call(t, busy, `{"ms":8000}`) })
	w.until("one is busy", func() bool { return len(busy.all) == 1 })
	w.fleet.mu.Lock()
	w.fleet.memory += w.fleet.o.MaxMemory
	w.fleet.mu.Unlock()
	all.Go(func() { call(t, p, `{"ms":8000}`) })
	w.until("one waits", func() bool { return p.queue.Len() == 1 })
	w.fleet.sweep(time.Now())
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	if p.queue.Len() > 0 {
		t.Error("the caller still waits")
	}
}
