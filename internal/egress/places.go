package egress

// This file exists because every connection to an upstream takes descriptors from the whole server:
// a function has so many and no more, however many requests it begins.

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// A function may have maxPlaces connections to upstreams, those that are being made included, and no
// more than one in placeShare of the descriptors that this process may have.
const (
	maxPlaces  = 2048
	minPlaces  = 64
	placeShare = 8
)

// errCrowded is a request that found no place for its connection in time.
var errCrowded = errors.New("this function has too many connections open")

// newPlaces makes the places for one function's connections.
func newPlaces() slots {
	n := uint64(maxPlaces)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil {
		n = min(n, max(limit.Cur/placeShare, minPlaces))
	}
	return make(slots, n)
}

// takePlace takes a place for one connection. If there is none, idle connections make room, and with
// wait the caller gets what becomes free until ctx ends. The error is errCrowded, or that of ctx if
// nobody wants the connection any more.
func (f *Function) takePlace(ctx context.Context, wait bool) error {
	if f.places.tryTake() {
		return nil
	}
	if !wait {
		return errCrowded
	}
	again := time.NewTicker(dialStagger)
	defer again.Stop()
	for {
		f.closeIdle()
		select {
		case f.places <- struct{}{}:
			return nil
		case <-again.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return errCrowded
			}
			return ctx.Err()
		}
	}
}

// outside is a connection to an upstream. It has a place until it is closed.
type outside struct {
	*net.TCPConn
	places slots
	once   sync.Once
	polled bool // Read does not wait
}

// Read reads as that of net.Conn. Polled, it gives os.ErrDeadlineExceeded if nothing is there.
func (o *outside) Read(b []byte) (n int, err error) {
	if !o.polled {
		return o.TCPConn.Read(b)
	}
	raw, err := o.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		n, failed = syscall.Read(int(fd), b)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case failed == syscall.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case failed != nil:
		return 0, failed
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (o *outside) Close() error {
	err := o.TCPConn.Close()
	o.once.Do(o.places.give)
	return err
}

// dialPlaced connects to an address. The place is already taken; without a connection it is free
// again.
func (f *Function) dialPlaced(ctx context.Context, a netip.AddrPort) (*outside, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", a.String())
	if err != nil {
		f.places.give()
		return nil, err
	}
	return &outside{TCPConn: c.(*net.TCPConn), places: f.places}, nil
}
