package instance

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// newPool makes a pool for a function with this source and no rights, of at most max instances.
func newPool(t *testing.T, max int, limits weir.Limits, source string) *Pool {
	t.Helper()
	return newPoolOf(t, max, &policy.Policy{Function: "f", Limits: limits}, source)
}

// newPoolOf is newPool with a policy, and perhaps with options for the way out.
func newPoolOf(t *testing.T, max int, pol *policy.Policy, source string, options ...egress.Options) *Pool {
	t.Helper()
	return newWorld(t, FleetOptions{}, options...).pool(pol, source, func(cfg *Config) { cfg.Max = max })
}

// world is a fleet and what it stands on.
type world struct {
	t       *testing.T
	dir     string
	node    runtime.Node
	fleet   *Fleet
	out     *egress.Egress
	records *record.Memory
	logger  *slog.Logger
	log     func(Line)
}

// findNode asks Node.js for its version once for all tests.
var findNode = sync.OnceValues(func() (runtime.Node, error) {
	return runtime.FindNode(context.Background(), runtime.NodeOptions{StateDir: os.TempDir()})
})

func newWorld(t *testing.T, o FleetOptions, options ...egress.Options) *world {
	t.Helper()
	w := &world{t: t, records: &record.Memory{}, logger: slog.New(slog.NewTextHandler(t.Output(), nil)), log: func(Line) {}}
	var err error
	if w.dir, err = os.MkdirTemp("", "weir-instance-"); err != nil { // t.TempDir is its owner's alone
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(w.dir) })
	if err := os.Chmod(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if o.Launcher == nil {
		o.Launcher, err = sandbox.NewLauncher(sandbox.Options{StateDir: w.dir})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Launcher.Close() })
	if w.node, err = findNode(); err != nil {
		t.Fatal(err)
	}
	var opts egress.Options
	for _, opts = range options {
	}
	if w.out, err = egress.New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.out.Close)
	o.Egress, o.StateDir, o.Logger = w.out, w.dir, w.logger
	w.fleet = NewFleet(o)
	t.Cleanup(w.fleet.Close)
	return w
}

// pool makes the pool of one more function.
func (w *world) pool(pol *policy.Policy, source string, change func(*Config)) *Pool {
	w.t.Helper()
	bundle := filepath.Join(w.dir, "bundles", pol.Function)
	if err := os.MkdirAll(bundle, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "f.js"), []byte(source), 0o644); err != nil {
		w.t.Fatal(err)
	}
	eng, err := policy.Compile(pol)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := Config{Function: pol.Function, Bundle: weir.Bundle{Function: pol.Function, Dir: bundle, Entry: "f.js", Export: "handler"}, Engine: eng,
		Node: w.node, Fleet: w.fleet, Egress: w.out.Function(pol.Function, eng, w.records), Recorder: w.records, Log: w.log, Logger: w.logger}
	if change != nil {
		change(&cfg)
	}
	p := NewPool(cfg)
	w.t.Cleanup(p.Close)
	return p
}

// invoke runs one invocation and gives the code of its error, and whether an instance was started.
func invoke(t *testing.T, p *Pool, event string) (weir.Code, Info) {
	res, info, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage(event)})
	if err == nil && res.Error != nil {
		t.Errorf("the handler threw %+v", res.Error)
	}
	return weir.ErrorCode(err), info
}

const tame = "exports.handler = async () => 1;\n"

func TestIdleInstanceEndsInTime(t *testing.T) {
	p := newPool(t, 2, weir.Limits{}, tame)
	_, first := invoke(t, p, "{}")
	p.cfg.Fleet.sweep(time.Now().Add(DefaultIdle - time.Second))
	if _, again := invoke(t, p, "{}"); again.Instance != first.Instance || again.Cold {
		t.Errorf("the instance ended too early: %+v, then %+v", first, again)
	}
	p.cfg.Fleet.sweep(time.Now().Add(DefaultIdle + time.Second))
	if code, other := invoke(t, p, "{}"); other.Instance == first.Instance || !other.Cold || code != "" {
		t.Errorf("the instance did not end: %+v, then %+v", first, other)
	}
}

// TestWhatWorksDoesNotBurn: only CPU that is used while nobody calls counts, however the looks fall;
// and a rest now and then hides nothing.
func TestWhatWorksDoesNotBurn(t *testing.T) {
	start := time.Now()
	const second = time.Second
	for name, c := range map[string]struct {
		busy bool                         // it is called between two looks
		used func(look int) time.Duration // since the look before
		want int                          // looks until it is ended, 0: never
	}{
		"called all the time":   {true, func(int) time.Duration { return second }, 0},
		"called, with children": {true, func(int) time.Duration { return 4 * second }, 0},
		"burns":                 {false, func(int) time.Duration { return second }, 12},
		"burns a little":        {false, func(int) time.Duration { return second / 5 }, 0},
		"finishes something":    {false, func(look int) time.Duration { return second * time.Duration(min(1, 8/look)) }, 0},
		"burns and rests":       {false, func(look int) time.Duration { return second * time.Duration(min(1, look%9)) }, 13},
	} {
		in := &instance{idleSince: start}
		total, got := time.Duration(0), 0
		for look := 1; look <= 100 && got == 0; look++ {
			if c.busy {
				in.idleSince = start.Add(time.Duration(look))
			}
			if total += c.used(look); in.burned(total) {
				got = look
			}
		}
		if got != c.want {
			t.Errorf("%s: ended at look %d, want %d", name, got, c.want)
		}
	}
}

// TestNoSlotIsLost: with room for one instance, every kind of end leaves room for the next.
func TestNoSlotIsLost(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, weir.Limits{Timeout: 500 * time.Millisecond}, `exports.handler = async (e) => {
  if (e.how === 'exit') process.exit(1);
  if (e.how === 'never') return new Promise(() => { setInterval(() => {}, 1000); });
  return 1;
};
`)
	for range 2 {
		for how, want := range map[string]weir.Code{"exit": weir.Crashed, "never": weir.TimedOut, "": ""} {
			if code, _ := invoke(t, p, `{"how":"`+how+`"}`); code != want {
				t.Errorf("%q: %q, want %q", how, code, want)
			}
		}
	}
	broken := newPool(t, 1, weir.Limits{}, "throw new Error('not today');\n")
	for range 3 {
		if code, _ := invoke(t, broken, "{}"); code != weir.Broken {
			t.Errorf("a function that throws at import: %q", code)
		}
	}
}

// TestWhoFindsNoInstanceWaits: for one that becomes free, or until the time of an invocation is over.
func TestWhoFindsNoInstanceWaits(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, weir.Limits{Timeout: 2 * time.Second}, "exports.handler = async (e) => new Promise((r) => setTimeout(r, e.ms, 1));\n")
	invoke(t, p, `{"ms":0}`)
	var callers sync.WaitGroup
	codes := make(chan weir.Code, 4)
	for range 4 {
		callers.Go(func() {
			code, info := invoke(t, p, `{"ms":50}`)
			if code == "" && info.Cold {
				t.Error("a second instance was started")
			}
			codes <- code
		})
	}
	callers.Wait()
	for range 4 {
		if code := <-codes; code != "" {
			t.Errorf("a caller who waited got %q", code)
		}
	}
	for range 3 { // two of them don't get their turn in time
		callers.Go(func() { code, _ := invoke(t, p, `{"ms":1500}`); codes <- code })
	}
	callers.Wait()
	got := map[weir.Code]int{}
	for range 3 {
		got[<-codes]++
	}
	if got[""] != 2 && got[""] != 1 || got[weir.Busy] != 3-got[""] {
		t.Errorf("three callers of 1.5 s each got %v", got)
	}
}

// TestChildIsConfirmed: the shim names the program, and that one was tried is the kernel's word, too.
func TestChildIsConfirmed(t *testing.T) {
	p := newPool(t, 1, weir.Limits{}, `const cp = require('child_process');
exports.handler = async () => { try { cp.execFileSync('/bin/true'); } catch (e) { return e.code; } throw new Error('it ran'); };`)
	// The two words come by different ways: that the kernel's comes first is nearly always so.
	for range 20 {
		invoke(t, p, "{}")
		for _, d := range p.cfg.Recorder.(*record.Memory).Denials() {
			if d.Kind == "exec" && d.Target == "/bin/true" && d.Source == record.Shim && d.Confirmed == record.Kernel {
				return
			}
		}
	}
	t.Errorf("never confirmed: %+v", p.cfg.Recorder.(*record.Memory).Denials())
}

// TestWhatEndedWhileIdleIsNotUsed: nobody gets an instance whose process is gone.
func TestWhatEndedWhileIdleIsNotUsed(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, "exports.handler = async (e) => { if (e.quit) setTimeout(() => process.exit(3), 10); return 1; };\n", nil)
	_, first := invoke(t, p, `{"quit":true}`)
	w.until("it has ended", func() bool { return len(p.open) == 1 && p.open[0].dead.Load() })
	if code, other := invoke(t, p, "{}"); code != "" || other.Instance == first.Instance {
		t.Errorf("the next caller got %q from %+v", code, other)
	}
}

// TestStartThatComesTooLate: an instance that is ready when its pool is closed already ends at once.
func TestStartThatComesTooLate(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	w.fleet.mu.Lock()
	p.count()
	p.closed = true
	w.fleet.mu.Unlock()
	if _, err := p.start(0); err != nil {
		t.Fatal(err)
	}
	w.until("it is gone", func() bool { return p.running == 0 && len(p.open) == 0 })
}
