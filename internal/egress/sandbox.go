package egress

// This file exists because everything a sandbox has at its outer end (its authority, its names, its
// connections, its records) begins and ends with it.

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// What one sandbox may have open at once, so that it can't exhaust the server.
const (
	maxConns    = 512
	maxRequests = 512
	maxRefusals = 64  // requests beyond maxRequests that are told so
	maxHTTP2    = 20  // connections; more than that speak HTTP/1.1
	maxSplices  = 256 // connections by a tcp rule: six descriptors each, as the kernel copies through pipes
)

// acceptPause is the wait after the system failed to give a connection or datagram.
const acceptPause = 50 * time.Millisecond

// Sandbox is the outer end of one sandbox. It is safe for concurrent use.
type Sandbox struct {
	egress   *Egress
	function *Function // nil until it is bound
	ownTLS   bool      // its programs trust what the function's own TLS needs
	ca       *authority
	names    *names
	ledger   *ledger
	mark     string        // of the responses that are the egress's own refusals; see deniedHeader
	told     func(Refusal) // may be nil
	shares   shares        // of budgets for one invocation
	ipv6     atomic.Bool   // the sandbox has IPv6 to connect with
	requests slots         // HTTP requests being served
	refusals slots         // HTTP requests beyond that, which are being refused
	splices  slots         // connections by a tcp rule
	asking   slots         // DNS questions that a server outside is asked
	ctx      context.Context
	cancel   context.CancelFunc

	mu     sync.Mutex
	closed bool
	flows  map[flowKey]*flow
	open   map[io.Closer]struct{} // listeners and connections
	conns  int
	http2  int // connections of HTTP/2
}

// Sandbox makes the outer end of a sandbox, with an authority of its own. It belongs to no function and
// serves nothing until it is bound to one. ownTLS says whether its programs may do TLS of their own with
// the outside; see Function.OwnTLS.
func (e *Egress) Sandbox(ownTLS bool) (*Sandbox, error) {
	ca, err := newAuthority(e.leaf)
	if err != nil {
		return nil, err
	}
	return e.sandbox(ownTLS, ca, newNames()), nil
}

// Child makes the outer end of a process that is forked from one in s and gets a network of its own: it
// trusts the same authority, and the names that were looked up before the fork keep their addresses. All
// else is its own. It belongs to no function yet.
func (s *Sandbox) Child() *Sandbox {
	return s.egress.sandbox(s.ownTLS, s.ca, s.names.clone())
}

func (e *Egress) sandbox(ownTLS bool, ca *authority, n *names) *Sandbox {
	s := &Sandbox{
		egress:   e,
		ownTLS:   ownTLS,
		ca:       ca,
		names:    n,
		ledger:   &ledger{},
		mark:     rand.Text(),
		requests: make(slots, maxRequests),
		refusals: make(slots, maxRefusals),
		splices:  make(slots, maxSplices),
		asking:   make(slots, maxAsking),
		open:     map[io.Closer]struct{}{},
		flows:    map[flowKey]*flow{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

var (
	errBound  = errors.New("the sandbox's way out is bound to a function already")
	errOwnTLS = errors.New("the sandbox's programs don't trust what those of the function must")
)

// Bind gives the sandbox to one instance of f, whose policy decides from now on, once and for all. It
// must be called before Serve. It is an error if the sandbox has a function already, or was made for
// functions with another OwnTLS than f's.
func (s *Sandbox) Bind(f *Function, instance string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.function != nil {
		return errBound
	}
	if s.ownTLS != f.ownTLS {
		return errOwnTLS
	}
	s.function = f
	s.ledger.recorder, s.ledger.function, s.ledger.instance = f.recorder, f.name, instance
	return nil
}

// CertFile gives what the sandbox's programs must trust, as PEM: its own authority, and, if they may do
// TLS of their own with the outside, the system's roots and those of Options.UpstreamCAs.
func (s *Sandbox) CertFile() []byte {
	if !s.ownTLS {
		return slices.Clone(s.ca.pem)
	}
	return slices.Concat(s.ca.pem, s.egress.rootsPEM)
}

// Mark gives what only this sandbox and its egress know: the Weir-Denied header of a response begins with
// it, if the response is a refusal by the egress.
func (s *Sandbox) Mark() string { return s.mark }

// OnRefusal has f told of every refusal that has no words in its own protocol, before the sandbox sees it.
// f is called from several goroutines and must not block. OnRefusal must be called before Serve.
func (s *Sandbox) OnRefusal(f func(Refusal)) { s.told = f }

// SetInvocations names the invocations that run now, for records. One that is new has whole budgets. What comes
// while several run counts for each of them, as nobody knows whose doing it is; what comes while none does, for
// those before.
func (s *Sandbox) SetInvocations(ids ...string) {
	s.shares.set(ids)
	s.ledger.during(ids)
}

// Serve takes what the sandbox captured: TCP connections, whose local address is the one that was
// dialled, DNS questions, and other datagrams. It returns at once. Close closes the listeners.
func (s *Sandbox) Serve(tcp []net.Listener, dns []net.PacketConn, udp []Datagrams) {
	for _, l := range tcp {
		if a, err := netip.ParseAddrPort(l.Addr().String()); err == nil && a.Addr().Is6() {
			s.ipv6.Store(true)
		}
	}
	for _, c := range dns {
		if s.keep(c) {
			go s.serveDNS(c)
		}
	}
	for _, d := range udp {
		if s.keep(d) {
			go s.serveUDP(d)
		}
	}
	for _, l := range tcp {
		if s.keep(l) {
			go s.accept(l)
		}
	}
}

// Close ends everything the sandbox has open.
func (s *Sandbox) Close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = map[io.Closer]struct{}{}
	s.mu.Unlock()
	for c := range open {
		c.Close()
	}
	s.ledger.during(nil)
}

// keep notes what Close has to close. It is closed at once if the sandbox is closed already.
func (s *Sandbox) keep(c io.Closer) bool {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.open[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		c.Close()
	}
	return !closed
}

func (s *Sandbox) accept(l net.Listener) {
	defer s.survive()
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptors, or the peer is gone again
			s.function.egress.logger.Debug("accepting a captured connection", "err", err)
			select {
			case <-time.After(acceptPause):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		if !s.admit() {
			s.tooMany()
			reset(c)
			continue
		}
		go func() {
			defer s.survive()
			s.serveConn(c)
		}()
	}
}

func (s *Sandbox) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.conns >= maxConns {
		return false
	}
	s.conns++
	return true
}

// tooMany records that a connection found no room.
func (s *Sandbox) tooMany() {
	s.ledger.writeOnce(record.Decision{Kind: "tcp", Target: "(further connections)",
		Reason: "this sandbox has too many connections open"})
}

// admitHTTP2 counts a connection that may speak HTTP/2; false if there are too many. The requests on
// it are not counted before they are whole, nor after they are answered, so their connections are.
func (s *Sandbox) admitHTTP2(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.two {
		return true
	}
	if s.http2 >= maxHTTP2 {
		c.crowded = true
		return false
	}
	s.http2++
	c.two = true
	return true
}

// forget undoes keep and admit for a connection that ended.
func (s *Sandbox) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.conns--
	if c.two {
		c.two = false
		s.http2--
	}
}

// survive keeps a fault in serving one sandbox from ending the others.
func (s *Sandbox) survive() {
	if r := recover(); r != nil {
		s.function.egress.logger.Error("fault in the egress", "fault", r, "stack", string(debug.Stack()))
	}
}

// reset ends a connection so that its peer sees an error, not an end.
func reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.Close()
}
