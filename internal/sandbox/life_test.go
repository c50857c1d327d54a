package sandbox

// The life of a sandbox: nothing of it is left after its end, whoever ends it, and however.

import (
	"bufio"
	"context"
	"fmt"
	"io"
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

	"github.com/weir-run/weir/internal/weir"
)

const forever = "setInterval(() => {}, 1000)"

// helperSupervisor starts a sandbox, says its pid, and waits to be killed.
func helperSupervisor() {
	l, err := NewLauncher(Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := exec.LookPath("node")
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := l.Start(context.Background(), &Spec{Name: "orphan", Argv: []string{n, "-e", "process.title = 'x';" + forever}, Programs: []string{n}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Pid())
	select {}
}

// TestSupervisorKilled: when the supervisor dies, without a chance to clean up, so does all that
// it started; the next one removes what it left.
func TestSupervisorKilled(t *testing.T) {
	node(t)
	supervisorKilled(t, "supervisor")
}

func supervisorKilled(t *testing.T, helper string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST_HELPER="+helper)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	var pid int
	if _, scanErr := fmt.Sscan(line, &pid); err != nil || scanErr != nil {
		t.Fatalf("%q %v", line, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	prefix := fmt.Sprintf("%s%d-", groupPrefix, cmd.Process.Pid)
	cmd.Process.Kill()
	cmd.Wait()
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ended, 10_000); n != 1 {
		t.Fatalf("the sandbox outlived its supervisor: %v", err)
	}
	cg := findCgroups()
	for _, dir := range cg.legacy {
		left, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
		for deadline := time.Now().Add(5 * time.Second); len(left) > 0 && time.Now().Before(deadline); {
			removeLeftOvers(dir) // the kernel may still be taking the processes down
			left, _ = filepath.Glob(filepath.Join(dir, prefix+"*"))
		}
		if len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
}

// TestUsageCountsChildren: what a child burns is the sandbox's, while the program itself is at rest.
func TestUsageCountsChildren(t *testing.T) {
	s := nodeSpec(t, "require('child_process').spawn('/bin/sh', ['-c', 'while :; do :; done'], { detached: true, stdio: 'ignore' }).unref(); setInterval(() => {}, 1000)")
	s.Exec = []string{"/bin/sh"}
	p := start(t, launcher(t, Options{}), s)
	for deadline := time.Now().Add(20 * time.Second); ; {
		alone, err := usageOf(p.Pid())
		if err != nil {
			t.Fatal(err)
		}
		all, err := p.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if all.CPU > alone.CPU+time.Second/2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sandbox used %s, the program %s", all.CPU, alone.CPU)
		}
	}
}

func TestKill(t *testing.T) {
	p := start(t, launcher(t, Options{}), nodeSpec(t, forever))
	fd, err := unix.PidfdOpen(p.Pid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// The kernel counts in batches: it may take a moment until there is something.
	for deadline := time.Now().Add(10 * time.Second); ; {
		u, err := p.Usage()
		if u.Memory > 0 && err == nil {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v %v", u, err)
		}
	}
	var waiters sync.WaitGroup
	for range 3 {
		waiters.Go(func() {
			if e := p.Wait(); e.Signal != "SIGKILL" || e.Code != -1 || e.Cause != "" {
				t.Errorf("%+v", e)
			}
		})
	}
	p.Kill()
	p.Kill()
	waiters.Wait()
	p.Kill() // after the end too
	if _, err := p.Usage(); err != nil {
		t.Error(err)
	}
	for _, l := range p.TCP() {
		if _, err := l.Accept(); err == nil {
			t.Error("a listener outlived the sandbox")
		}
	}
}

func TestExit(t *testing.T) {
	for script, want := range map[string]Exit{
		"process.exit(3)": {Code: 3},
		"":                {},
		"process.kill(process.pid, 'SIGTERM'); console.log(1)": {}, // as first process it can't end itself so
	} {
		if got := run(t, launcher(t, Options{}), nodeSpec(t, script)).exit; got != want {
			t.Errorf("%s: %+v, want %+v", script, got, want)
		}
	}
	if got := run(t, launcher(t, Options{}), nodeSpec(t, "process.abort()")).exit; got.Code != -1 || got.Signal == "" {
		t.Errorf("abort: %+v", got)
	}
}

// TestNoCore: a crash writes no image of the memory anywhere.
func TestNoCore(t *testing.T) {
	bundle := public(t)
	if err := os.Chmod(bundle, 0o777); err != nil {
		t.Fatal(err)
	}
	s := probeSpec(t, "crash")
	s.Bundle = bundle
	if got := run(t, launcher(t, Options{}), s); got.exit.Signal == "" {
		t.Errorf("%+v", got.exit)
	}
	if e, err := os.ReadDir(bundle); err != nil || len(e) > 0 {
		t.Errorf("%v %v", e, err)
	}
}

// TestDaemon: a process that left its parent and its session ends with the sandbox.
func TestDaemon(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := probeSpec(t, "daemon")
	s.Exec, s.Files = s.Programs, []*os.File{w}
	got := run(t, launcher(t, Options{}), s)
	w.Close()
	if got.out != "daemon ok\n" {
		t.Errorf("%q %+v", got.out, got.exit)
	}
	// The daemon holds the other end: the end of file shows its own.
	r.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the daemon lives: %v", err)
	}
}

// TestFiles: descriptors arrive at 3, 4, …, in order, and no other.
func TestFiles(t *testing.T) {
	dir := public(t)
	var files []*os.File
	for _, name := range []string{"three", "four", "five"} {
		writeTo(t, filepath.Join(dir, name), name)
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	s := nodeSpec(t, "console.log([3, 4, 5].map((n) => fs.readFileSync(n)).join())")
	s.Files = files
	if got := run(t, launcher(t, Options{}), s); got.out != "three,four,five\n" {
		t.Errorf("%q", got.out)
	}
}

func TestStartIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := launcher(t, Options{}).Start(ctx, nodeSpec(t, "")); err == nil {
		p.Kill()
		p.Wait()
		t.Error("it started")
	} else if weir.ErrorCode(err) != weir.TimedOut {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	l := launcherWith(t, func(*mode) {})
	p := start(t, l, nodeSpec(t, forever))
	l.Close()
	if e := p.Wait(); e.Signal != "SIGKILL" {
		t.Errorf("%+v", e)
	}
	if _, err := l.Start(t.Context(), nodeSpec(t, "")); weir.ErrorCode(err) != weir.Unavailable {
		t.Errorf("%v", err)
	}
}

// state is what a sandbox could leave behind.
func state(t *testing.T, l *Launcher) map[string]string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var children []string
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		children = append(children, strings.Fields(string(b))...)
	}
	var groups []string
	for _, dir := range l.cgroups.legacy {
		g, _ := filepath.Glob(filepath.Join(dir, l.cgroups.prefix+"*"))
		groups = append(groups, g...)
	}
	slices.Sort(groups)
	return map[string]string{"mounts": string(mounts), "descriptors": fmt.Sprint(len(fds)),
		"children": fmt.Sprint(children), "cgroups": fmt.Sprint(groups)}
}

func TestNothingIsLeftOfAHundred(t *testing.T) {
	l := launcher(t, Options{})
	one := func() {
		p, err := l.Start(context.Background(), probeSpec(t, "setns"))
		if err != nil {
			t.Error(err)
			return
		}
		p.Wait()
	}
	one()
	before := state(t, l)
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for range 25 {
				one()
			}
		})
	}
	done.Wait()
	after := state(t, l)
	for what, was := range before {
		if after[what] != was {
			t.Errorf("%s: %s, before: %s", what, after[what], was)
		}
	}
}

// TestInitByHand: a user who starts the first process by hand is told so, and nothing happens.
func TestInitByHand(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Args = []string{"weir-init"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "can't be started by hand") {
		t.Errorf("%v %s", err, out)
	}
}
