package instance

// Every limit, under each way to hold it that this machine offers, as whoever calls the function sees it.

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

const hungry = `
const fs = require('fs'), { spawnSync, spawn } = require('child_process'), { Worker } = require('worker_threads'), { once } = require('events');
const appetites = {
	calm: () => 'calm',
	spin: () => { for (;;); },
	never: () => new Promise((r) => setInterval(() => {}, 1000)),
	buffers: async () => { const all = []; for (let i = 0; i < 100; i++) { all.push(Buffer.alloc(10 << 20, 1)); await new Promise(setImmediate); } return all.length; },
	heap: () => { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); },
	tmp: () => { const b = Buffer.alloc(1 << 20, 1); try { for (let i = 0; i < 64; i++) fs.appendFileSync('/tmp/f', b); } finally { fs.rmSync('/tmp/f'); } },
	files: () => { const all = []; try { for (;;) all.push(fs.openSync('/dev/null')); } finally { for (const fd of all) fs.closeSync(fd); } },
	threads: async () => { const all = []; try { for (let i = 0; i < 200; i++) { const w = new Worker('setInterval(() => {}, 1000)', { eval: true }); all.push(w); await once(w, 'online'); } } finally { for (const w of all) await w.terminate(); } },
	children: async () => { const all = []; try { for (let i = 0; i < 200; i++) { const c = spawn('/bin/sleep', ['60']); all.push(c); await once(c, 'spawn'); } } finally { for (const c of all) { c.kill('SIGKILL'); if (c.pid) await once(c, 'exit'); } } },
	log: () => { for (let i = 0; i < 4000; i++) console.log('x'.repeat(100)); return 'logged'; },
	response: () => 'x'.repeat(1 << 20),
};
exports.handler = async (event) => appetites[event.what]();
`

func TestEveryLimit(t *testing.T) {
	for _, held := range []struct {
		by string
		o  sandbox.Options
	}{
		{"cgroups", sandbox.Options{}},
		{"rlimits", sandbox.Options{NoCgroups: true}},
	} {
		t.Run(held.by, func(t *testing.T) { everyLimit(t, held.o) })
	}
}

func everyLimit(t *testing.T, o sandbox.Options) {
	limits := weir.Limits{Timeout: 20 * time.Second, Memory: 384 << 20, Tmp: 8 << 20, Processes: 4, Files: 256, Response: 64 << 10, Log: 4 << 10}
	w := newWorldOf(t, 2, &policy.Policy{Function: "f", Limits: limits, Rules: []policy.Rule{{Kind: policy.Write, Pattern: "/tmp/**"}, {Kind: policy.Exec, Pattern: "/bin/sleep"}}},
		hungry, o)
	for what, want := range map[string]string{
		"buffers":  "limit 384 MB",
		"heap":     "limit 384 MB",
		"tmp":      `(limits.tmp = "8MB")`,
		"files":    "(limits.files = 256)",
		"threads":  "(limits.processes = 4)",
		"children": "(limits.processes = 4)",
		"response": "limits.response",
		"log":      `"logged"`,
	} {
		t.Run(what, func(t *testing.T) {
			if got := w.call(t, what); !strings.Contains(got, want) && (what != "buffers" || !strings.Contains(got, `(limits.memory = "384MB")`)) {
				t.Errorf("%s, want %s\n%s", got, want, w.printed())
			}
			if got := w.call(t, "calm"); got != `"calm"` {
				t.Errorf("the next invocation: %s", got)
			}
		})
	}
	if printed := w.printed(); len(printed) > 64<<10 || !strings.Contains(printed, "raise limits.log") {
		t.Errorf("the log has %d bytes and ends: %s", len(printed), printed[max(0, len(printed)-200):])
	}
}

// TestTimeLimit has a function of its own, whose time is short.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, 1, &policy.Policy{Function: "f", Limits: weir.Limits{Timeout: time.Second}}, hungry, sandbox.Options{})
	for _, what := range []string{"spin", "never"} {
		if got := w.call(t, what); !strings.Contains(got, "f timed out after 1.00 seconds") || !strings.Contains(got, "limits.timeout") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestErrorsNameTheirLimit(t *testing.T) {
	for message, want := range map[string]string{
		"EMFILE: too many open files, open '/x'":     "EMFILE: too many open files, open '/x' (limits.files = 1024)",
		"connect EMFILE":                             "connect EMFILE (limits.files = 1024)",
		"spawn /bin/sh EAGAIN":                       "spawn /bin/sh EAGAIN (limits.processes = 32)",
		"Array buffer allocation failed":             `Array buffer allocation failed (limits.memory = "1GB")`,
		"no customer ENOSPC: x":                      "no customer ENOSPC: x",
		"EAGAIN: resource temporarily unavailable, ": "EAGAIN: resource temporarily unavailable, ",
	} {
		e := &weir.FunctionError{Message: message}
		if nameLimit(e, weir.DefaultLimits()); e.Message != want {
			t.Errorf("%q, want %q", e.Message, want)
		}
	}
}

// limitedWorld is a pool and what its function prints.
type limitedWorld struct {
	pool  *Pool
	mu    sync.Mutex
	lines []Line
}

func newWorldOf(t *testing.T, max int, pol *policy.Policy, source string, o sandbox.Options) *limitedWorld {
	t.Helper()
	w := &limitedWorld{}
	o.StateDir = t.TempDir()
	launcher, err := sandbox.NewLauncher(o)
	if err != nil {
		t.Fatal(err)
	}
	world := newWorld(t, FleetOptions{Launcher: launcher})
	world.log = func(l Line) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lines = append(w.lines, l)
	}
	w.pool = world.pool(pol, source, func(cfg *Config) { cfg.Max = max })
	return w
}

func (w *limitedWorld) printed() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := ""
	for _, l := range w.lines {
		text += l.Text + "\n"
	}
	return text
}

// call gives what became of one invocation, as text.
func (w *limitedWorld) call(t *testing.T, what string) string {
	t.Helper()
	event, err := json.Marshal(map[string]string{"what": what})
	if err != nil {
		t.Fatal(err)
	}
	res, _, err := w.pool.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: event})
	switch {
	case err != nil:
		return err.Error()
	case res.Error != nil:
		return res.Error.Error()
	}
	return string(res.Payload)
}
