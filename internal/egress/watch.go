package egress

// This file exists because nobody notices that a program is gone while nothing is read from it, and
// nothing is read while the upstream takes nothing: such a pair would stay as long as the sandbox.

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchTime is how often it is looked whether the program is still there.
const watchTime = 2 * time.Second

// watch closes the connection when its peer has reset it, until stop is called. An orderly end is
// none: who has said all may still listen.
func (c *conn) watch() (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	first := time.AfterFunc(watchTime, func() {
		for again := time.NewTicker(watchTime); ; {
			if isReset(c.Conn) {
				again.Stop()
				c.Close()
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				again.Stop()
				return
			}
		}
	})
	return func() {
		first.Stop()
		cancel()
	}
}

// isReset tells whether the peer of a TCP connection has reset it, or the system has given it up. The
// socket's state would not tell: it is the same after both directions have ended, when bytes may still
// have to be read. poll(2) shows the error and leaves it to whoever reads or writes, who ends the
// connection because of it.
func isReset(c any) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	reset := false
	raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd)}} // POLLERR comes unasked
		n, err := unix.Poll(p, 0)
		reset = err == nil && n == 1 && p[0].Revents&unix.POLLERR != 0
	})
	return reset
}
