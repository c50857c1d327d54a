package sandbox

// Control groups, version 2: a group that has processes can't give controllers to groups in it
// (cgroups(7), the "no internal processes" rule), so this process first moves into a group of its
// own, if it is alone in the one that was delegated to it.

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// selfSuffix ends the name of the group that the supervisor moves itself to.
const selfSuffix = "self"

// delegated gives a directory in which groups with all controllers can be made: this process's
// own group, or for root the top of the tree.
func delegated(own, root, prefix string) (string, bool) {
	// An earlier Launcher of this process has moved it already.
	if filepath.Base(own) == prefix+selfSuffix {
		own = filepath.Dir(own)
	}
	for _, dir := range slices.Compact([]string{own, root}) {
		if enable(dir, prefix) && writable(dir, prefix, "memory.max") {
			return dir, true
		}
	}
	return "", false
}

// enable makes the controllers available to groups in dir.
func enable(dir, prefix string) bool {
	if !all(words(dir, "cgroup.controllers")) || unix.Access(dir, unix.W_OK) != nil {
		return false
	}
	if all(words(dir, "cgroup.subtree_control")) {
		return true
	}
	on := func() bool {
		return put(dir, "cgroup.subtree_control", "+memory +pids +cpu") == nil
	}
	if on() {
		return true
	}
	pids := words(dir, "cgroup.procs")
	if len(pids) != 1 || pids[0] != strconv.Itoa(os.Getpid()) {
		return false
	}
	leaf := filepath.Join(dir, prefix+selfSuffix)
	if err := os.Mkdir(leaf, 0o755); err != nil {
		return false
	}
	if write(leaf, "cgroup.procs", int64(os.Getpid())) == nil && on() {
		return true
	}
	write(dir, "cgroup.procs", int64(os.Getpid()))
	unix.Rmdir(leaf)
	return false
}

func words(dir, file string) []string {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b))
}

func all(have []string) bool {
	for _, c := range controllers {
		if !slices.Contains(have, c) {
			return false
		}
	}
	return true
}

func (g *group) makeUnified(dir string, l weir.Limits) error {
	if err := g.claim("", dir); err != nil {
		return err
	}
	return limitUnified(dir, l)
}

// limitUnified writes the limits. The files are there already: nothing is created.
func limitUnified(dir string, l weir.Limits) error {
	for file, value := range map[string]string{
		"memory.max":       strconv.FormatInt(l.Memory, 10),
		"memory.oom.group": "1",
		"pids.max":         strconv.Itoa(l.Processes + ownThreads),
		"cpu.max":          fmt.Sprintf("%d %d", cpuQuota(l.CPU), cpuPeriod),
	} {
		if err := put(dir, file, value); err != nil {
			return err
		}
	}
	// Swap would let a function go over its limit slowly. The file is there only if the kernel
	// accounts for swap.
	if err := put(dir, "memory.swap.max", "0"); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// walls tells how the limits are held.
func (c *cgroups) walls() []Wall {
	remedy := "give Weir a delegated cgroup (systemd: Delegate=yes in its unit, or systemd-run --user --scope -p Delegate=yes weir …), or run it as root"
	fallback := map[string]string{
		memoryController: "each process is held by RLIMIT_DATA, not the sandbox as a whole",
		pidsController:   "held by RLIMIT_NPROC of the sandbox's own user namespace",
		cpuController:    "whole processors only: a sandbox runs on as many as its limit, rounded up",
	}
	names := map[string]string{memoryController: "memory limit", pidsController: "process limit", cpuController: "CPU limit"}
	var out []Wall
	for _, ctl := range controllers {
		w := Wall{Name: names[ctl], State: InForce}
		switch {
		case c.unified != "":
			w.Detail = "cgroup v2, in " + c.unified
		case c.legacy[ctl] != "":
			w.Detail = "cgroup v1, in " + c.legacy[ctl]
		default:
			w.State, w.Detail, w.Remedy = Fallback, fallback[ctl], remedy
		}
		out = append(out, w)
	}
	return out
}
