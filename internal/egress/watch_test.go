package egress

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// captured gives the egress's end of the only connection of a sandbox.
func (w *world) captured() *dialled {
	w.tb.Helper()
	w.sandbox.mu.Lock()
	defer w.sandbox.mu.Unlock()
	for o := range w.sandbox.open {
		if c, ok := o.(*conn); ok {
			return c.Conn.(*dialled)
		}
	}
	w.tb.Fatal("there is no connection")
	return nil
}

// socket asks the system about the socket of a connection; 0 if it is closed.
func (d *dialled) socket(ask func(fd int) (int, error)) (n int) {
	if raw, err := d.TCPConn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { n, _ = ask(int(fd)) })
	}
	return n
}

// unread is how many bytes have come that nobody has taken.
func (d *dialled) unread() int {
	return d.socket(func(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCINQ) })
}

// over tells whether both directions have ended (TCP_CLOSE in Linux' include/net/tcp_states.h, the
// first byte of struct tcp_info).
func (d *dialled) over() bool {
	return d.socket(func(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_INFO) })&0xff == 7
}

// TestOrderlyEndLosesNothing: when both ends have said their last word, what the upstream has not
// taken yet still reaches it, however late that is.
func TestOrderlyEndLosesNothing(t *testing.T) {
	t.Parallel()
	take, got := make(chan struct{}), make(chan int64, 1)
	addr := listening(t, func(c net.Conn) {
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(64 << 10)
		c.(*net.TCPConn).CloseWrite()
		<-take
		n, _ := io.Copy(io.Discard, c)
		got <- n
	})
	w := newWorld(t, config{rules: []string{"tcp db.test:5432"}, noResolve: true, resolve: []string{"*.test=" + addr}})
	in := w.mustDial("db.test:5432")
	if _, err := io.ReadAll(in); err != nil {
		t.Fatal(err)
	}
	c := w.captured()
	// From one look to the next something stays unread: then the upstream's buffers are full.
	var sent, since int64
	eventually(t, "something is left with the egress", func() bool {
		if c.unread() > 0 {
			return c.looks.Load() >= since+2
		}
		n, err := in.Write(make([]byte, 64<<10))
		if err != nil {
			t.Fatal(err)
		}
		sent, since = sent+int64(n), c.looks.Load()
		return false
	})
	in.Close()
	eventually(t, "both directions have ended", c.over)
	// The second look begins after the first is done; if that ended the connection, there is none.
	since = c.looks.Load()
	eventually(t, "the egress has looked", func() bool { return c.looks.Load() >= since+2 || !c.over() })
	if c.over() && c.unread() == 0 {
		t.Error("nothing was left to be lost")
	}
	close(take)
	select {
	case n := <-got:
		if n != sent {
			t.Errorf("%d bytes of %d reached the upstream", n, sent)
		}
	case <-time.After(20 * time.Second):
		t.Error("the upstream sees no end")
	}
}
