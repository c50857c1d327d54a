package egress

// This file exists because a captured connection says only which address was dialled: here it gets a
// name and a treatment, before anything it carries is believed.

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// conn is a captured connection.
type conn struct {
	net.Conn
	sandbox *Sandbox
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc
	hosts   []string // what it may call its peer; the first is the name, or the address that was dialled
	literal bool     // an address was dialled, not a name
	port    uint16
	service policy.Service
	head    []byte // read ahead
	secure  bool   // TLS is ended here
	sni     string // what the handshake named, if that was wrong
	two     bool   // counted among the sandbox's HTTP/2 connections
	crowded bool   // HTTP/2 was asked for and not offered: there are too many already
	// answering is set while the HTTP/1 server has a request in hand.
	answering atomic.Bool
	told      atomic.Bool // something on it was recorded
	refusal   *Refusal    // why it is to be reset, if for a rule's sake
	once      sync.Once
}

// Read gives what was read ahead first.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(b, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite ends the direction towards the sandbox.
func (c *conn) CloseWrite() error {
	closeWrite(c.Conn)
	return nil
}

// Close ends the connection. If it led to a host that no rule names and nothing on it was refused,
// there was still the attempt to connect.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.cancel()
	c.once.Do(func() {
		c.sandbox.forget(c)
		if c.service == policy.NoService && !c.told.Load() && c.port != dnsPort {
			c.deniedTCP("")
		}
	})
	return err
}

// reset ends the connection so that the sandbox sees an error.
func (c *conn) reset() {
	c.sandbox.tell(c.refusal)
	if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
		l.SetLinger(0)
	}
	c.Close()
}

// write records a denial of something on this connection.
func (c *conn) write(r record.Decision) {
	c.told.Store(true)
	c.sandbox.ledger.write(r)
}

// authority gives "host:port" of what was dialled.
func (c *conn) authority() string { return hostPort(c.hosts[0], c.port) }

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// serveConn serves one connection from its first byte.
func (s *Sandbox) serveConn(nc net.Conn) {
	c := &conn{Conn: nc, sandbox: s}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	known := c.identify() // before Close can find it
	if !s.keep(c) {
		return
	}
	handedOn := false
	defer func() {
		if !handedOn {
			c.Close()
		}
	}()
	if !known {
		c.reset()
		return
	}
	switch {
	case c.port == dnsPort:
		s.serveDNSConn(c)
	case c.service == policy.TCPService:
		c.splice()
	case c.sandbox.function.monitor:
		handedOn = c.serveMonitored()
	default:
		handedOn = c.serveHTTP()
	}
}

const noName = "the address belongs to no name that this sandbox asked for"

// peer finds out who has an address as the sandbox sees it: what it may be called, the name or the address
// first. literal tells whether it stands for itself, known whether it means anything.
func (s *Sandbox) peer(a netip.Addr) (hosts []string, literal, known bool) {
	name, fake := s.names.name(a)
	switch {
	case fake && name == "":
		return []string{a.String()}, false, false
	case fake:
		return []string{name}, false, true
	case a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback():
		return []string{a.String(), "localhost"}, true, true
	}
	return []string{a.String()}, true, true
}

// identify finds out who was dialled; false if the address means nothing.
func (c *conn) identify() bool {
	addr, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return false
	}
	c.port = addr.Port()
	var known bool
	c.hosts, c.literal, known = c.sandbox.peer(addr.Addr().Unmap().WithZone(""))
	if !known {
		c.told.Store(true)
		if c.port != dnsPort {
			r := record.Decision{Kind: "tcp", Target: c.authority(), Reason: noName}
			c.sandbox.ledger.writeOnce(r)
			c.explain(r, "")
			return false
		}
	}
	for _, h := range c.hosts {
		if s := c.sandbox.function.engine.Service(h, c.port); s > c.service {
			c.service = s
		}
	}
	return true
}

// serveHTTP hands a connection that carries HTTP to the server for its version. It returns false if
// it did not, and then the connection is over.
func (c *conn) serveHTTP() bool {
	in := &ahead{Conn: c.Conn}
	first := sniffTime
	if c.service == policy.NoService {
		first = sniffRefused
	}
	c.Conn.SetReadDeadline(time.Now().Add(first))
	p, err := in.look(c.Conn)
	c.Conn.SetReadDeadline(time.Time{})
	c.head = in.head
	switch {
	case p == httpProtocol:
		return c.sandbox.function.egress.http1.put(&http1Conn{Conn: c, captured: c})
	case p == tlsProtocol:
		return c.serveTLS()
	case p == unknown:
		c.deniedTCP("what was sent is neither TLS nor HTTP")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.deniedTCP("nothing was sent that shows what it is; where the server speaks first, a tcp rule is needed")
	default:
		return false // gone without a word
	}
	c.reset()
	return false
}

// deniedTCP records the connection as such. why is what was wrong with it, "" if only that no rule
// allows it.
func (c *conn) deniedTCP(why string) {
	c.told.Store(true)
	r, text := c.tcpDenial(why)
	if !c.sandbox.function.monitor {
		c.sandbox.ledger.writeOnce(r)
		c.explain(r, text)
		return
	}
	if why == "" { // what a tcp rule would have to allow is not known
		r.Reason, r.Fix = noRequest, ""
	}
	c.sandbox.ledger.pass(monitored, r)
}

// tcpDenial gives the record of a connection that is denied as such, and all of it in one line, "" if that
// has no more to say. why as for deniedTCP.
func (c *conn) tcpDenial(why string) (r record.Decision, text string) {
	r = record.Decision{Kind: "tcp", Target: c.authority(), Reason: cmp.Or(why, noRequest)}
	if req, err := policy.NewTCP(c.hosts[0], c.port); err == nil {
		eng := c.sandbox.function.engine
		if d := eng.Decide(&req); !d.Allow {
			x := eng.Explain(&req, d)
			r, text = explained(r, x), x.String()
			if c.service == policy.HTTPService {
				r.Reason, r.Fix, text = why, "", "" // a host and port is either http or tcp
			}
		}
	}
	return r, text
}

// explain notes what the sandbox is told when the connection is reset.
func (c *conn) explain(r record.Decision, text string) {
	c.refusal = refusalOf(r, text)
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		c.refusal.Port = a.Port()
	}
}

const noRequest = "no request was made on it"

// splice connects the two ends of a connection that a tcp rule allows.
func (c *conn) splice() {
	var req policy.Request
	var d policy.Decision
	i := slices.IndexFunc(c.hosts, func(h string) bool {
		var err error
		req, err = policy.NewTCP(h, c.port)
		d = c.sandbox.function.engine.Decide(&req)
		return err == nil && d.Allow
	})
	if i < 0 { // the policy has the last word
		c.deniedTCP("")
		c.reset()
		return
	}
	if !c.sandbox.splices.tryTake() {
		c.sandbox.tooMany()
		c.reset()
		return
	}
	defer c.sandbox.splices.give()
	c.sandbox.passed(record.Decision{Kind: "tcp", Target: c.authority()}, &req, d)
	up, err := c.sandbox.function.dialHost(c.ctx, c.hosts[i], c.port)
	if err != nil {
		c.unreachable(err)
		c.reset()
		return
	}
	defer up.Close()
	defer c.watch()()
	sent, received := join(c.ctx, c.Conn, up)
	c.sandbox.function.egress.logger.Debug("tcp connection ended", "to", c.authority(), "sent", sent, "received", received)
}

// unreachable notes why an allowed connection was not made.
func (c *conn) unreachable(err error) {
	if filtered := (*filteredError)(nil); errors.As(err, &filtered) {
		r := record.Decision{Kind: "tcp", Target: c.authority(), Reason: filtered.Error()}
		c.write(r)
		c.explain(r, "")
		return
	}
	if errors.Is(err, errCrowded) {
		c.sandbox.ledger.writeOnce(record.Decision{Kind: "tcp", Target: c.authority(), Reason: err.Error()})
		return
	}
	if !errors.Is(err, context.Canceled) {
		c.sandbox.function.egress.logger.Debug("tcp connection failed", "to", c.authority(), "err", err)
	}
}

// join copies both ways until both have ended. The end of one direction is passed on and leaves the
// other open; an error ends both, and so does the end of ctx.
func join(ctx context.Context, inside, outside net.Conn) (sent, received int64) {
	end := func() {
		reset(inside)
		reset(outside)
	}
	defer context.AfterFunc(ctx, end)()
	var wg sync.WaitGroup
	pass := func(to, from net.Conn, n *int64) {
		defer func() {
			if recover() != nil {
				end()
			}
		}()
		var err error
		if *n, err = io.Copy(to, from); err != nil {
			end()
			return
		}
		closeWrite(to)
	}
	wg.Go(func() { pass(outside, inside, &sent) })
	pass(inside, outside, &received)
	wg.Wait()
	return sent, received
}
