package runtime

// Bytes to and from the process, as cheaply as they can be had: most invocations cost one write and one
// read, and no timer.

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writerTime is how long Refused waits for who writes. Nearly always that one is done in a moment; but it may
// be writing to a process that does not read.
const writerTime = 20 * time.Millisecond

// Refused tells the shim about a refusal, if there is room at once: a process that does not read holds
// nobody up, and misses some words. It may be called at any time and from several goroutines.
func (c *Conn) Refused(r Refusal) {
	payload, err := json.Marshal(r)
	if err != nil {
		return
	}
	for end := time.Now().Add(writerTime); !c.send.TryLock(); time.Sleep(writerTime / 200) {
		if time.Now().After(end) {
			return
		}
	}
	defer c.send.Unlock()
	b := request(inRefused, 0, payload)
	if n, err := c.offer(b); err == nil && n < len(b) {
		c.conn.Close() // half a frame would garble all that follow. (The kernel takes so short a one whole.)
	}
}

// peek reads what has arrived; if nothing has, the error is EAGAIN.
func (c *Conn) peek() (int, error) { return c.poll(0) }

// write sends a whole request. A process that does not read must not hold us, but nearly always
// there is room, and then no timer is needed.
func (c *Conn) write(b []byte, deadline time.Time) error {
	c.send.Lock()
	defer c.send.Unlock()
	n, err := c.offer(b)
	if err != nil && err != unix.EAGAIN {
		return err
	}
	if n == len(b) {
		return nil
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err = c.conn.Write(b[n:])
	return err
}

// follow sends what follows on the request of a call. It may take longer than the call itself: a frame that was not
// finished would end the other invocations of the process, too.
func (c *Conn) follow(k *call, kind byte, payload []byte) error {
	end := k.deadline
	if now := time.Now(); end.Before(now) {
		end = now
	}
	if err := c.write(request(kind, k.seq, payload), end.Add(c.grace)); err != nil {
		return c.fail(err)
	}
	return nil
}

// offer sends as much as there is room for; if there is none, the error is EAGAIN.
func (c *Conn) offer(b []byte) (n int, err error) {
	if ctl := c.raw.Control(func(fd uintptr) {
		n, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}); ctl != nil {
		err = ctl
	}
	return max(n, 0), err
}

// request is a frame to the process, whose payload may come in several parts.
func request(kind byte, seq uint32, payload ...[]byte) []byte {
	length := 0
	for _, p := range payload {
		length += len(p)
	}
	b := make([]byte, headLen, headLen+length)
	b[0] = kind
	binary.LittleEndian.PutUint32(b[4:], seq)
	binary.LittleEndian.PutUint32(b[8:], uint32(length))
	for _, p := range payload {
		b = append(b, p...)
	}
	return b
}

// fetch reads what comes next. The deadline of the connection is moved only when it is reached, not
// for every request: a timer that is set wakes a thread, and costs more than all else here.
//
// Who is in a hurry waits for an answer, and not only for the end of what outlasts it. Nothing is given, and no
// error, to who is to look whether there is still something to wait for.
func (c *Conn) fetch(deadline time.Time, hurry bool) (int, error) {
	if hurry && !c.busy() {
		n, err := c.poll(pollTime)
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != unix.EAGAIN {
			return n, err
		}
	}
	for {
		if c.armed.IsZero() || deadline.Before(c.armed) {
			c.armed = deadline
			if err := c.conn.SetReadDeadline(deadline); err != nil {
				return 0, err
			}
		}
		if c.look.Swap(false) {
			c.armed = time.Time{}
			return 0, nil
		}
		n, err := c.conn.Read(c.buf)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(deadline) {
			return n, err
		}
		c.armed = time.Time{}
	}
}

// maxStrayReads bounds what Clean takes, in reads of 64 KB at most.
const maxStrayReads = 4

// pollTime is how long an answer is asked for again and again if there is nothing else to do. A short invocation
// is over by then, and to be put to sleep and woken up would cost as much as the invocation itself; but whoever
// else has work needs the processor.
const pollTime = 60 * time.Microsecond

// poll reads what has arrived or arrives within a time; else the error is EAGAIN. (RawConn.Control, unlike
// Read, does not mind a deadline that has passed: see fetch.)
func (c *Conn) poll(within time.Duration) (n int, err error) {
	if ctl := c.raw.Control(func(fd uintptr) {
		start := time.Now()
		for n, err = receive(fd, c.buf); err == unix.EAGAIN && time.Since(start) < within && !c.busy(); {
			n, err = receive(fd, c.buf)
		}
	}); ctl != nil {
		err = ctl
	}
	return n, err
}

// receive is recv(2) without waiting. unix.Recvfrom would allocate an address each time, and what is asked
// for again and again must cost nothing.
func receive(fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, unix.EAGAIN
	}
	return 0, errno
}
