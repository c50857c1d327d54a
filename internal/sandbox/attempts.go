package sandbox

// System calls that arrive from the kernel to be answered here.
//
// Those that are refused: answer at once, then record. And execve: the program itself is executed by
// the first process, once, and then never again; its children may execute what Landlock and the mounts
// let them. For a thread of the program that executes something becomes its first thread, and the
// kernel then forgets that the program is to die with the supervisor (pr_set_pdeathsig(2const)). Who
// calls can't change while the call waits, so "continue" is safe: nothing in memory was looked at.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

const (
	attemptBuffer = 64
	// A sandbox may make this many attempts at once, and this many a second from then on; beyond
	// that its threads wait for the answer, so that a flood costs the supervisor little.
	attemptBurst = 256
	attemptPause = time.Millisecond
)

type attempts struct {
	fd      *os.File
	program int // pid of the program
	out     chan Attempt
	dropped atomic.Uint64
}

// serve answers until every process of the sandbox has ended, or stop.
func (a *attempts) serve() {
	defer close(a.out)
	raw, err := a.fd.SyscallConn()
	if err != nil {
		return
	}
	tokens, last := float64(attemptBurst), time.Now()
	for {
		n, more, err := receive(raw, func() bool { return false })
		if err != nil || !more {
			return
		}
		if n.Nr == unix.SYS_EXECVE && a.byChild(raw, &n) {
			raw.Control(func(fd uintptr) { walls.Listener(fd).Proceed(n.ID) })
		} else {
			a.record(refuse(raw, &n), int(n.Pid))
		}
		now := time.Now()
		tokens = min(attemptBurst, tokens+float64(now.Sub(last)/attemptPause)) - 1
		last = now
		if tokens < 0 {
			time.Sleep(attemptPause)
		}
	}
}

// byChild tells whether a call comes from another process than the program. It doesn't if that can't
// be found out.
func (a *attempts) byChild(raw syscall.RawConn, n *walls.Notification) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Pid))
	if err != nil {
		return false
	}
	_, after, ok := bytes.Cut(b, []byte("\nTgid:"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	process, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if !ok || err != nil || process == a.program {
		return false
	}
	// The number may be another's by now, unless the call still waits.
	valid := false
	raw.Control(func(fd uintptr) { valid = walls.Listener(fd).Waits(n.ID) })
	return valid
}

// admit lets the first process execute the program until it has: then its end of the control socket is
// closed, before any code of the program's runs. Once is not enough: a signal may make the kernel call
// anew though it was told to proceed. What the program itself calls is left for serve, but for a call that comes in the
// very moment. The result ends it, and gives that one.
func admit(ctl syscall.Conn, records *os.File) (end func() []Attempt, err error) {
	raw, err1 := records.SyscallConn()
	control, err2 := ctl.SyscallConn()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	begun := func() bool { return hungUp(control) }
	var early []Attempt
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			n, more, err := receive(raw, begun)
			if err != nil || !more {
				return
			}
			program := begun()
			if n.Nr == unix.SYS_EXECVE && !program {
				raw.Control(func(fd uintptr) { walls.Listener(fd).Proceed(n.ID) })
				continue
			}
			if name := refuse(raw, &n); program {
				early = append(early, Attempt{Syscall: name, Pid: int(n.Pid)})
			}
		}
	}()
	return func() []Attempt {
		records.SetReadDeadline(time.Unix(1, 0))
		<-done
		records.SetReadDeadline(time.Time{})
		return early
	}, nil
}

// hungUp tells whether the other end of a socket is closed, or that can't be found out.
func hungUp(raw syscall.RawConn) bool {
	hung := true
	raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP comes unasked
		if n, err := unix.Poll(p, 0); err == nil {
			hung = n > 0
		}
	})
	return hung
}

// stop ends serve. All callers are gone by then.
func (a *attempts) stop() {
	if a.fd != nil {
		a.fd.Close()
	}
}

// record hands an attempt on, or drops it when nobody keeps up.
//
// The C library's resolver looks for a name service cache daemon at a unix socket, from whichever
// thread resolves a name; programs do that on helper threads. So that not every look-up becomes
// an attempt, those sockets count on the program's first thread only.
func (a *attempts) record(name string, pid int) {
	if name == "socket(AF_UNIX)" && pid != a.program {
		return
	}
	select {
	case a.out <- Attempt{Syscall: name, Pid: pid}:
	default:
		a.dropped.Add(1)
	}
}

// receive waits for the next call. There are no more when every process of the sandbox has ended, or over
// says so.
func receive(raw syscall.RawConn, over func() bool) (n walls.Notification, more bool, err error) {
	err = raw.Read(func(fd uintptr) bool {
		if over() {
			return true
		}
		var ended bool
		n, more, ended = walls.Listener(fd).Next()
		return more || ended
	})
	return n, more, err
}

// refuse answers a call with its error. It gives the call's name.
func refuse(raw syscall.RawConn, n *walls.Notification) string {
	name, errno := walls.Refusal(int(n.Nr), n.Args)
	raw.Control(func(fd uintptr) { walls.Listener(fd).Refuse(n.ID, errno) })
	return name
}
