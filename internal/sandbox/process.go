package sandbox

// A running sandbox.

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running sandbox. Its methods may be called from many goroutines at once.
type Process struct {
	first    *first
	group    *group
	forks    bool // it may have children
	received received
	attempts *attempts
	refused  *refused
	watchers sync.WaitGroup
	zygote   *zygote // nil if the program is none
	outlets  outlets // what the program itself is captured by

	ended      chan struct{} // closed when the program has ended
	done       chan struct{} // closed when nothing of the sandbox is left
	exit       Exit
	used       Usage
	overMemory atomic.Bool // killed for it by this process
}

// follow watches the process until its end, and then calls ended.
func (p *Process) follow(ended func(*Process)) {
	p.attempts = &attempts{program: p.first.pid, out: make(chan Attempt, attemptBuffer)}
	p.outlets = outlets{tcp: p.received.tcp, dns: p.received.dns}
	switch {
	case p.zygote != nil:
		p.zygote.serve(p)
	case p.received.records != nil:
		p.attempts.fd, p.received.records = p.received.records, nil
		for _, a := range p.received.early {
			p.attempts.record(a.Syscall, a.Pid)
		}
		p.watchers.Go(p.attempts.serve)
	default:
		close(p.attempts.out)
	}
	p.refused = &refused{out: make(chan netip.AddrPort, attemptBuffer)}
	p.refused.fd, p.received.refused = p.received.refused, nil
	if p.zygote != nil {
		p.refused.child = p.zygote.refusedDatagram
	}
	p.watchers.Go(p.refused.follow)
	go func() {
		p.reap()
		ended(p)
		close(p.done)
	}()
}

// reap waits for the end and frees what the sandbox held.
func (p *Process) reap() {
	ws, ru := p.first.wait()
	close(p.ended)
	p.exit = exitOf(ws)
	// A child that was killed so may have left the program alive.
	if ws.Signaled() && ws.Signal() == unix.SIGKILL && (p.group.outOfMemory() || p.overMemory.Load()) {
		p.exit.Cause = "memory"
	}
	p.used = Usage{CPU: time.Duration(ru.Utime.Nano() + ru.Stime.Nano())}
	p.received.close()
	p.refused.stop()
	p.attempts.stop()
	p.watchers.Wait()
	p.group.remove()
}

// exitOf says how a process ended.
func exitOf(ws unix.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: -1, Signal: unix.SignalName(ws.Signal())}
	}
	return Exit{Code: ws.ExitStatus()}
}

// String gives "status 1", or "SIGKILL".
func (e Exit) String() string {
	if e.Signal != "" {
		return e.Signal
	}
	return fmt.Sprintf("status %d", e.Code)
}

// TCP gives the listeners at which everything arrives that the sandbox connects to. The local
// address of a connection is the one that was dialled. They are closed when the sandbox ends.
func (p *Process) TCP() []net.Listener { return p.outlets.tcp }

// DNS gives the sockets at which datagrams to port 53 of every address arrive. WriteTo takes
// only addresses that ReadFrom gave, and answers from the address that was asked. They are closed
// when the sandbox ends.
func (p *Process) DNS() []net.PacketConn { return p.outlets.dns }

// UDP gives the sockets at which other datagrams arrive, as far as the Spec has them captured. They are
// closed when the sandbox ends.
func (p *Process) UDP() []*Datagrams { return p.received.udp }

// RefusedDatagrams gives where datagrams were sent to that the kernel refused because no port of UDPPorts is
// theirs, up to a hundred in a second. It is closed when the sandbox ends, and at once where the kernel doesn't
// tell. What nobody takes in time is dropped.
func (p *Process) RefusedDatagrams() <-chan netip.AddrPort { return p.refused.out }

// Attempts gives the system calls that the kernel refused. It is closed when the sandbox ends,
// and at once where the kernel doesn't tell. What nobody takes in time is dropped.
func (p *Process) Attempts() <-chan Attempt { return p.attempts.out }

// Dropped counts the attempts that nobody took in time.
func (p *Process) Dropped() uint64 { return p.attempts.dropped.Load() }

// Pid is the number of the program's process, as the host counts.
func (p *Process) Pid() int { return p.first.pid }

// Kill ends every process in the sandbox. It may be called at any time.
func (p *Process) Kill() { p.first.kill() }

// Wait waits until nothing of the sandbox is left, and says how it ended.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// Usage says what the sandbox has used: the program, the children that it waited for and those that
// run. After its end, Memory is zero.
func (p *Process) Usage() (Usage, error) {
	select {
	case <-p.done:
		return p.used, nil
	default:
	}
	u, err := usageOf(p.first.pid)
	if p.forks {
		for pid := range below(p.first.pid) {
			if child, err := usageOf(pid); err == nil {
				u.CPU += child.CPU
			}
		}
	}
	if err != nil {
		select {
		case <-p.done:
			return p.used, nil
		default:
			return Usage{}, err
		}
	}
	if m, ok := p.group.memory(); ok {
		u.Memory = m
	} else if p.zygote != nil {
		for pid := range below(p.first.pid) {
			u.Memory += memoryOf(pid)
			break // the first below the gate is the zygote; the others' memory is told by themselves
		}
	}
	return u, nil
}

// clockTick is the unit of times in /proc, the same on every Linux that Go runs on.
const clockTick = time.Second / 100

// usageOf reads what a process and its reaped children used (proc_pid_stat(5)).
func usageOf(pid int) (Usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// The second field is the program's name, in brackets, and may hold anything.
	end := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[end+1:])
	const utime, cstime, rss = 11, 14, 21
	if end < 0 || len(f) <= rss {
		return Usage{}, fmt.Errorf("/proc/%d/stat can't be read", pid)
	}
	var u Usage
	for _, field := range f[utime : cstime+1] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("/proc/%d/stat: %v", pid, err)
		}
		u.CPU += time.Duration(n) * clockTick
	}
	pages, err := strconv.ParseInt(string(f[rss]), 10, 64)
	if err != nil {
		return Usage{}, fmt.Errorf("/proc/%d/stat: %v", pid, err)
	}
	u.Memory = pages * int64(os.Getpagesize())
	return u, nil
}
