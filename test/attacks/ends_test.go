package attacks

// However invocations and the server end, nothing of them stays behind.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ends are the ways in which testdata/ends/functions/chaos.js ends; "gone" is a client that hangs up.
var ends = []string{"calm", "throw", "reject", "throwLater", "exit", "abort", "never", "spin", "goesOn", "memory", "heap", "child", "childOfTheDead", "full", "gone"}

func TestChaosLeavesNothing(t *testing.T) {
	asOne(t, func(t *testing.T, uid int) { chaos(t, uid, 100) })
}

// TestSoakOfEnds does so with ten thousand invocations.
func TestSoakOfEnds(t *testing.T) {
	if os.Getenv("WEIR_SOAK") == "" {
		t.Skip("a long run: make soak, or WEIR_SOAK=10m")
	}
	asEveryone(t, func(t *testing.T, uid int) { chaos(t, uid, 10_000) })
}

// chaos compares what there is after a number of invocations with what there was before.
func chaos(t *testing.T, uid, invocations int) {
	site := endsSite(t, uid)
	w := start(t, uid, site, "--blanks", "0") // those that wait are no leavings
	seen := &pids{of: w.cmd.Process.Pid, all: map[string]string{}}
	load(t, w, seen, len(ends)) // until everything has its working size
	before := leavings(t, w, site)
	load(t, w, seen, invocations)
	after := leavings(t, w, site)
	for what, was := range before {
		if after[what] != was {
			t.Errorf("%s: %s, before: %s", what, after[what], was)
		}
	}
	for _, pid := range seen.alive() {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		t.Errorf("process %s is left: %q", pid, line)
	}
	if len(seen.all) == 0 {
		t.Error("no process was seen at all")
	}
}

func endsSite(t *testing.T, uid int) string {
	t.Helper()
	site := filepath.Join(openDir(t, uid), "site")
	if err := os.CopyFS(site, os.DirFS("testdata/ends")); err != nil {
		t.Fatal(err)
	}
	return site
}

// load makes invocations that end in every way, several at a time.
func load(t *testing.T, w *weir, seen *pids, invocations int) {
	t.Helper()
	next := make(chan string)
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			for what := range next {
				if what == "gone" {
					w.hangUp(t)
				} else if r := w.invoke(t, "chaos", map[string]string{"what": what}); r.Status != 200 {
					t.Errorf("%s: %d %s", what, r.Status, r.Payload)
				}
				seen.look()
			}
		})
	}
	for i := range invocations {
		next <- ends[i%len(ends)]
	}
	close(next)
	clients.Wait()
	if r := w.invoke(t, "chaos", map[string]string{"what": "calm"}); r.Payload != `"calm"` {
		t.Errorf("after it all: %d %s", r.Status, r.Payload)
	}
}

// hangUp begins an invocation and doesn't wait for it.
func (w *weir) hangUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	event, _ := json.Marshal(map[string]string{"what": "never"})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/2015-03-31/functions/chaos/invocations", bytes.NewReader(event))
	if err != nil {
		t.Error(err)
		return
	}
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
	}
}

// pids notes every process that was ever below another one.
type pids struct {
	of  int
	mu  sync.Mutex
	all map[string]string // pid to when it started
}

func (p *pids) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	todo := []string{strconv.Itoa(p.of)}
	for len(todo) > 0 {
		tasks, _ := filepath.Glob("/proc/" + todo[0] + "/task/*/children")
		todo = todo[1:]
		for _, f := range tasks {
			b, _ := os.ReadFile(f)
			for _, pid := range strings.Fields(string(b)) {
				p.all[pid] = startOf(pid)
				todo = append(todo, pid)
			}
		}
	}
}

// alive gives those that are still there, or there as zombies.
func (p *pids) alive() []string {
	var out []string
	for _, pid := range slices.Sorted(maps.Keys(p.all)) {
		if at := startOf(pid); at != "" && at == p.all[pid] {
			out = append(out, pid)
		}
	}
	return out
}

// startOf gives when a process started, "" if there is none (proc_pid_stat(5)).
func startOf(pid string) string {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return f[19]
}

// leavings gives what invocations could leave behind, when no instance is there.
func leavings(t *testing.T, w *weir, site string) map[string]string {
	t.Helper()
	atRest(t, w, site)
	own := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		open := descriptors(t, own+"fd")
		if open["artifact"] == 1 && open["removal"] == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the old artifacts are still in use: %v", open)
		}
	}
	mounts, err := os.ReadFile(own + "mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"mounts":      string(mounts),
		"descriptors": fmt.Sprint(descriptors(t, own+"fd")),
		"cgroups":     fmt.Sprint(groupsOf(w.cmd.Process.Pid)),
		"files":       strings.Join(filesOf(t, filepath.Dir(w.records)), "\n"),
	}
}

// descriptors counts by kind what a process has open. Connections come and go with the test's own.
func descriptors(t *testing.T, dir string) map[string]int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			kind, _, _ := strings.Cut(to, ":")
			switch where := filepath.Base(filepath.Dir(to)); {
			case kind == "socket":
				continue
			case strings.HasPrefix(filepath.Base(to), ".old-"), strings.HasSuffix(to, "/state/artifacts"):
				kind = "removal"
			case where == "artifacts":
				kind = "artifact"
			}
			out[kind]++
		}
	}
	return out
}

// groupsOf gives the control groups that a supervisor has made and that are still there.
func groupsOf(pid int) []string {
	var out []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), fmt.Sprintf("weir-%d-", pid)) && !strings.HasSuffix(d.Name(), "-self") {
			out = append(out, path)
		}
		return nil
	})
	return out
}

// filesOf gives what there is below a folder; the names of artifacts, which change with the site, are left out.
func filesOf(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		parts := strings.Split(strings.TrimPrefix(path, dir), "/")
		for i, p := range parts {
			if len(p) >= 32 {
				parts[i] = "*"
			}
		}
		name := strings.Join(parts, "/")
		if strings.HasSuffix(name, "/tried/*") { // one for each build of the site that loaded: bounded by number and age
			return nil
		}
		out = append(out, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

// TestKilledServerIsSweptUp: what one that was killed left on disk and of groups, the next one removes.
func TestKilledServerIsSweptUp(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		site, dir := endsSite(t, uid), openDir(t, uid)
		calm := func(w *weir) {
			if r := w.invoke(t, "chaos", map[string]string{"what": "calm"}); r.Payload != `"calm"` {
				t.Fatalf("%d %s", r.Status, r.Payload)
			}
		}
		w := startIn(t, uid, dir, site)
		calm(w)
		w.stop(t)
		want := filesOf(t, dir)
		w = startIn(t, uid, dir, site)
		calm(w)
		killed := w.cmd.Process.Pid
		seen := &pids{of: killed, all: map[string]string{}}
		seen.look()
		w.cmd.Process.Kill()
		w.cmd.Wait()
		for pid := range seen.all {
			waitGone(t, pid)
		}
		if len(filesOf(t, dir)) == len(want) {
			t.Error("the killed server left nothing, so this test tries nothing")
		}
		w = startIn(t, uid, dir, site)
		calm(w)
		w.stop(t)
		if got := filesOf(t, dir); !slices.Equal(got, want) {
			t.Errorf("left: %q, want %q", got, want)
		}
		if left := groupsOf(killed); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// TestTermFinishesWhatRuns: a server that is told to end finishes what it has taken, sends others away
// and ends with 0.
func TestTermFinishesWhatRuns(t *testing.T) {
	asEveryone(t, func(t *testing.T, uid int) {
		w := start(t, uid, endsSite(t, uid))
		w.invoke(t, "chaos", map[string]string{"what": "calm"})
		slow := make(chan reply, 1)
		go func() { slow <- w.invoke(t, "slow", nil) }()
		for !strings.Contains(w.logged(), "slow has begun") {
			if len(slow) > 0 {
				t.Fatalf("it did not begin: %+v", <-slow)
			}
			time.Sleep(5 * time.Millisecond)
		}
		w.cmd.Process.Signal(syscall.SIGTERM)
		for {
			r, err := http.Get(w.url + "/.netlify/functions/chaos")
			if err != nil {
				t.Errorf("a new request: %v", err)
				break
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.StatusCode == http.StatusServiceUnavailable {
				if r.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				break
			}
		}
		if r := <-slow; r.Payload != `"finished"` {
			t.Errorf("what ran: %d %s", r.Status, r.Payload)
		}
		if err := w.cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	})
}
