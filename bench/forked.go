package main

// Instances that are forked: a zygote starts after its function has answered, and for the first answer of an
// instance that comes from it, all others have to end.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/weir-run/weir/bench/load"
)

// zygoteTime is how long a function's zygote may take to come.
const zygoteTime = 20 * time.Second

var errNotForked = errors.New("no instance came from a zygote")

// breed calls a function, and ends its instances, until one of them came from its zygote. Then it has no other
// process.
func (s *server) breed(t load.Target) error {
	for deadline := time.Now().Add(zygoteTime); time.Now().Before(deadline); {
		before := s.forked()
		if err := ask(t); err != nil {
			return err
		}
		s.endInstances()
		if s.forked() > before {
			return nil
		}
	}
	return errNotForked
}

// firstForked takes the time of the first answer of a function that has no process but its zygote.
func (s *server) firstForked(t load.Target) (time.Duration, error) {
	if err := s.breed(t); err != nil {
		return 0, err
	}
	before, start := s.forked(), time.Now()
	err := ask(t)
	took := time.Since(start)
	s.endInstances() // after which the invocation is on record
	if err == nil && s.forked() == before {
		err = errNotForked
	}
	return took, err
}

// forked is how many invocations on record were the first of a forked instance.
func (s *server) forked() int { return s.started()["zygote"] }

// endInstances kills the instances, as if they had crashed, and gives the server time to notice and the machine
// to rest. The server must keep no other processes ready.
func (s *server) endInstances() {
	for _, pid := range s.instances() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	time.Sleep(pauseBefore)
}

// instances are the processes below the server that are no zygote: those that the shim's name ends the command
// line of, and the children of those that are.
func (s *server) instances() []int {
	var out []int
	for _, pid := range descendants(s.cmd.Process.Pid) {
		line := cmdline(pid)
		if bytes.HasSuffix(line, []byte("/main.cjs\x00")) || isZygote(line) && isZygote(cmdline(parent(pid))) {
			out = append(out, pid)
		}
	}
	return out
}

func isZygote(cmdline []byte) bool {
	return bytes.HasSuffix(cmdline, []byte("/main.cjs\x00zygote\x00"))
}

// cmdline gives a process's command line, nothing if it has ended.
func cmdline(pid int) []byte {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return line
}

// parent gives a process's parent, 0 if it has ended.
func parent(pid int) (ppid int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, after, ok := bytes.Cut(text, []byte("\nPPid:\t")); ok {
		fmt.Sscan(string(after), &ppid)
	}
	return ppid
}
