package sandbox

// Where no cgroup bounds memory, RLIMIT_DATA bounds what one process reserves for itself, but not
// what it shares, nor what several processes have together. So the supervisor looks.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// memoryEvery is how often it looks. In between, a sandbox can go over its limit.
const memoryEvery = 25 * time.Millisecond

// watchMemory ends the sandbox when its processes hold more than limit, in bytes.
func (p *Process) watchMemory(limit int64) {
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
			if memoryBelow(p.first.pid) > limit {
				p.overMemory.Store(true)
				p.Kill()
				return
			}
		}
	}
}

// memoryBelow gives what a process and all its descendants hold in memory that is no file's, in
// bytes. What several of them share counts for each.
func memoryBelow(pid int) int64 {
	sum := memoryOf(pid)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return sum
	}
	for _, f := range tasks {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(child)); err == nil {
				sum += memoryBelow(n)
			}
		}
	}
	return sum
}

// memoryOf reads RssAnon and RssShmem (proc_pid_status(5)), 0 for a process that has ended.
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
