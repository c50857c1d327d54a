package sandbox

// Control groups bound what a sandbox uses as a whole: memory, processes, CPU. They can be had
// with version 2 where this process's own group is delegated to it, with version 1 as root, or
// not at all; rlimits and a choice of processors then stand in, see plan.go.

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// The controllers that are used, and the order in which they are spoken of.
const (
	memoryController = "memory"
	pidsController   = "pids"
	cpuController    = "cpu"
)

var controllers = []string{memoryController, pidsController, cpuController}

// cgroups knows under which directories sandboxes' groups are made.
type cgroups struct {
	unified string            // version 2: this process's group, with the controllers enabled; "" without
	legacy  map[string]string // version 1: controller to this process's group
	prefix  string            // of this supervisor's groups
}

// groupPrefix begins the name of every group: "weir-PID-STARTTIME-N". Pid and start time are those
// of the supervisor that made it.
const groupPrefix = "weir-"

// groups counts the groups that this process has made, whichever Launcher did.
var groups atomic.Uint64

// groupName gives the name of a new group.
func groupName(prefix string) string { return prefix + strconv.FormatUint(groups.Add(1), 10) }

// findCgroups looks for controllers that can be used, by making a group with each.
func findCgroups() *cgroups {
	info, err1 := os.ReadFile("/proc/self/mountinfo")
	own, err2 := os.ReadFile("/proc/self/cgroup")
	start, err3 := startTimeOf(os.Getpid())
	if err1 != nil || err2 != nil || err3 != nil {
		return &cgroups{}
	}
	c := &cgroups{legacy: map[string]string{}, prefix: fmt.Sprintf("%s%d-%s-", groupPrefix, os.Getpid(), start)}
	for _, h := range hierarchies(info, own) {
		if h.unified {
			if dir, ok := delegated(h.dir, h.root, c.prefix); ok {
				c.unified = dir
			}
			continue
		}
		for _, name := range h.controllers {
			c.legacy[name] = h.dir
		}
	}
	if c.unified != "" {
		clear(c.legacy)
	}
	for name, dir := range c.legacy {
		removeLeftOvers(dir)
		if !writable(dir, c.prefix, legacyLimit(name)) {
			delete(c.legacy, name)
		}
	}
	if c.unified != "" {
		removeLeftOvers(c.unified)
	}
	return c
}

// hierarchy is a mounted tree of groups: the directory of this process's own and the tree's root.
type hierarchy struct {
	unified     bool
	controllers []string
	dir, root   string
}

// hierarchies reads /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)).
func hierarchies(mountinfo, own []byte) []hierarchy {
	paths := map[string]string{} // controller, or "" for version 2, to this process's group
	for line := range strings.Lines(string(own)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for _, c := range strings.Split(f[1], ",") {
			paths[c] = f[2]
		}
	}
	var out []hierarchy
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		h := hierarchy{unified: g[0] == "cgroup2", root: f[4]}
		var path string
		switch g[0] {
		case "cgroup2":
			path, ok = paths[""], true
		case "cgroup":
			ok = false
			for _, o := range strings.Split(g[2], ",") {
				for _, c := range controllers {
					if o == c {
						h.controllers = append(h.controllers, c)
						path, ok = paths[c], true
					}
				}
			}
		default:
			continue
		}
		// The mount may show only part of the tree.
		rel, inside := strings.CutPrefix(path, strings.TrimSuffix(f[3], "/"))
		if ok && path != "" && inside {
			h.dir = filepath.Join(h.root, rel)
			out = append(out, h)
		}
	}
	return out
}

// legacyLimit is the file whose presence tells that a version 1 controller can bound.
func legacyLimit(controller string) string {
	return map[string]string{memoryController: "memory.limit_in_bytes", pidsController: "pids.max",
		cpuController: "cpu.cfs_quota_us"}[controller]
}

// writable tells whether a group with the file can be made in dir.
func writable(dir, prefix, file string) bool {
	d := filepath.Join(dir, groupName(prefix))
	held, err := claim(d)
	if err != nil {
		return false
	}
	defer held.Close()
	defer unix.Rmdir(d)
	return unix.Access(filepath.Join(d, file), unix.W_OK) == nil
}

func (c *cgroups) has(controller string) bool {
	return c.unified != "" || c.legacy[controller] != ""
}

// group is one sandbox's: a directory in the unified tree, or one for each controller.
type group struct {
	dirs map[string]string   // controller, or "" for version 2, to directory
	held map[string]*os.File // the same directories, locked
}

func newGroup() *group { return &group{dirs: map[string]string{}, held: map[string]*os.File{}} }

// claim makes one directory of the group.
func (g *group) claim(controller, dir string) error {
	held, err := claim(dir)
	if err == nil {
		g.dirs[controller], g.held[controller] = dir, held
	}
	return err
}

// create makes a group that holds the limits.
func (c *cgroups) create(l weir.Limits) (*group, error) {
	g := newGroup()
	name := groupName(c.prefix)
	var err error
	if c.unified != "" {
		err = g.makeUnified(filepath.Join(c.unified, name), l)
	}
	for controller, dir := range c.legacy {
		if err == nil {
			err = g.makeLegacy(controller, filepath.Join(dir, name), l)
		}
	}
	if err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

func (g *group) makeLegacy(controller, dir string, l weir.Limits) error {
	if err := g.claim(controller, dir); err != nil {
		return err
	}
	switch controller {
	case memoryController:
		if err := write(dir, "memory.limit_in_bytes", l.Memory); err != nil {
			return err
		}
		// Swap would let a function go over its limit slowly. The file is there only if the
		// kernel accounts for swap.
		err := write(dir, "memory.memsw.limit_in_bytes", l.Memory)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	case pidsController:
		return write(dir, "pids.max", int64(l.Processes+ownThreads))
	default:
		if err := write(dir, "cpu.cfs_period_us", cpuPeriod); err != nil {
			return err
		}
		err := write(dir, "cpu.cfs_quota_us", cpuQuota(l.CPU))
		if errors.Is(err, unix.EINVAL) {
			return nil // more than this process's own group has, which holds anyway
		}
		return err
	}
}

// cpuPeriod is over which time CPU is counted, in microseconds; the kernel's default.
const cpuPeriod = 100_000

// cpuQuota is how much of a period a group may run, in microseconds. The kernel wants 1000 at
// least.
func cpuQuota(cores float64) int64 {
	return max(1000, int64(math.Round(cores*cpuPeriod)))
}

func write(dir, file string, value int64) error { return put(dir, file, strconv.FormatInt(value, 10)) }

// put writes a file of the kernel's; it creates none.
func put(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// fd is the descriptor of the group to create a process in, -1 without version 2.
func (g *group) fd() int {
	if f := g.held[""]; f != nil {
		return int(f.Fd())
	}
	return -1
}

// add moves a process, which does nothing yet, into the group. With version 2 it is there already.
func (g *group) add(pid int) error {
	for controller, dir := range g.dirs {
		if controller == "" {
			continue
		}
		if err := write(dir, "cgroup.procs", int64(pid)); err != nil {
			return err
		}
	}
	return nil
}

// move moves a process that runs already into the group.
func (g *group) move(pid int) error {
	for _, dir := range g.dirs {
		if err := write(dir, "cgroup.procs", int64(pid)); err != nil {
			return err
		}
	}
	return nil
}

// outOfMemory tells whether the kernel killed a process in the group for going over its limit.
func (g *group) outOfMemory() bool {
	for controller, file := range map[string]string{"": "memory.events", memoryController: "memory.oom_control"} {
		if dir, ok := g.dirs[controller]; ok {
			if n, ok := field(filepath.Join(dir, file), "oom_kill"); ok && n > 0 {
				return true
			}
		}
	}
	return false
}

// field reads one line "NAME NUMBER" of a file.
func field(path, name string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// memory gives what the group uses, in bytes.
func (g *group) memory() (int64, bool) {
	for controller, file := range map[string]string{"": "memory.current", memoryController: "memory.usage_in_bytes"} {
		if dir, ok := g.dirs[controller]; ok {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

// remove removes the group, whose processes have ended. The kernel may need a moment after that.
func (g *group) remove() {
	for controller, dir := range g.dirs {
		for wait := time.Millisecond; wait < time.Second; wait *= 2 {
			if err := unix.Rmdir(dir); err != unix.EBUSY {
				break
			}
			time.Sleep(wait)
		}
		g.held[controller].Close()
	}
}
