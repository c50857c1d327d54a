package walls

// The kernel's side of system calls that a filter hands over: they wait until they are answered
// (seccomp_unotify(2)).

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Listener is the descriptor at which such calls arrive.
type Listener int

// Notification is a call that waits. Its caller can't change while it does; what its arguments point at
// can.
type Notification struct {
	ID    uint64
	Pid   uint32 // thread that calls, as the reader of the descriptor numbers it
	flags uint32
	Nr    int32
	arch  uint32
	ip    uint64
	Args  [6]uint64
}

type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// injection is struct seccomp_notif_addfd.
type injection struct {
	id                        uint64
	flags, srcfd, newfd, mode uint32
}

// Next takes a call if one waits. The kernel's receive blocks, so it is asked first. ended tells that
// every process that has the filter is gone.
func (l Listener) Next() (n Notification, ok, ended bool) {
	for {
		p := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, 0); err == unix.EINTR {
			continue
		} else if err != nil {
			return n, false, true
		}
		if p[0].Revents&unix.POLLIN == 0 {
			return n, false, p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
		}
		switch l.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)) {
		case 0:
			return n, true, false
		case unix.EINTR, unix.ENOENT: // ENOENT: the caller died in between
			n = Notification{} // the kernel wants it zero
		default:
			return n, false, true
		}
	}
}

// Waits tells whether a call still waits for its answer.
func (l Listener) Waits(id uint64) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&id)) == 0
}

// Refuse answers a call with an error; zero makes it succeed.
func (l Listener) Refuse(id uint64, errno unix.Errno) {
	l.respond(response{id: id, errno: -int32(errno)})
}

// Answer gives a call its result. It tells whether the caller still waited: it may have died, or a
// signal may have made it call anew.
func (l Listener) Answer(id uint64, value int64) bool {
	return l.respond(response{id: id, value: value})
}

// Proceed lets the kernel carry out the call, and tells the same.
func (l Listener) Proceed(id uint64) bool {
	return l.respond(response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// inject makes descriptor at of the caller the file fd, in place of what it was.
func (l Listener) inject(id uint64, fd, at int, closeOnExec bool) unix.Errno {
	in := injection{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SETFD, srcfd: uint32(fd), newfd: uint32(at)}
	if closeOnExec {
		in.mode = unix.O_CLOEXEC
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&in))
}

// give answers a call with a new descriptor of the caller's.
func (l Listener) give(id uint64, fd int, closeOnExec bool) unix.Errno {
	in := injection{id: id, flags: unix.SECCOMP_ADDFD_FLAG_SEND, srcfd: uint32(fd)}
	if closeOnExec {
		in.mode = unix.O_CLOEXEC
	}
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_ADDFD, unsafe.Pointer(&in))
}

func (l Listener) respond(r response) bool {
	return l.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)) == 0
}

func (l Listener) ioctl(request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), request, uintptr(arg))
	return errno
}
