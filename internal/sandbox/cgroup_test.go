package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestHierarchies(t *testing.T) {
	for _, c := range []struct {
		name, mounts, own string
		want              []hierarchy
	}{
		{"version 2", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/user.slice/user-1000.slice/run.scope\n",
			[]hierarchy{{unified: true, dir: "/sys/fs/cgroup/user.slice/user-1000.slice/run.scope", root: "/sys/fs/cgroup"}}},
		{"version 1",
			"31 30 0:27 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
			"4:memory:/a\n1:cpu,cpuacct:/b\n",
			[]hierarchy{{controllers: []string{"memory"}, dir: "/sys/fs/cgroup/memory/a", root: "/sys/fs/cgroup/memory"},
				{controllers: []string{"cpu"}, dir: "/sys/fs/cgroup/cpu,cpuacct/b", root: "/sys/fs/cgroup/cpu,cpuacct"}}},
		{"in a container", "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/docker/abc\n",
			[]hierarchy{{unified: true, dir: "/sys/fs/cgroup", root: "/sys/fs/cgroup"}}},
		{"elsewhere", "30 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n", "0::/other\n", nil},
		{"other mounts", "30 23 0:26 / / rw - ext4 /dev/vda rw\n", "0::/\n", nil},
		{"nonsense", "x\n - \n1 2 3 4 5 - cgroup2\n", "a\n:b\n", nil},
	} {
		if got := hierarchies([]byte(c.mounts), []byte(c.own)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func FuzzHierarchies(f *testing.F) {
	f.Add([]byte("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), []byte("0::/a\n"))
	f.Fuzz(func(t *testing.T, mounts, own []byte) {
		for _, h := range hierarchies(mounts, own) {
			if h.dir == "" {
				t.Errorf("%+v", h)
			}
		}
	})
}

// delegatedTree plays a delegated cgroup of version 2 with plain files.
func delegatedTree(t *testing.T, procs ...int) string {
	dir := t.TempDir()
	text := ""
	for _, p := range procs {
		text += strconv.Itoa(p) + "\n"
	}
	writeTo(t, filepath.Join(dir, "cgroup.controllers"), "cpuset cpu io memory pids")
	writeTo(t, filepath.Join(dir, "cgroup.subtree_control"), "")
	writeTo(t, filepath.Join(dir, "cgroup.procs"), text)
	return dir
}

func TestEnableControllers(t *testing.T) {
	dir := delegatedTree(t)
	if !enable(dir, "weir-1-1-") {
		t.Error("an empty group can't be used")
	}
	if b, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); string(b) != "+memory +pids +cpu" {
		t.Errorf("%q %v", b, err)
	}
	writeTo(t, filepath.Join(dir, "cgroup.controllers"), "memory pids")
	if enable(dir, "weir-1-1-") {
		t.Error("a group without the cpu controller is used")
	}

	if os.Geteuid() == 0 {
		return // root may write any file, so the kernel's no can't be played
	}
	// The kernel refuses while there are processes in the group.
	busy := delegatedTree(t, os.Getpid(), 1)
	if err := os.Chmod(filepath.Join(busy, "cgroup.subtree_control"), 0o444); err != nil {
		t.Fatal(err)
	}
	if enable(busy, "weir-1-1-") {
		t.Error("others' processes were moved")
	}
	if _, err := os.Stat(filepath.Join(busy, "weir-1-1-self")); err == nil {
		t.Error("a group was left over")
	}
}

func TestUnifiedGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "weir-1-1-1")
	g := newGroup()
	defer g.remove()
	err := g.makeUnified(dir, weir.Limits{Memory: 64 << 20, CPU: 0.5, Processes: 8})
	if err == nil {
		t.Fatal("a group without its files was taken for one")
	}
	for _, f := range []string{"memory.max", "memory.oom.group", "pids.max", "cpu.max", "memory.swap.max"} {
		writeTo(t, filepath.Join(dir, f), "")
	}
	if err := limitUnified(dir, weir.Limits{Memory: 64 << 20, CPU: 0.5, Processes: 8}); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[string]string{"memory.max": "67108864", "memory.oom.group": "1", "memory.swap.max": "0",
		"pids.max": strconv.Itoa(8 + ownThreads), "cpu.max": "50000 100000"} {
		if b, err := os.ReadFile(filepath.Join(dir, f)); string(b) != want {
			t.Errorf("%s: %q %v", f, b, err)
		}
	}
	writeTo(t, filepath.Join(dir, "memory.events"), "low 0\noom 1\noom_kill 1\n")
	writeTo(t, filepath.Join(dir, "memory.current"), "4096\n")
	if m, ok := g.memory(); !g.outOfMemory() || m != 4096 || !ok {
		t.Errorf("out of memory %t, memory %d %t", g.outOfMemory(), m, ok)
	}
}

// TestUnifiedGroupOfTheKernel: with the kernel's own version 2, a process is born into the group, and
// ends with it. It needs no controllers.
func TestUnifiedGroupOfTheKernel(t *testing.T) {
	if c := findCgroups(); c.unified != "" && !all(words(c.unified, "cgroup.controllers")) {
		t.Errorf("%s has not all controllers and is taken", c.unified)
	}
	info, err1 := os.ReadFile("/proc/self/mountinfo")
	own, err2 := os.ReadFile("/proc/self/cgroup")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	trees := hierarchies(info, own)
	i := slices.IndexFunc(trees, func(h hierarchy) bool { return h.unified })
	if i < 0 {
		t.Skip("no cgroup of version 2 is mounted")
	}
	dir := filepath.Join(trees[i].dir, groupName(groupPrefix+"test-1-"))
	g := newGroup()
	if err := g.claim("", dir); err != nil {
		t.Skip("this user can make no group: ", err)
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.fd()}
	if err := cmd.Start(); err != nil {
		g.remove()
		t.Fatal(err)
	}
	if got := words(dir, "cgroup.procs"); !slices.Equal(got, []string{strconv.Itoa(cmd.Process.Pid)}) {
		t.Errorf("in the group: %q", got)
	}
	killAll(dir)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
	g.remove()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
}
