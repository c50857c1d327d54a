package instance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// until waits for what happens in the background.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); ; {
		w.fleet.mu.Lock()
		ok := done()
		w.fleet.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			w.t.Fatal("never: " + what)
		}
	}
}

// blanksReady waits for n blanks.
func (w *world) blanksReady(n int) {
	w.t.Helper()
	w.until("blanks are ready", func() bool { return !w.fleet.blanks.starting && len(w.fleet.blanks.ready) == n })
}

// folders gives how many folders of blanks there are.
func (w *world) folders() int {
	found, err := os.ReadDir(w.fleet.tasks.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(found)
}

// call invokes and gives the handler's answer.
func call(t *testing.T, p *Pool, event string) (answer string, info Info) {
	t.Helper()
	res, info, err := p.Invoke(t.Context(), weir.Invocation{ID: "r", Function: "f", Event: json.RawMessage(event)})
	if err != nil || res.Error != nil {
		t.Errorf("%v %+v", err, res.Error)
	}
	return string(res.Payload), info
}

// world as a function sees it.
const looks = `const fs = require('fs'), os = require('os');
const code = (f) => { try { f(); return 'done'; } catch (e) { return e.code; } };
exports.handler = async (e, context) => [
  __filename, process.cwd(), fs.readdirSync('/var/task').join(), os.hostname(), context.functionName, process.env.AWS_LAMBDA_FUNCTION_NAME,
  process.argv.slice(1).join(), Object.keys(process.env).includes('SECRET'),
  code(() => fs.writeFileSync('/var/task/f.js', 'x')), code(() => fs.writeFileSync('/var/task/new', 'x')), code(() => fs.chmodSync('/var/task/f.js', 0o777)),
  code(() => fs.linkSync('/var/task/f.js', '/var/task/g.js')), code(() => fs.unlinkSync('/var/task/f.js')),
  /(^|,)ro(,|$)/.test(fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').find((l) => l.split(' ')[1] === '/var/task').split(' ')[3]),
  ['noexec', 'nosuid', 'nodev'].every((o) => fs.readFileSync('/proc/self/mounts', 'utf8').split('\n').find((l) => l.split(' ')[1] === '/var/task').includes(o)),
].join(' ');
`

// TestBlankIsLikeAnyProcess: what a function sees and may do is the same whether it took over a blank or
// started from nothing.
func TestBlankIsLikeAnyProcess(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 1})
	p := w.pool(&policy.Policy{Function: "f"}, looks, func(cfg *Config) { cfg.Env = map[string]string{"SECRET": "s"} })
	bundle := filepath.Join(p.cfg.Bundle.Dir, "f.js")
	before, err := os.Stat(bundle)
	if err != nil {
		t.Fatal(err)
	}
	w.blanksReady(1)
	taken, first := call(t, p, "{}")
	w.fleet.mu.Lock()
	w.fleet.o.Blanks = 0
	w.fleet.mu.Unlock()
	w.until("the refill is over", func() bool { return !w.fleet.blanks.starting })
	w.fleet.sweep(time.Now().Add(DefaultIdle + time.Second))
	w.until("the instance and the blanks end", func() bool { return len(p.all)+len(w.fleet.blanks.ready) == 0 })
	fresh, second := call(t, p, "{}")
	if first.Start != record.FromPool || second.Start != record.FromNothing {
		t.Errorf("started from %s, then %s", first.Start, second.Start)
	}
	const want = `"/var/task/f.js /var/task f.js function f f /opt/weir/main.cjs false EROFS EROFS EROFS EROFS EROFS true true"`
	if taken != want || fresh != want {
		t.Errorf("a function sees\n%s from a blank,\n%s from nothing,\n%s was expected", taken, fresh, want)
	}
	after, err := os.Stat(bundle)
	if err != nil || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		t.Errorf("the artifact was changed: %v %v %v", before, after, err)
	}
	w.until("the folder goes", func() bool { return w.folders() == 0 })
}

// TestOneBlankOneFunction: however many ask for a blank at once, each gets another, and sees its own files
// only.
func TestOneBlankOneFunction(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 2})
	var pools []*Pool
	for _, name := range []string{"a", "b", "c", "d"} {
		pools = append(pools, w.pool(&policy.Policy{Function: name}, "exports.handler = async (e, c) => c.functionName + process.env.AWS_LAMBDA_FUNCTION_NAME + (globalThis.n = (globalThis.n ?? 0) + 1);", nil))
	}
	w.blanksReady(2)
	ready := []*process{w.fleet.blanks.ready[0].process, w.fleet.blanks.ready[1].process}
	var callers sync.WaitGroup
	for _, p := range pools {
		callers.Go(func() {
			if got, _ := call(t, p, "{}"); got != `"`+p.cfg.Function+p.cfg.Function+`1"` {
				t.Errorf("%s answered %s", p.cfg.Function, got)
			}
		})
	}
	callers.Wait()
	served := map[*process]int{}
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	for _, p := range pools {
		for in := range p.all {
			served[in.process]++
		}
	}
	if len(served) != 4 || served[ready[0]] != 1 || served[ready[1]] != 1 {
		t.Errorf("four functions are served by %d processes, the two blanks serve %d and %d", len(served), served[ready[0]], served[ready[1]])
	}
}

// TestProfiles: blanks are shared by functions that differ in nothing that must be known before.
func TestProfiles(t *testing.T) {
	w := newWorld(t, FleetOptions{})
	rule := func(k policy.Kind, pattern string) *policy.Policy {
		return &policy.Policy{Rules: []policy.Rule{{Kind: k, Pattern: pattern}}}
	}
	native := func(cfg *Config) { cfg.Bundle.Addons = []string{"x.node"} }
	for name, c := range map[string]struct {
		policy *policy.Policy
		change func(*Config)
		can    bool // have blanks
		plain  bool // those of a function without rules
	}{
		"nothing":        {&policy.Policy{}, nil, true, true},
		"a variable":     {rule(policy.Env, "A"), nil, true, true},
		"a time-out":     {&policy.Policy{Limits: weir.Limits{Timeout: time.Second, Log: 5000}}, nil, true, true},
		"native, unused": {&policy.Policy{}, native, true, true},
		"memory":         {&policy.Policy{Limits: weir.Limits{Memory: 256 << 20}}, nil, true, false},
		"/tmp":           {rule(policy.Write, "/tmp/**"), nil, true, false},
		"datagrams":      {rule(policy.UDP, "stats.test:8125"), nil, true, false},
		"raw":            {rule(policy.TCP, "db.test:5432"), nil, true, false},
		"monitored":      {&policy.Policy{Mode: policy.Monitor}, nil, true, false},
		"little memory":  {&policy.Policy{Limits: weir.Limits{Memory: 64 << 20}}, nil, false, false},
		"native":         {&policy.Policy{Addons: true}, native, false, false},
		"programs":       {rule(policy.Exec, "/bin/true"), nil, false, false},
		"host's files":   {rule(policy.Read, "/etc/passwd"), nil, false, false},
		"host's folders": {rule(policy.Write, "/srv/**"), nil, false, false},
	} {
		plain := w.pool(&policy.Policy{Function: "plain"}, tame, nil)
		pol := *c.policy
		pol.Function = "other"
		p := w.pool(&pol, tame, c.change)
		if can := p.profile != nil; can != c.can {
			t.Errorf("%s: can have blanks: %t", name, can)
		} else if same := can && p.profile.equal(plain.profile); same != c.plain {
			t.Errorf("%s: takes the blanks of a function without rules: %t", name, same)
		}
	}
}

// TestBlankThatIsNoUse: one that died, or whose folder can't be filled, costs nothing but time.
func TestBlankThatIsNoUse(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 1})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	w.blanksReady(1)
	dead := w.fleet.blanks.ready[0].process
	dead.proc.Kill()
	<-dead.exited
	if _, info := call(t, p, "{}"); info.Start != record.FromNothing {
		t.Errorf("started from %s after the blank had died", info.Start)
	}
	w.fleet.sweep(time.Now())
	w.until("it is buried", func() bool {
		return !slices.ContainsFunc(w.fleet.blanks.ready, func(b *blank) bool { return b.process == dead })
	})

	w.until("it may be tried again", func() bool { w.fleet.blanks.retry.succeeded(); w.fleet.refill(); return len(w.fleet.blanks.ready) == 1 })
	odd := w.pool(&policy.Policy{Function: "odd"}, tame, nil)
	if err := syscall.Mkfifo(filepath.Join(odd.cfg.Bundle.Dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, info := call(t, odd, "{}"); got != "1" || info.Start != record.FromNothing {
		t.Errorf("a bundle that can't be linked: %s, started from %s", got, info.Start)
	}
}

// TestBlanksEndWhenNobodyAsks and come again when somebody does.
func TestBlanksEndWhenNobodyAsks(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 2})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	w.blanksReady(2)
	w.fleet.sweep(time.Now().Add(blankIdle + time.Second))
	w.blanksReady(0)
	w.until("their folders go", func() bool { return w.folders() == 0 })
	call(t, p, "{}")
	w.blanksReady(2)
}

// TestBlanksAreSharedOut: the profiles that were asked for last have them.
func TestBlanksAreSharedOut(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 2})
	var pools []*Pool
	for i, name := range []string{"a", "b", "c"} {
		pools = append(pools, w.pool(&policy.Policy{Function: name, Limits: weir.Limits{Memory: int64(128+i) << 20}}, tame, nil))
	}
	has := func(p *Pool) bool {
		return slices.ContainsFunc(w.fleet.blanks.ready, func(b *blank) bool { return b.profile.equal(p.profile) })
	}
	for _, pair := range [][2]int{{2, 1}, {0, 2}, {1, 0}} { // the first was asked for last
		if pair[0] != 2 {
			call(t, pools[pair[0]], "{}")
		}
		w.until("those asked for last have blanks", func() bool {
			return !w.fleet.blanks.starting && len(w.fleet.blanks.ready) == 2 && has(pools[pair[0]]) && has(pools[pair[1]])
		})
	}
}

// TestLeftOverFolders: those of a supervisor that was killed are removed, those of one that lives are not.
func TestLeftOverFolders(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "tasks", "gone", "task")
	if err := os.MkdirAll(gone, 0o755); err != nil {
		t.Fatal(err)
	}
	first, err := newTasks(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newTasks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(gone)); !os.IsNotExist(err) {
		t.Errorf("left over: %v", err)
	}
	for _, live := range []*tasks{first, second} {
		if _, err := os.Stat(live.dir); err != nil {
			t.Error(err)
		}
		live.close()
	}
	if err := os.Chmod(filepath.Join(dir, "tasks"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := newTasks(dir); err == nil {
		t.Error("a folder that others may write to is taken")
	}
}

// TestCloseWhileBlanksStart: nothing is left over, neither processes nor folders.
func TestCloseWhileBlanksStart(t *testing.T) {
	w := newWorld(t, FleetOptions{Blanks: 4})
	p := w.pool(&policy.Policy{Function: "f"}, tame, nil)
	call(t, p, "{}")
	p.Close()
	w.fleet.Close()
	if _, err := os.Stat(w.fleet.tasks.dir); !os.IsNotExist(err) {
		t.Errorf("the folder of the blanks is left: %v", err)
	}
	if len(p.all) > 0 || w.fleet.instances > 0 {
		t.Errorf("%d instances are left, %d counted", len(p.all), w.fleet.instances)
	}
}
