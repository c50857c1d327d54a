package instance

// Functions that are served by forked processes: through the pool, as callers see them.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

// forkingWorld is a world in which functions have zygotes.
func forkingWorld(t *testing.T, o FleetOptions) *world {
	t.Helper()
	addon := mustAddon(t)
	w := newWorld(t, o)
	w.fleet.addon = addon
	if !forkable(w.fleet.o.Launcher) {
		t.Skip("no zygote can be had on this machine: see weir doctor")
	}
	return w
}

// bred calls the function once, as that is what its zygote comes after, and waits for that.
func (w *world) bred(p *Pool, event string) Info {
	w.t.Helper()
	_, info := call(w.t, p, event)
	w.until("the zygote is ready", func() bool { return p.nursery.zygote != nil })
	return info
}

// emptied ends the idle instances and waits until they are gone; the zygote stays.
func (w *world) emptied(p *Pool) {
	w.t.Helper()
	w.fleet.mu.Lock()
	for in := range p.all {
		if in.active == 0 {
			p.retire(in)
		}
	}
	w.fleet.mu.Unlock()
	w.until("the instances are gone", func() bool { return p.running == 0 })
}

const scratch = `const fs = require('fs'), crypto = require('crypto');
let n = 0;
exports.handler = async () => {
  n++;
  const found = fs.readdirSync('/tmp').length;
  fs.writeFileSync('/tmp/x' + n, 'x');
  return [n, found, Math.random(), crypto.randomUUID(), process.pid].join(' ');
};
`

func mayWriteTmp(r weir.Running) *policy.Policy {
	return &policy.Policy{Function: "f", Rules: []policy.Rule{{Kind: policy.Write, Pattern: "/tmp/**"}}, Running: r}
}

// TestInstancesAreForked: the first instance starts by itself and later ones are forked, of whom each has
// state, /tmp and chance of its own.
func TestInstancesAreForked(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	p := w.pool(mayWriteTmp(weir.Running{}), scratch, nil)
	if info := w.bred(p, "{}"); info.Start != record.FromNothing {
		t.Errorf("the first instance came from %q", info.Start)
	}
	seen := map[string]bool{}
	for range 3 {
		w.emptied(p)
		got, info := call(t, p, "{}")
		again, _ := call(t, p, "{}")
		if info.Start != record.FromZygote || !info.Cold || !strings.HasPrefix(got, `"1 0 `) || !strings.HasPrefix(again, `"2 1 `) {
			t.Errorf("%s, then %s, from %q", got, again, info.Start)
		}
		for _, drawn := range strings.Fields(strings.Trim(got, `"`))[2:] {
			if seen[drawn] {
				t.Errorf("%s was drawn twice", drawn)
			}
			seen[drawn] = true
		}
	}
}

// TestEachRequestIsForked: with isolation for each request, one that waits is forked while the last is served.
func TestEachRequestIsForked(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	p := w.pool(mayWriteTmp(weir.Running{Isolation: weir.PerRequest}), scratch, nil)
	w.bred(p, "{}")
	ready := func() bool { return len(p.open) == 1 && p.open[0].start == record.FromZygote }
	seen := map[string]bool{}
	for range 5 {
		w.until("one is forked beforehand", ready)
		got, info := call(t, p, "{}")
		if info.Cold || seen[info.Instance] || !strings.HasPrefix(got, `"1 0 `) {
			t.Errorf("%s, %+v", got, info)
		}
		seen[info.Instance] = true
	}
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 5 {
				if got, _ := call(t, p, "{}"); !strings.HasPrefix(got, `"1 0 `) {
					t.Errorf("found of another request: %s", got)
				}
			}
		})
	}
	callers.Wait()
	w.until("one waits again", func() bool { return ready() && p.running == 1 })
	later := time.Now().Add(2 * DefaultIdle)
	w.fleet.mu.Lock()
	p.called = p.called.Add(-2 * DefaultIdle)
	w.fleet.mu.Unlock()
	w.fleet.sweep(later)
	w.until("it goes when nobody calls", func() bool { return p.running == 0 })
	w.fleet.sweep(later.Add(2 * DefaultIdle))
	w.until("the zygote goes, too", func() bool { return len(p.nursery.all) == 0 && w.fleet.memory == 0 })
	if code, info := invoke(t, p, "{}"); code != "" || info.Start != record.FromNothing {
		t.Errorf("afterwards: %q %+v", code, info)
	}
}

// TestEndsOfForked: what happens to one child is no other's business, and is told as of any instance.
func TestEndsOfForked(t *testing.T) {
	t.Parallel()
	w := forkingWorld(t, FleetOptions{})
	pol := mayWriteTmp(weir.Running{})
	pol.Limits = weir.Limits{Timeout: 3 * time.Second, Memory: 192 << 20}
	p := w.pool(pol, `exports.handler = async (e) => {
		if (e.hold) await new Promise((r) => setTimeout(r, e.hold));
		if (e.exit) process.exit(3);
		if (e.crash) process.abort();
		if (e.spin) for (;;);
		if (e.eat) { const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1)); }
		return process.pid; };`, nil)
	w.bred(p, "{}")
	w.emptied(p)
	for event, want := range map[string]weir.Code{
		`{"exit":1}`: weir.Crashed, `{"crash":1}`: weir.Crashed, `{"spin":1}`: weir.TimedOut, `{"eat":1}`: weir.Crashed,
	} {
		bystander := make(chan weir.Code)
		go func() {
			code, _ := invoke(t, p, `{"hold":1000}`)
			bystander <- code
		}()
		w.until("it is served", func() bool { return p.running == 1 && len(p.all) == 1 && len(p.open) == 0 })
		_, info, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage(event)})
		if weir.ErrorCode(err) != want || info.Start != record.FromZygote {
			t.Errorf("%s: %v, in an instance from %q", event, err, info.Start)
		}
		if strings.Contains(event, "eat") && !strings.Contains(fmt.Sprint(err), "memory") {
			t.Errorf("%s: %v", event, err)
		}
		if code := <-bystander; code != "" {
			t.Errorf("%s: its sibling got %q", event, code)
		}
		w.emptied(p)
	}
	if _, info := call(t, p, "{}"); info.Start != record.FromZygote {
		t.Errorf("the next came from %q", info.Start)
	}
}

// TestForkedRequestsAreToldApart: decisions of the way out, and what is printed, name the request whose doing it was.
func TestForkedRequestsAreToldApart(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	var mu sync.Mutex
	printed := map[string]string{}
	w.log = func(l Line) {
		mu.Lock()
		defer mu.Unlock()
		printed[l.Text] = l.Request
	}
	p := w.pool(mayWriteTmp(weir.Running{Isolation: weir.PerRequest}), `
		exports.handler = async (e) => {
			console.log('host', e);
			const tried = await Promise.all(Array.from({ length: 3 }, () => fetch('https://' + e + '.test/').then((r) => r.status, (x) => x.code ?? x.cause?.code)));
			return tried.join();
		};`, nil)
	w.bred(p, `"first"`)
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			host := "h" + strconv.Itoa(i)
			res, _, err := p.Invoke(t.Context(), weir.Invocation{ID: host, Function: "f", Event: json.RawMessage(`"` + host + `"`)})
			if err != nil || string(res.Payload) != `"EWEIR,EWEIR,EWEIR"` {
				t.Errorf("%s got %s %v", host, res.Payload, err)
			}
		})
	}
	callers.Wait()
	found := map[string]int{}
	for _, d := range w.records.Decisions() {
		host, _, ok := strings.Cut(d.Target, ".test")
		host = host[strings.LastIndexAny(host, "/ ")+1:]
		if !ok || host == "first" {
			continue
		}
		found[host]++
		if d.Request != host || d.Instance == "" {
			t.Errorf("%+v", d)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i := range 8 {
		host := "h" + strconv.Itoa(i)
		if found[host] == 0 || printed["host "+host] != host {
			t.Errorf("%s: %d records, printed by %q", host, found[host], printed["host "+host])
		}
	}
}

// TestNotForkedWithReason: a function that can't be forked is served all the same, and the log says once why.
func TestNotForkedWithReason(t *testing.T) {
	for name, c := range map[string]struct {
		source, why string
		change      func(*policy.Policy)
	}{
		"timer":    {"setInterval(() => {}, 1e6);", "a timer", func(*policy.Policy) {}},
		"programs": {"", "it may start programs", func(p *policy.Policy) { p.Rules = []policy.Rule{{Kind: policy.Exec, Pattern: "/usr/bin/true"}} }},
		"monitor":  {"", "monitor mode", func(p *policy.Policy) { p.Mode = policy.Monitor }},
	} {
		t.Run(name, func(t *testing.T) {
			w := forkingWorld(t, FleetOptions{})
			var log bytes.Buffer // slog writes a line at a time; nobody does when it is read
			w.logger = slog.New(slog.NewTextHandler(&log, nil))
			pol := &policy.Policy{Function: "f", Running: weir.Running{Isolation: weir.PerRequest}}
			c.change(pol)
			p := w.pool(pol, c.source+tame, nil)
			call(t, p, "{}")
			w.until("it is known", func() bool { return p.nursery.never })
			for range 2 {
				if code, info := invoke(t, p, "{}"); code != "" || info.Start != record.FromNothing {
					t.Errorf("%q %+v", code, info)
				}
			}
			p.Close()
			if got := log.String(); strings.Count(got, "can't be forked") != 1 || !strings.Contains(got, c.why) {
				t.Errorf("the log says %s", got)
			}
		})
	}
}

// TestDeadZygote: when a zygote is gone, and its idle children with it, the next caller is served at once, and
// another zygote comes, but not at once.
func TestDeadZygote(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	w.bred(p, "{}")
	w.fleet.mu.Lock()
	z := p.nursery.zygote
	w.fleet.mu.Unlock()
	w.emptied(p)
	call(t, p, "{}")
	killBelow(t, z.proc.(*sandbox.Process).Pid())
	<-z.exited
	if code, info := invoke(t, p, "{}"); code != "" || info.Start != record.FromNothing {
		t.Errorf("the next: %q %+v", code, info)
	}
	w.until("it has ended", func() bool { return len(p.nursery.all) == 0 })
	if p.nursery.retry.wait < minBackOff {
		t.Errorf("it is tried again after %s", p.nursery.retry.wait)
	}
	w.fleet.mu.Lock()
	p.nursery.retry.after = time.Time{}
	w.fleet.mu.Unlock()
	w.bred(p, "{}")
	w.emptied(p)
	if _, info := call(t, p, "{}"); info.Start != record.FromZygote {
		t.Errorf("in the end: %+v", info)
	}
}

// killBelow kills the first process below another: the zygote, below its gate.
func killBelow(t *testing.T, pid int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b))
	if len(fields) == 0 {
		t.Fatalf("nothing is below %d", pid)
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	zygote, err := os.FindProcess(n)
	if err == nil {
		err = zygote.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestZygoteMakesRoom: when memory is short, a zygote without children goes.
func TestZygoteMakesRoom(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	w.bred(p, "{}")
	w.emptied(p)
	w.fleet.mu.Lock()
	enough := w.fleet.o.MaxMemory
	w.fleet.o.MaxMemory = w.fleet.memory + startMemory - 1
	w.fleet.instances++ // or the first would always fit
	if w.fleet.room() || !p.nursery.all[0].evicted {
		t.Error("there is room, or none is made")
	}
	w.fleet.instances--
	w.fleet.o.MaxMemory = enough
	w.fleet.mu.Unlock()
	w.until("the zygote is gone", func() bool { return len(p.nursery.all) == 0 && w.fleet.evicting == 0 })
	if _, info := call(t, p, "{}"); info.Start != record.FromNothing {
		t.Errorf("the next came from %q", info.Start)
	}
}

// TestCloseOfForking: nothing is left of a pool with a zygote, whatever that is about.
func TestCloseOfForking(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	for name, wait := range map[string]func(*Pool) bool{
		"it starts":   func(p *Pool) bool { return p.nursery.starting },
		"it is ready": func(p *Pool) bool { return p.nursery.zygote != nil },
		"it has children": func(p *Pool) bool {
			return len(p.open) == 1 && p.open[0].start == record.FromZygote
		},
	} {
		p := w.pool(&policy.Policy{Function: "f", Running: weir.Running{Isolation: weir.PerRequest}}, tame, nil)
		call(t, p, "{}")
		w.until(name, func() bool { return wait(p) })
		p.Close()
		if w.fleet.instances != 0 || w.fleet.memory != 0 || len(p.nursery.all) != 0 || p.running != 0 {
			t.Errorf("closed when %s: %d instances, %d bytes and %d zygotes are left", name, w.fleet.instances, w.fleet.memory, len(p.nursery.all))
		}
	}
}

// TestCloseWhileAZygoteStarts: its import, too, holds nobody up.
func TestCloseWhileAZygoteStarts(t *testing.T) {
	w := forkingWorld(t, FleetOptions{})
	loading := make(chan struct{})
	w.log = func(Line) { close(loading) }
	p := w.pool(&policy.Policy{Function: "f"}, "if (process.execArgv.includes('--single-threaded')) { console.log('loading'); for (;;) {} }\n"+tame,
		func(cfg *Config) { cfg.loadTime = time.Hour })
	call(t, p, "{}")
	<-loading
	w.closeAtOnce(p)
}
