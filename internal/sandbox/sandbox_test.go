package sandbox

// What the tests share: a Launcher, C programs to run, a sandbox run to its end. As root, the
// whole suite runs a second time as an ordinary user (TestAsOrdinaryUser).

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Init()
	if helper := os.Getenv("SANDBOX_TEST_HELPER"); helper != "" {
		helpers[helper]()
		unix.Exit(0) // at once: os.Exit takes a second under the race detector
	}
	code := m.Run()
	if scratch.dir != "" {
		os.RemoveAll(scratch.dir)
	}
	os.Exit(code)
}

// helpers are what this binary can be besides a test: see the tests that start it so.
var helpers map[string]func()

func init() {
	helpers = map[string]func(){"supervisor": helperSupervisor, "forker": helperForker, "crippled": helperCrippled}
}

// TestAsOrdinaryUser runs every other test once more without privileges.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("these tests run as an ordinary user already")
	}
	bin := filepath.Join(public(t), "sandbox.test")
	copyFile(t, os.Args[0], bin)
	for _, dir := range []string{"testdata", "zygote"} {
		if err := os.CopyFS(filepath.Join(filepath.Dir(bin), dir), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"-test.timeout=240s"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = filepath.Dir(bin)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321, Groups: []uint32{}}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as uid 54321: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// public makes a directory that every user can reach; t.TempDir() is private.
func public(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sandbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func writeTo(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// launchers are made once for each set of options: finding out what the machine can do takes
// time.
var launchers struct {
	sync.Mutex
	made map[Options]*Launcher
}

func launcher(t testing.TB, o Options) *Launcher {
	t.Helper()
	launchers.Lock()
	defer launchers.Unlock()
	if l := launchers.made[o]; l != nil {
		return l
	}
	l, err := NewLauncher(o)
	if err != nil {
		t.Fatalf("%v\n%+v", err, Diagnose(err))
	}
	if launchers.made == nil {
		launchers.made = map[Options]*Launcher{}
	}
	launchers.made[o] = l
	return l
}

// launcherWith gives a Launcher that thinks less of the machine.
func launcherWith(t testing.TB, change func(*mode)) *Launcher {
	l := launcher(t, Options{})
	out := &Launcher{opts: l.opts, mode: l.mode, cgroups: l.cgroups, walls: l.walls,
		staged: map[stamp]string{}, programs: map[string]known{}, running: map[*Process]bool{}}
	change(&out.mode)
	return out
}

var scratch struct {
	sync.Mutex
	dir   string
	built map[string]string
}

// probe compiles testdata/probe.c, once.
func probe(t testing.TB) string { return compiled(t, "probe", "-O1", "testdata/probe.c") }

// compiled builds a C program, once.
func compiled(t testing.TB, name string, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler (cc) to build " + name + " with")
	}
	scratch.Lock()
	defer scratch.Unlock()
	if p := scratch.built[name]; p != "" {
		return p
	}
	if scratch.dir == "" {
		if scratch.dir, err = os.MkdirTemp("/var/tmp", "sandbox-probe-"); err != nil {
			t.Fatal(err)
		}
		os.Chmod(scratch.dir, 0o755)
		scratch.built = map[string]string{}
	}
	p := filepath.Join(scratch.dir, name)
	if out, err := exec.Command(cc, append([]string{"-o", p}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	scratch.built[name] = p
	return p
}

func node(t testing.TB) string {
	t.Helper()
	p, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node in PATH")
	}
	return p
}

// nodeSpec runs a script in Node.
func nodeSpec(t testing.TB, script string) *Spec {
	n := node(t)
	return &Spec{Name: t.Name(), Argv: []string{n, "-e", script}, Programs: []string{n},
		Env: []string{"PATH=/usr/bin:/bin", "HOME=/tmp"}}
}

// probeSpec tries attacks of testdata/probe.c.
func probeSpec(t testing.TB, names ...string) *Spec {
	p := probe(t)
	return &Spec{Name: t.Name(), Argv: append([]string{p}, names...), Programs: []string{p}}
}

// result is a sandbox run to its end.
type result struct {
	out      string
	exit     Exit
	attempts []string
	dropped  uint64
}

// running is a sandbox and what it writes.
type running struct {
	*Process
	out      bytes.Buffer
	attempts []string
	done     sync.WaitGroup
}

func start(t testing.TB, l *Launcher, s *Spec) *running {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.Stdout == nil {
		s.Stdout = w
	}
	s.Stderr = w
	p, err := l.Start(context.Background(), s)
	w.Close()
	if err != nil {
		r.Close()
		t.Fatal(err)
	}
	run := &running{Process: p}
	run.done.Go(func() { io.Copy(&run.out, r); r.Close() })
	run.done.Go(func() {
		for a := range p.Attempts() {
			run.attempts = append(run.attempts, a.Syscall)
		}
	})
	t.Cleanup(func() { p.Kill(); p.Wait() })
	return run
}

// finish waits for the end, which must come by itself.
func (r *running) finish(t testing.TB) result {
	t.Helper()
	timer := time.AfterFunc(30*time.Second, r.Kill)
	exit := r.Wait()
	timer.Stop()
	r.done.Wait()
	return result{out: r.out.String(), exit: exit, attempts: r.attempts, dropped: r.Dropped()}
}

func run(t testing.TB, l *Launcher, s *Spec) result {
	t.Helper()
	return start(t, l, s).finish(t)
}

// answers reads the lines "NAME ERRNO" of the probe.
func (r result) answers() map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(r.out) {
		if name, errno, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[name] = errno
		}
	}
	return out
}

func (r result) attempted(syscall string) bool { return slices.Contains(r.attempts, syscall) }

// echo answers every caught connection with the address that was dialled.
func echo(t testing.TB, p *running) {
	for _, l := range p.TCP() {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, "caught "+c.LocalAddr().String())
				c.(*net.TCPConn).CloseWrite()
				go func() { io.Copy(io.Discard, c); c.Close() }()
			}
		}()
	}
}
