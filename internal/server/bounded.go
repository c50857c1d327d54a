package server

// How many connections the server takes, and how long one may take nothing.

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/gateway"
)

// writeTime is how long a client may take nothing of what it is sent, where nobody has set another bound.
const writeTime = 30 * time.Second

// bound is how many connections a door may have, all in all and with one client.
type bound struct {
	room     *gateway.Room
	client   func(addr string) string // for room
	patience time.Duration            // writeTime
}

// boundTo bounds the connections of a door. A trusted proxy has those of many clients.
func boundTo(oneIn uint64, trusted []netip.Prefix) bound {
	return bound{filesFor(oneIn), func(addr string) string { return gateway.ClientOf(addr, trusted) }, writeTime}
}

// filesFor makes room for a share of the files that this process may open.
func filesFor(oneIn uint64) *gateway.Room { return gateway.NewRoom(maxConnections(oneIn), 1) }

// maxConnections gives one in so many of these files. What is left is for functions and the store.
func maxConnections(oneIn uint64) int64 {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		files.Cur = 1024
	}
	return int64(max(16, min(files.Cur, 1<<20)/oneIn))
}

// bounded is a listener that closes connections beyond a bound at once, rather than let all others wait for them.
type bounded struct {
	net.Listener
	bound
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		client := b.client(host)
		if b.room.Take(client, 1) {
			return &counted{TCPConn: c.(*net.TCPConn), patience: b.patience, back: sync.OnceFunc(func() { b.room.Give(client, 1) })}, nil
		}
		c.Close()
	}
}

// counted is a connection that gives its place back when it is closed, and whose client must take what it is sent.
type counted struct {
	*net.TCPConn
	patience time.Duration
	back     func()
	own      atomic.Bool // who writes has set a deadline
}

func (c *counted) Close() error {
	c.back()
	return c.TCPConn.Close()
}

// Write is io.Writer's. The client has its time for each piece.
func (c *counted) Write(p []byte) (written int, err error) {
	for piece := range slices.Chunk(p, 64<<10) {
		if !c.own.Load() {
			_ = c.TCPConn.SetWriteDeadline(time.Now().Add(c.patience))
		}
		n, err := c.TCPConn.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

// ReadFrom is io.ReaderFrom's: piece by piece, as each has a deadline of its own.
func (c *counted) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

// SetWriteDeadline is net.Conn's.
func (c *counted) SetWriteDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline is net.Conn's.
func (c *counted) SetDeadline(t time.Time) error {
	c.own.Store(!t.IsZero())
	return c.TCPConn.SetDeadline(t)
}
