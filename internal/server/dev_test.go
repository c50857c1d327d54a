package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// served is a site whose files a test can change.
type served struct {
	*Dev
	dir     string
	records *record.Memory
	mu      sync.Mutex
	lines   []instance.Line
	log     serverLog // of the server itself
	end     func()    // closes the server; called at the end of the test at the latest
	running sync.WaitGroup
	ctx     context.Context
}

// serverLog is read while the server writes it.
type serverLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serve writes files and serves them as a site, with reload, until the test ends.
func serve(t testing.TB, files map[string]string) *served {
	t.Helper()
	s := serveStill(t, files)
	s.running.Go(func() { s.Watch(s.ctx) }) // at any time: changes since NewDev are waiting
	return s
}

// serveStill does so without reload, and with changed options.
func serveStill(t testing.TB, files map[string]string, change ...func(*DevOptions)) *served {
	t.Helper()
	root, err := os.MkdirTemp("", "weir-server-") // t.TempDir is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &served{dir: filepath.Join(root, "site"), records: &record.Memory{}}
	for name, content := range files {
		s.write(t, name, content)
	}
	options := DevOptions{
		Dir: s.dir, StateDir: filepath.Join(root, "state"), Listen: "127.0.0.1:0",
		Recorder: s.records, Logger: slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &s.log), nil)),
		Log: func(l instance.Line) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lines = append(s.lines, l)
		},
	}
	for _, c := range change {
		c(&options)
	}
	s.Dev, err = NewDev(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx = ctx
	s.running.Go(func() { s.Serve(ctx) })
	s.end = sync.OnceFunc(func() {
		cancel()
		s.running.Wait()
		s.Close()
	})
	t.Cleanup(s.end)
	return s
}

func (s *served) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *served) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return 0, ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return r.StatusCode, string(b)
}

func handler(body string) string {
	return fmt.Sprintf("exports.handler = async () => ({ statusCode: 200, body: %q });\n", body)
}

const netlify = "[build]\npublish = \"public\"\n[functions]\ndirectory = \"functions\"\n"

func TestServesFunctionsAndFiles(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify, "functions/hello.js": handler("hello"), "public/index.html": "<p>home", "public/weir.toml": "secret"})
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/.netlify/functions/hello": {200, "hello"},
		"/.netlify/functions/helo":  {404, "did you mean hello?"},
		"/":                         {200, "<p>home"},
		"/weir.toml":                {404, ""},
		"/nothing":                  {404, ""},
	} {
		if status, body := s.get(t, path); status != want.status || !strings.Contains(body, want.body) {
			t.Errorf("%s: %d %s, want %d %s", path, status, body, want.status, want.body)
		}
	}
}

// TestReloadDropsNothing: while the site changes again and again, every request is answered, and in
// the end by the last version.
func TestReloadDropsNothing(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify, "functions/v.js": handler("v0")})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if status, body := s.get(t, "/.netlify/functions/v"); status != 200 || !strings.HasPrefix(body, "v") {
						t.Errorf("%d %s", status, body)
					}
				}
			}
		})
	}
	for i := 1; i <= 3; i++ {
		want := fmt.Sprintf("v%d", i)
		s.write(t, "functions/v.js", handler(want))
		waitFor(t, func() bool { _, body := s.get(t, "/.netlify/functions/v"); return body == want })
	}
	close(stop)
	clients.Wait()
}

// TestBadChangeKeepsTheOldBuild: what can't be built or read is told, and the last good build serves.
func TestBadChangeKeepsTheOldBuild(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "functions/v.js": handler("good")})
	s.write(t, "weir.toml", "[functions.v]\nhtpp = []\n")
	if _, err := s.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "weir.toml:2:1") {
		t.Errorf("the bad policy: %v", err)
	}
	if status, body := s.get(t, "/.netlify/functions/v"); status != 200 || body != "good" {
		t.Errorf("after a bad change: %d %s", status, body)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in 20 s")
		}
	}
}

// TestWhatDoesNotCountLeavesTheInstances: what changes nothing of the functions ends no warm instance,
// and what Weir itself writes is no change at all.
func TestWhatDoesNotCountLeavesTheInstances(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "weir.toml": "[functions.v]\nenv = [\"A\"]\n", ".env": "A=1\n", "notes.txt": "",
		"functions/v.js": "let n = 0; exports.handler = async () => ({ statusCode: 200, body: String(++n) });\n"})
	if changed, err := s.Reload(t.Context()); changed || err != nil {
		t.Errorf("nothing changed, and yet: %t %v", changed, err)
	}
	s.get(t, "/.netlify/functions/v")
	s.write(t, "notes.txt", "a note")
	if changed, err := s.Reload(t.Context()); changed || err != nil {
		t.Errorf("a note was taken: %t %v", changed, err)
	}
	if _, body := s.get(t, "/.netlify/functions/v"); body != "2" {
		t.Errorf("the instance was replaced: %s", body)
	}
	for file, content := range map[string]string{".env": "A=2\n", "weir.toml": "[functions.v]\n", "functions/v.js": handler("v2")} {
		s.write(t, file, content)
		if changed, err := s.Reload(t.Context()); !changed || err != nil {
			t.Errorf("%s changed, and yet: %t %v", file, changed, err)
		}
	}
	own, linked := filepath.Join(s.dir, "own.log"), filepath.Join(s.dir, "linked.log")
	s.write(t, "own.log", "")
	if err := os.Symlink(own, linked); err != nil {
		t.Fatal(err)
	}
	s.opts.Unwatched = []string{linked}
	for path, want := range map[string]bool{own: false, linked + ".000001": false, filepath.Join(s.dir, "notes.txt"): true} {
		if got := s.matters(fsnotify.Event{Name: path, Op: fsnotify.Write}); got != want {
			t.Errorf("a change of %s counts: %t", path, got)
		}
	}
}

// TestWarningsAreToldOnce: a section about no function is told though nothing else has changed, and again
// only when it has been away.
func TestWarningsAreToldOnce(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "weir.toml": "[functions.v]\n", "functions/v.js": handler("v")})
	const right, wrong = "[functions.v]\n", "[functions.v]\n[functions.vv]\n"
	for i, step := range []struct {
		policy string
		told   int // so far
	}{{right, 0}, {wrong, 1}, {wrong, 1}, {right, 1}, {wrong, 2}} {
		s.write(t, "weir.toml", step.policy)
		if changed, err := s.Reload(t.Context()); changed || err != nil {
			t.Errorf("step %d: %t %v", i, changed, err)
		}
		if n := strings.Count(s.log.String(), "[functions.vv] is about no function"); n != step.told {
			t.Errorf("step %d: told %d times, want %d", i, n, step.told)
		}
	}
}

// TestReloadsLeaveNoOldBuild: however often the site changes, the disk holds the build that serves,
// and nothing when the server has ended.
func TestReloadsLeaveNoOldBuild(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify, "functions/v.js": handler("v0")})
	builds := func() int {
		entries, err := os.ReadDir(filepath.Join(s.opts.StateDir, "artifacts"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for i := range 3 {
		body := fmt.Sprint("v", i+1)
		s.write(t, "functions/v.js", handler(body))
		waitFor(t, func() bool { _, got := s.get(t, "/.netlify/functions/v"); return got == body })
	}
	waitFor(t, func() bool { return builds() == 1 })
	s.end()
	if n := builds(); n > 0 {
		t.Errorf("%d builds left behind", n)
	}
}

// TestPolicyReachesTheFunction: a change of weir.toml changes what the function may do.
func TestPolicyReachesTheFunction(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify, ".env": "KEY=value\nOTHER=hidden\nNODE_OPTIONS=--inspect\n",
		"functions/env.js": "exports.handler = async () => ({ statusCode: 200, body: [process.env.KEY, process.env.OTHER, process.env.NODE_OPTIONS].join() });\n"})
	if _, body := s.get(t, "/.netlify/functions/env"); body != ",," {
		t.Errorf("without a policy: %q", body)
	}
	s.write(t, "weir.toml", "[functions.env]\nenv = [\"KEY\"]\n")
	waitFor(t, func() bool { _, body := s.get(t, "/.netlify/functions/env"); return body == "value,," })
}

// TestMonitorModeSaysWhatItDoesNotSee: where only some ports are caught, records hold less than they seem to.
func TestMonitorModeSaysWhatItDoesNotSee(t *testing.T) {
	engines := map[string]*policy.Engine{}
	for name, mode := range map[string]policy.Mode{"held": policy.Enforce, "watched": policy.Monitor} {
		eng, err := policy.Compile(&policy.Policy{Function: name, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		engines[name] = eng
	}
	l, err := sandbox.NewLauncher(sandbox.Options{AnyPorts: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := blindSpots(l.Walls(), engines)
	if len(got) != 1 || !strings.HasPrefix(got[0], "watched is monitored, ") || !strings.Contains(got[0], "ports 80 and 443") || !strings.Contains(got[0], "modprobe") {
		t.Errorf("%q", got)
	}
	whole := []sandbox.Wall{{Name: sandbox.NetworkCapture, State: sandbox.InForce}, {Name: "procfs", State: sandbox.Fallback}}
	if got := blindSpots(whole, engines); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestNoFunctionWritesTheSitesRules: by a write rule that leads to them, a function would give itself any right.
func TestNoFunctionWritesTheSitesRules(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "weir-server-") // in /tmp a rule means the private one
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "weir.toml": fmt.Sprintf("[functions.thief]\nwrite = [\"%s/site/**\"]\n", dir),
		"functions/thief.js": "exports.handler = async () => ({ statusCode: 200 });\n"})
	if err := os.Symlink(s.dir, filepath.Join(dir, "site")); err != nil {
		t.Fatal(err)
	}
	if status, body := s.get(t, "/.netlify/functions/thief"); status == http.StatusOK || !strings.Contains(body, "where a function may write") {
		t.Errorf("%d %s", status, body)
	}
}

// TestLogLinesAreAttributed: what functions print at the same time is told apart by invocation.
func TestLogLinesAreAttributed(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify,
		"functions/talk.js": "exports.handler = async (e, c) => { console.log('I am ' + c.awsRequestId); console.error('so am I ' + c.awsRequestId); return { statusCode: 200, body: '' }; };\n"})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 25 {
				s.get(t, "/.netlify/functions/talk")
			}
		})
	}
	clients.Wait()
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.lines) == 200 })
	for _, l := range s.lines {
		if !strings.HasSuffix(l.Text, l.Request) || l.Request == "" || (l.Stream == "stderr") != strings.HasPrefix(l.Text, "so") {
			t.Errorf("%s of %s: %s", l.Stream, l.Request, l.Text)
		}
	}
	for _, i := range s.records.Invocations() {
		if i.Outcome != "ok" || i.Request == "" || i.Instance == "" {
			t.Errorf("record %+v", i)
		}
	}
}

// TestSlowImportIsCutOff: a function that loops for ever at import gets its caller a clear answer,
// and the others go on meanwhile.
func TestSlowImportIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"netlify.toml": netlify, "functions/loop.js": "for (;;);\n", "functions/ok.js": handler("ok")})
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if status, body := s.get(t, "/.netlify/functions/loop"); status != 502 || !strings.Contains(body, "importing it took longer than 10s") {
			t.Errorf("the loop: %d %s", status, body)
		}
	})
	if status, body := s.get(t, "/.netlify/functions/ok"); status != 200 || body != "ok" {
		t.Errorf("its neighbour: %d %s", status, body)
	}
	waiting.Wait()
}

// TestStuckFunctionDoesNotHoldUpTheEnd: a server that is told to stop waits for what is in flight, but
// not for the whole time that a function may take.
func TestStuckFunctionDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"netlify.toml": netlify, "functions/loop.js": "exports.handler = async () => { console.log('in'); for (;;); };\n"})
	var caller sync.WaitGroup
	caller.Go(func() {
		if r, err := http.Get("http://" + s.Addr() + "/.netlify/functions/loop"); err == nil {
			r.Body.Close()
		}
	})
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.lines) > 0 })
	start := time.Now()
	s.end()
	if took := time.Since(start); took > 30*time.Second { // its own time-out is a minute
		t.Errorf("it took %s", took)
	}
	caller.Wait()
	if i := s.records.Invocations(); len(i) != 1 || i[0].Outcome != "crashed" {
		t.Errorf("records %+v", i)
	}
}

// TestBusyInstancesAreNotShared: an instance takes one invocation at a time, and more are started on
// demand.
func TestBusyInstancesAreNotShared(t *testing.T) {
	s := serve(t, map[string]string{"netlify.toml": netlify,
		"functions/busy.js": "let busy = 0; exports.handler = async () => { busy++; const body = String(busy); await new Promise((r) => setTimeout(r, 200)); busy--; return { statusCode: 200, body }; };\n"})
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			if status, body := s.get(t, "/.netlify/functions/busy"); status != 200 || body != "1" {
				t.Errorf("%d: %s invocations at once in one instance", status, body)
			}
		})
	}
	clients.Wait()
	instances := map[string]bool{}
	for _, i := range s.records.Invocations() {
		instances[i.Instance] = true
	}
	if len(instances) < 2 {
		t.Errorf("%d instances served five callers at once", len(instances))
	}
}
