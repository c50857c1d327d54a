package sandbox

// Refused system calls that arrive from the kernel: answer at once, then record. The answer is
// always an error, never "continue": nothing that was looked at here could change afterwards and
// pass.

import (
	"os"
	"sync/atomic"
	"time"
	"unsafe"

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

// The structures of seccomp_unotify(2).
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

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
		var n notification
		var ok, ended bool
		err := raw.Read(func(fd uintptr) bool {
			n, ok, ended = next(int(fd))
			return ok || ended
		})
		if err != nil || ended {
			return
		}
		name, errno := walls.Refusal(int(n.nr), n.args)
		raw.Control(func(fd uintptr) { answer(int(fd), n.id, errno) })
		a.record(name, int(n.pid))
		now := time.Now()
		tokens = min(attemptBurst, tokens+float64(now.Sub(last)/attemptPause)) - 1
		last = now
		if tokens < 0 {
			time.Sleep(attemptPause)
		}
	}
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

// next takes a notification if one waits. The kernel's receive blocks, so it is asked first.
func next(fd int) (n notification, ok, ended bool) {
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, 0); err == unix.EINTR {
			continue
		} else if err != nil {
			return n, false, true
		}
		if p[0].Revents&unix.POLLIN == 0 {
			return n, false, p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		switch errno {
		case 0:
			return n, true, false
		case unix.EINTR, unix.ENOENT: // ENOENT: the caller died in between
			n = notification{} // the kernel wants it zero
		default:
			return n, false, true
		}
	}
}

func answer(fd int, id uint64, errno unix.Errno) {
	r := response{id: id, errno: -int32(errno)}
	// It fails when the caller died in between.
	unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
}
