package egress

// This file exists because a captured connection says only which address was dialled: here it gets a
// name and a treatment, before anything it carries is believed.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// How long a connection may take to show what it is: until the first byte, and from there. Where no rule
// names the host and port, it is refused whatever it is, and a client that waits for the server to speak
// first is not to wait long.
const (
	sniffTime    = 10 * time.Second
	sniffRefused = 2 * time.Second
	sniffMore    = time.Second
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
	c.sandbox.denials.write(r)
}

// authority gives "host:port" of what was dialled.
func (c *conn) authority() string {
	return net.JoinHostPort(c.hosts[0], strconv.Itoa(int(c.port)))
}

// serveConn serves one connection from its first byte.
func (s *Sandbox) serveConn(nc net.Conn) {
	c := &conn{Conn: nc, sandbox: s}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	if !s.keep(c) {
		return
	}
	handedOn := false
	defer func() {
		if !handedOn {
			c.Close()
		}
	}()
	if !c.identify() {
		c.reset()
		return
	}
	switch {
	case c.port == dnsPort:
		s.serveDNSConn(c)
	case c.service == policy.TCPService:
		c.splice()
	default:
		handedOn = c.serveHTTP()
	}
}

// identify finds out who was dialled; false if the address means nothing.
func (c *conn) identify() bool {
	addr, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return false
	}
	a := addr.Addr().Unmap().WithZone("")
	c.port = addr.Port()
	name, fake := c.sandbox.names.name(a)
	switch {
	case fake && name == "":
		c.hosts = []string{a.String()}
		c.told.Store(true)
		if c.port != dnsPort {
			r := record.Decision{Kind: "tcp", Target: c.authority(),
				Reason: "the address belongs to no name that this sandbox asked for"}
			c.sandbox.denials.writeOnce(r)
			c.explain(r, "")
			return false
		}
	case fake:
		c.hosts = []string{name}
	default:
		c.literal = true
		c.hosts = []string{a.String()}
		if a == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || a == netip.IPv6Loopback() {
			c.hosts = append(c.hosts, "localhost")
		}
	}
	for _, h := range c.hosts {
		if s := c.sandbox.function.engine.Service(h, c.port); s > c.service {
			c.service = s
		}
	}
	return true
}

// protocol is what the first bytes of a connection are.
type protocol uint8

const (
	undecided protocol = iota // too few bytes
	tlsProtocol
	httpProtocol
	unknown
)

const maxMethod = 24

// sniff tells the protocol by the first bytes: a TLS handshake record (RFC 8446, section 5.1), or a
// method and the beginning of a request target (RFC 9112, section 3). It only chooses the parser;
// that decides.
func sniff(b []byte) protocol {
	if len(b) == 0 {
		return undecided
	}
	if b[0] == 0x16 {
		return tlsProtocol
	}
	n := bytes.IndexFunc(b, func(c rune) bool {
		return (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	})
	switch {
	case n < 0 && len(b) <= maxMethod:
		return undecided
	case n <= 0 || n > maxMethod || b[n] != ' ':
		return unknown
	}
	method, target := string(b[:n]), strings.ToLower(string(b[n+1:]))
	const absolute = "http"
	switch {
	case target == "":
		return undecided
	case method == "CONNECT" || target[0] == '/' || target[0] == '*' || strings.HasPrefix(target, absolute):
		return httpProtocol
	case strings.HasPrefix(absolute, target):
		return undecided
	}
	return unknown
}

// serveHTTP hands a connection that carries HTTP to the server for its version. It returns false if
// it did not, and then the connection is over.
func (c *conn) serveHTTP() bool {
	p, err := c.readAhead()
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

// readAhead reads until it is known what the connection carries.
func (c *conn) readAhead() (protocol, error) {
	first := sniffTime
	if c.service == policy.NoService {
		first = sniffRefused
	}
	c.Conn.SetReadDeadline(time.Now().Add(first))
	defer c.Conn.SetReadDeadline(time.Time{})
	buf := make([]byte, 1024)
	for {
		n, err := c.Conn.Read(buf[len(c.head):])
		if len(c.head) == 0 {
			c.Conn.SetReadDeadline(time.Now().Add(sniffMore))
		}
		c.head = buf[:len(c.head)+n]
		if p := sniff(c.head); p != undecided {
			return p, nil
		}
		if err != nil {
			return undecided, err
		}
	}
}

// deniedTCP records the connection as such. why is what was wrong with it, "" if only that no rule
// allows it.
func (c *conn) deniedTCP(why string) {
	c.told.Store(true)
	r, text := c.tcpDenial(why)
	c.sandbox.denials.writeOnce(r)
	c.explain(r, text)
}

// tcpDenial gives the record of a connection that is denied as such, and all of it in one line, "" if that
// has no more to say. why as for deniedTCP.
func (c *conn) tcpDenial(why string) (r record.Decision, text string) {
	r = record.Decision{Kind: "tcp", Target: c.authority(), Reason: cmp.Or(why, "no request was made on it")}
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

// splice connects the two ends of a connection that a tcp rule allows.
func (c *conn) splice() {
	i := slices.IndexFunc(c.hosts, func(h string) bool {
		req, err := policy.NewTCP(h, c.port)
		return err == nil && c.sandbox.function.engine.Decide(&req).Allow
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
		c.sandbox.denials.writeOnce(record.Decision{Kind: "tcp", Target: c.authority(), Reason: err.Error()})
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
