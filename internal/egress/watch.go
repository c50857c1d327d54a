package egress

// This file exists because nobody notices that a program is gone while nothing is read from it, and
// nothing is read while the upstream takes nothing: such a pair would stay as long as the sandbox.

import (
	"context"
	"syscall"
	"time"
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

// tcpClose is the state of a socket that was reset (TCP_CLOSE in Linux' include/net/tcp_states.h).
const tcpClose = 7

// isReset tells whether the peer of a TCP connection has reset it.
func isReset(c any) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	state := 0
	raw.Control(func(fd uintptr) {
		// The state is the first byte of struct tcp_info, and all that is asked for (tcp(7)).
		state, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	})
	return state&0xff == tcpClose
}
