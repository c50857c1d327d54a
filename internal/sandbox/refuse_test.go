package sandbox

// A machine on which a wall can't be raised: Weir refuses, names the wall and says what to do, or
// uses the fallback where there is one. The machine is played by a system call filter around a
// copy of this test.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// broken makes one system call fail: with any arguments, or where one has a value or a bit.
type broken struct {
	nr    uint32
	arg   int // -1: any arguments
	cond  bpf.JumpTest
	value uint32
	errno unix.Errno
}

var machines = map[string]broken{
	"no landlock":      {unix.SYS_LANDLOCK_CREATE_RULESET, -1, 0, 0, unix.ENOSYS},
	"landlock off":     {unix.SYS_LANDLOCK_CREATE_RULESET, -1, 0, 0, unix.EOPNOTSUPP},
	"no userns":        {unix.SYS_CLONE, 0, bpf.JumpBitsSet, unix.CLONE_NEWUSER, unix.EPERM},
	"no mounts":        {unix.SYS_MOUNT, -1, 0, 0, unix.EPERM},
	"no open_tree":     {unix.SYS_OPEN_TREE, -1, 0, 0, unix.ENOSYS},
	"no pivot_root":    {unix.SYS_PIVOT_ROOT, -1, 0, 0, unix.EPERM},
	"no seccomp":       {unix.SYS_SECCOMP, -1, 0, 0, unix.EINVAL},
	"no capset":        {unix.SYS_PRCTL, 0, bpf.JumpEqual, unix.PR_CAPBSET_DROP, unix.EPERM},
	"no rlimits":       {unix.SYS_PRLIMIT64, -1, 0, 0, unix.EPERM},
	"no netlink":       {unix.SYS_SOCKET, 0, bpf.JumpEqual, unix.AF_NETLINK, unix.EAFNOSUPPORT},
	"no nftables":      {unix.SYS_SOCKET, 2, bpf.JumpEqual, unix.NETLINK_NETFILTER, unix.EPROTONOSUPPORT},
	"no transparent":   {unix.SYS_SETSOCKOPT, 2, bpf.JumpEqual, unix.IP_TRANSPARENT, unix.EPERM},
	"no procfs":        {unix.SYS_MOUNT, 3, bpf.JumpEqual, unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, unix.EPERM},
	"no IPv6":          {unix.SYS_SOCKET, 0, bpf.JumpEqual, unix.AF_INET6, unix.EAFNOSUPPORT},
	"no sysctls":       {unix.SYS_OPENAT, 2, bpf.JumpEqual, unix.O_WRONLY | unix.O_TRUNC | unix.O_CLOEXEC, unix.EROFS},
	"no log":           {unix.SYS_SETSOCKOPT, 1, bpf.JumpEqual, unix.SOL_NETLINK, unix.ENOPROTOOPT},
	"no notifications": {unix.SYS_SECCOMP, 1, bpf.JumpEqual, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, unix.EBUSY},
}

// install filters every thread of this process.
func (b broken) install() error {
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}}
	fail := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(b.errno)}
	pass := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	if b.arg < 0 {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: b.nr, SkipTrue: 1}, pass, fail)
	} else {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpEqual, Val: b.nr, SkipTrue: 1}, pass,
			bpf.LoadAbsolute{Off: 16 + 8*uint32(b.arg), Size: 4},
			bpf.JumpIf{Cond: b.cond, Val: b.value, SkipTrue: 1}, pass, fail)
	}
	raw, err := bpf.Assemble(p)
	if err != nil {
		return err
	}
	insns := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		insns[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(insns)), Filter: &insns[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	return nil
}

type crippled struct {
	Error, Code, Remedy, Output string
	Walls                       []Wall
	Attempts                    int
}

// helperCrippled tries to start a sandbox on a broken machine and says what came of it.
func helperCrippled() {
	if err := machines[os.Getenv("SANDBOX_TEST_MACHINE")].install(); err != nil {
		fmt.Println("filter:", err)
		return
	}
	var c crippled
	l, err := NewLauncher(Options{})
	if err != nil {
		c.Error, c.Code, c.Walls = err.Error(), string(weir.ErrorCode(err)), Diagnose(err)
		if e, ok := err.(*weir.Error); ok {
			c.Remedy = e.Remedy
		}
	} else {
		c.Walls = l.Walls()
		c.Output, c.Attempts = tryNode(l)
	}
	json.NewEncoder(os.Stdout).Encode(c)
}

func tryNode(l *Launcher) (string, int) {
	n, err := exec.LookPath("node")
	if err != nil {
		return err.Error(), 0
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err.Error(), 0
	}
	p, err := l.Start(context.Background(), &Spec{Name: "x", Argv: []string{n, "-e", "try { require('child_process').spawnSync('x') } catch {} console.log('runs')"},
		Programs: []string{n}, Stdout: w, Stderr: w})
	w.Close()
	if err != nil {
		return err.Error(), 0
	}
	var b bytes.Buffer
	b.ReadFrom(r)
	p.Wait()
	attempts := 0
	for range p.Attempts() {
		attempts++
	}
	return b.String(), attempts
}

func onMachine(t *testing.T, name string) crippled {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SANDBOX_TEST_HELPER=crippled", "SANDBOX_TEST_MACHINE="+name)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var c crippled
	if err != nil || json.Unmarshal(out, &c) != nil {
		t.Fatalf("%v %s %s", err, out, stderr.String())
	}
	return c
}

func TestRefusal(t *testing.T) {
	for name, wall := range map[string]string{
		"no landlock": "Landlock", "landlock off": "Landlock", "no userns": "user namespaces", "no mounts": "private root",
		"no open_tree": "private root", "no pivot_root": "private root", "no seccomp": "seccomp", "no capset": "seccomp",
		"no rlimits": "seccomp", "no netlink": "network capture",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := onMachine(t, name)
			if c.Code != string(weir.NoWall) || !strings.HasPrefix(c.Error, wall+" can't be raised") {
				t.Errorf("code %q: %s; want a refusal for want of %s", c.Code, c.Error, wall)
			}
			missing := false
			for _, w := range c.Walls {
				missing = missing || w.Name == wall && w.State == Missing
			}
			if !missing {
				t.Errorf("%+v", c.Walls)
			}
			if strings.HasPrefix(name, "no landlock") || strings.HasPrefix(name, "landlock") || name == "no userns" {
				if c.Remedy == "" {
					t.Error("no remedy")
				}
			}
		})
	}
}

func TestFallback(t *testing.T) {
	node(t)
	for name, wall := range map[string]string{"no nftables": "network capture", "no transparent": "network capture",
		"no procfs": "procfs", "no notifications": "system call records", "no sysctls": "kernel memory", "no log": "datagram records", "no IPv6": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := onMachine(t, name)
			if c.Error != "" || c.Output != "runs\n" {
				t.Fatalf("%s %s", c.Error, c.Output)
			}
			if want := name != "no notifications"; (c.Attempts > 0) != want {
				t.Errorf("%d attempts", c.Attempts)
			}
			for _, w := range c.Walls {
				if w.Name == wall && (w.State != Fallback || w.Remedy == "") || w.Name != wall && w.State == Missing {
					t.Errorf("%+v", w)
				}
			}
		})
	}
}
