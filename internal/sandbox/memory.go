package sandbox

// Where no cgroup bounds memory, RLIMIT_DATA bounds what one process reserves for itself, but not
// what it shares, nor what several processes have together. So the supervisor looks.

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// How often it looks: the farther from its limit a sandbox is, the longer it takes to get there.
const (
	memoryOften  = 25 * time.Millisecond
	memorySeldom = 500 * time.Millisecond
	// memoryGrowth is more than any sandbox fills in a second, in bytes: a core writes to new pages at
	// half of that.
	memoryGrowth = 4 << 30
)

// watchMemory ends the sandbox when its processes hold more than limit, in bytes.
func (p *Process) watchMemory(limit int64) {
	held := func() int64 {
		used := memoryOf(p.first.pid)
		if p.forks {
			for pid := range below(p.first.pid) {
				used += memoryOf(pid)
			}
		}
		return used
	}
	watchMemory(p.ended, limit, held, func() {
		p.overMemory.Store(true)
		p.Kill()
	})
}

// watchMemory calls over, once, when held gives more than limit, in bytes. Between two looks, that can be
// exceeded.
func watchMemory(ended <-chan struct{}, limit int64, held func() int64, over func()) {
	next := time.NewTimer(memoryOften)
	defer next.Stop()
	for {
		select {
		case <-ended:
			return
		case <-next.C:
		}
		used := held()
		if used > limit {
			over()
			return
		}
		next.Reset(memoryWait(limit - used))
	}
}

// memoryWait gives when to look again at a sandbox that has so many bytes left.
func memoryWait(left int64) time.Duration {
	return min(max(time.Duration(float64(left)/memoryGrowth*float64(time.Second)), memoryOften), memorySeldom)
}

// below gives all descendants of a process.
func below(pid int) iter.Seq[int] {
	return func(yield func(int) bool) { walk(pid, yield) }
}

func walk(pid int, yield func(int) bool) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return true
	}
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(child)); err == nil && !(yield(n) && walk(n, yield)) {
				return false
			}
		}
	}
	return true
}

// privateMemory gives what a process holds in memory that it shares with nobody (proc_pid_smaps(5)), in bytes.
func privateMemory(pid int) (sum int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 2 || string(f[0]) != "Private_Clean:" && string(f[0]) != "Private_Dirty:" {
			continue
		}
		kB, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += kB << 10
	}
	return sum, nil
}

// memoryOf gives what a process holds in memory that is no file's (RssAnon and RssShmem,
// proc_pid_status(5)), in bytes; 0 for one that has ended. What several share counts for each.
func memoryOf(pid int) (sum int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 2 || string(f[0]) != "RssAnon:" && string(f[0]) != "RssShmem:" {
			continue
		}
		if kB, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
			sum += kB << 10
		}
	}
	return sum
}
