package egress

// The captured connections of a sandbox without walls.

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// pairListener gives the egress connections whose local address is where they were "dialled".
type pairListener struct {
	mu   sync.Mutex
	real net.Listener
	out  chan net.Conn
	done chan struct{}
	once sync.Once
}

type dialled struct {
	*net.TCPConn
	to    net.Addr
	looks atomic.Int64 // how often the egress began to look whether the program is still there
}

func (d *dialled) LocalAddr() net.Addr { return d.to }

func (d *dialled) SyscallConn() (syscall.RawConn, error) {
	d.looks.Add(1)
	return d.TCPConn.SyscallConn()
}

func (p *pairListener) start(tb testing.TB) {
	tb.Helper()
	var err error
	if p.real, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	p.out, p.done = make(chan net.Conn), make(chan struct{})
	tb.Cleanup(func() { p.real.Close() })
}

func (p *pairListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.out:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pairListener) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pairListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv6zero, Port: 15001} }

// dial makes a connection to an address, as a program in the sandbox would.
func (p *pairListener) dial(to netip.AddrPort) (*net.TCPConn, error) {
	p.mu.Lock()
	inside, err := net.Dial("tcp", p.real.Addr().String())
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	outside, err := p.real.Accept()
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case p.out <- &dialled{TCPConn: outside.(*net.TCPConn), to: net.TCPAddrFromAddrPort(to)}:
		return inside.(*net.TCPConn), nil
	case <-p.done:
		outside.Close()
		inside.Close()
		return nil, net.ErrClosed
	}
}
