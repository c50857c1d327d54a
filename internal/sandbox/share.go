package sandbox

// The children of a zygote share the sandbox's listeners. Whose a connection or a question is says the
// mark of the socket that it came from (walls.MarkOf); here each goes to the child's own listener.

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// arrivals bounds how many connections or questions wait for one child to take them; the rest are lost.
const arrivals = 128

// line is what arrives at one listener for one child.
type line[T any] struct {
	in     chan T
	closed chan struct{}
	close  func()
}

// put tells whether there was somebody to take it.
func (l *line[T]) put(v T) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.in <- v:
		return true
	default:
		return false
	}
}

func (l *line[T]) take() (v T, err error) {
	select {
	case v = <-l.in:
		return v, nil
	case <-l.closed:
		return v, net.ErrClosed
	}
}

func (l *line[T]) Close() error {
	l.close()
	return nil
}

// exchange sends what arrives at one listener to the lines of the children.
type exchange[T any] struct {
	mu    sync.Mutex
	lines map[uint32]*line[T] // by mark
}

// open makes the line for a mark.
func (x *exchange[T]) open(mark uint32) *line[T] {
	l := &line[T]{in: make(chan T, arrivals), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.lines, mark)
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.lines == nil {
		x.lines = map[uint32]*line[T]{}
	}
	x.lines[mark] = l
	return l
}

// put hands on what came from a socket with a mark.
func (x *exchange[T]) put(mark uint32, v T) bool {
	x.mu.Lock()
	l := x.lines[mark]
	x.mu.Unlock()
	return l != nil && l.put(v)
}

// listeners is a TCP listener that several share.
type listeners struct {
	net.Listener
	exchange[net.Conn]
}

// serve hands out connections until the listener is closed.
func (s *listeners) serve() {
	for {
		c, err := s.Accept()
		if err != nil {
			if s.over(err) {
				return
			}
			continue
		}
		if mark, err := markOf(c); err != nil || !s.put(mark, c) {
			c.Close()
		}
	}
}

// acceptPause is the wait after the system failed to give a connection: it may lack descriptors.
const acceptPause = 50 * time.Millisecond

func (s *listeners) over(err error) bool {
	if ne, ok := err.(*net.OpError); ok && ne.Err == net.ErrClosed {
		return true
	}
	time.Sleep(acceptPause)
	return false
}

// markOf gives the mark of the socket that a connection came from: see walls.separate.
func markOf(c net.Conn) (uint32, error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var mark int
	if ctl := raw.Control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) }); ctl != nil {
		return 0, ctl
	}
	return uint32(mark), err
}

// childListener is a child's part of a listener.
type childListener struct {
	*line[net.Conn]
	addr net.Addr
}

func (l *childListener) Accept() (net.Conn, error) { return l.take() }
func (l *childListener) Addr() net.Addr            { return l.addr }

// Close also ends the connections that nobody took.
func (l *childListener) Close() error {
	l.line.Close()
	for {
		select {
		case c := <-l.in:
			c.Close()
		default:
			return nil
		}
	}
}

// question is a datagram to port 53.
type question struct {
	from, to netip.AddrPort
	text     []byte
}

// questions is a DNS socket that several share.
type questions struct {
	*dnsConn
	exchange[question]
}

// maxQuestion bounds a DNS message over UDP, in bytes.
const maxQuestion = 4096

func (s *questions) serve() {
	b := make([]byte, maxQuestion)
	for {
		n, from, to, mark, err := takeMarked(s.UDPConn, b)
		if err != nil {
			return
		}
		s.put(mark, question{from, to, append([]byte(nil), b[:n]...)})
	}
}

// childQuestions is a child's part of a DNS socket.
type childQuestions struct {
	*line[question]
	*dnsConn
}

// ReadFrom takes a question. Its address is good for WriteTo only.
func (c *childQuestions) ReadFrom(b []byte) (int, net.Addr, error) {
	q, err := c.take()
	if err != nil {
		return 0, nil, err
	}
	return copy(b, q.text), &asker{q.from, q.to}, nil
}

// Close leaves the socket to the others.
func (c *childQuestions) Close() error { return c.line.Close() }

// SetDeadline and its kin are not for sockets that others read too.
func (c *childQuestions) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *childQuestions) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *childQuestions) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// switchboard has all that the processes of one zygote's sandbox share.
type switchboard struct {
	tcp []*listeners
	dns []*questions
}

// newSwitchboard takes over what the sandbox captured. It works until that is closed.
func newSwitchboard(r *received) *switchboard {
	b := &switchboard{}
	for _, l := range r.tcp {
		s := &listeners{Listener: l}
		b.tcp = append(b.tcp, s)
	}
	for _, c := range r.dns {
		b.dns = append(b.dns, &questions{dnsConn: c.(*dnsConn)})
	}
	return b
}

func (b *switchboard) serve() {
	for _, s := range b.tcp {
		go s.serve()
	}
	for _, s := range b.dns {
		go s.serve()
	}
}

// outlets is what one process of the sandbox is captured by.
type outlets struct {
	tcp []net.Listener
	dns []net.PacketConn
}

func (b *switchboard) open(mark uint32) *outlets {
	o := &outlets{}
	for _, s := range b.tcp {
		o.tcp = append(o.tcp, &childListener{s.open(mark), s.Addr()})
	}
	for _, s := range b.dns {
		o.dns = append(o.dns, &childQuestions{s.open(mark), s.dnsConn})
	}
	return o
}

func (o *outlets) close() {
	for _, l := range o.tcp {
		l.Close()
	}
	for _, c := range o.dns {
		c.Close()
	}
}
