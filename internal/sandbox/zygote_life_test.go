package sandbox

// How children end, and what is left of them.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestEndOfChild: a child's end is its own, and says how it came.
func TestEndOfChild(t *testing.T) {
	s := zygoteSpec(t, "")
	s.Limits.Memory = 200 << 20
	p := startZygote(t, s)
	bystander := fork(t, p)
	for _, c := range []struct {
		code string
		want Exit
	}{
		{"process.exit(3)", Exit{Code: 3}},
		{"process.abort()", Exit{Code: -1, Signal: "SIGABRT"}},
		{"process.kill(process.pid, 'SIGTERM')", Exit{Code: -1, Signal: "SIGTERM"}},
		{"const all = []; for (;;) all.push(Buffer.alloc(8 << 20, 1))", Exit{Code: -1, Signal: "SIGKILL", Cause: "memory"}},
	} {
		child := fork(t, p)
		child.try(c.code) // the channel ends, with or without an answer
		if exit := child.Wait(); exit != c.want {
			t.Errorf("%s: %+v, want %+v", c.code, exit, c.want)
		}
		bystander.expect(t, "return 1", "1")
	}
	child := fork(t, p)
	child.do(t, "while (process.cpuUsage().user < 200000); return 0")
	if u, err := child.Usage(); err != nil || u.CPU < 100*time.Millisecond || u.Memory == 0 {
		t.Errorf("%+v %v", u, err)
	}
	child.Kill()
	child.Wait()
	if u, err := child.Usage(); err != nil || u.CPU < 100*time.Millisecond || u.Memory != 0 {
		t.Errorf("after its end: %+v %v", u, err)
	}
	p.Kill()
	if exit := bystander.Wait(); exit.Signal != "SIGKILL" {
		t.Errorf("the end of the sandbox is %+v to a child", exit)
	}
	if _, err := tryFork(t, p); err == nil {
		t.Error("a zygote that has ended was forked")
	}
}

// TestLimitOfChildren: there are no more children at a time than were asked for, and their slots are used
// again.
func TestLimitOfChildren(t *testing.T) {
	s := zygoteSpec(t, "")
	s.Zygote = 2
	p := startZygote(t, s)
	a := fork(t, p)
	fork(t, p)
	if _, err := tryFork(t, p); err == nil || !strings.Contains(err.Error(), "2 children") {
		t.Errorf("%v", err)
	}
	a.Kill()
	a.Wait()
	fork(t, p).expect(t, "return 1", "1")
}

// TestManyForks: children leave nothing behind in the zygote, its gate or the supervisor.
func TestManyForks(t *testing.T) {
	forks := 200
	if os.Getenv("WEIR_SOAK") != "" {
		forks = 2000
	}
	p := startZygote(t, zygoteSpec(t, ""))
	once := func() {
		c := fork(t, p)
		c.expect(t, "return 1", "1")
		c.conn.Close()
		if exit := c.Wait(); exit.Code != 0 {
			t.Fatalf("%+v", exit)
		}
		c.out.Close()
	}
	gate, zygote := p.Pid(), 0
	for pid := range below(gate) {
		zygote = pid
	}
	for range 20 {
		once()
	}
	before := map[int]footprint{os.Getpid(): of(t, os.Getpid()), gate: of(t, gate), zygote: of(t, zygote)}
	for range forks {
		once()
	}
	for pid, was := range before {
		// Garbage that waits to be collected, and pipes of the test's own, may come and go.
		if is := of(t, pid); is.files > was.files+8 || is.memory > was.memory+64<<20 {
			t.Errorf("process %d: %+v became %+v", pid, was, is)
		}
	}
	var left []int
	for pid := range below(gate) {
		left = append(left, pid)
	}
	if len(left) > 2 { // the zygote, and the last child until it is waited for
		t.Errorf("processes %v are left", left)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", gate))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(mounts), "/attr "); n > 2 {
		t.Errorf("%d private directories are left", n)
	}
}

// helperForker forks a child, says its pid, and waits to be killed.
func helperForker() {
	p, err := helperFork()
	fmt.Println(p, err)
	select {}
}

func helperFork() (pid int, err error) {
	n, err1 := exec.LookPath("node")
	object, err2 := os.ReadFile(os.Getenv("SANDBOX_TEST_ADDON"))
	script, err3 := os.ReadFile("testdata/zygote.cjs")
	l, err4 := NewLauncher(Options{})
	pair, err5 := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return 0, err
	}
	channel := os.NewFile(uintptr(pair[1]), "channel")
	s := zygoteOf(n, object, script, "")
	s.Files = []*os.File{channel}
	p, err := l.Start(context.Background(), s)
	if err == nil {
		err = p.WaitReady(context.Background())
	}
	if err != nil {
		return 0, err
	}
	c, err := p.Fork(context.Background(), channel, os.Stderr, os.Stderr)
	if err != nil {
		return 0, err
	}
	return c.Pid(), nil
}

// TestSupervisorOfZygoteKilled is TestSupervisorKilled for a child of a zygote.
func TestSupervisorOfZygoteKilled(t *testing.T) {
	zygoteSpec(t, "") // or it is skipped
	t.Setenv("SANDBOX_TEST_ADDON", filepath.Join(scratch.dir, "fork.node"))
	supervisorKilled(t, "forker")
}

// footprint is what a process holds.
type footprint struct {
	files  int
	memory int64
}

func of(t *testing.T, pid int) footprint {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "fd", "*"))
	if err != nil || len(files) == 0 && os.Geteuid() == 0 { // another's can't be seen by an ordinary user
		t.Fatal(pid, err)
	}
	return footprint{len(files), memoryOf(pid)}
}

// TestMemoryOfChildIsItsOwn: what a child shares with its zygote is told once, of the zygote.
func TestMemoryOfChildIsItsOwn(t *testing.T) {
	p := startZygote(t, zygoteSpec(t, "globalThis.kept = Buffer.alloc(64 << 20, 1)"))
	c := fork(t, p)
	of, err1 := p.Usage()
	its, err2 := c.Usage()
	if err1 != nil || err2 != nil || of.Memory < 64<<20 || its.Memory > 32<<20 {
		t.Errorf("the zygote holds %d bytes, its child %d (%v, %v)", of.Memory, its.Memory, err1, err2)
	}
}
