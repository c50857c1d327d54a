package egress

// This file exists because monitoring must not break what it watches: a connection that no rule
// allows and that carries no HTTP is passed on as it is, once it is known that it carries none.

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// quietTime is how long a client may be silent before it is looked whether the server speaks first.
	quietTime = 500 * time.Millisecond
	// maxPinned bounds the hosts and ports of a function that are remembered as pinned.
	maxPinned = 256
)

// serveMonitored serves a connection to a host and port that no tcp rule names, in monitor mode. It
// returns false if it did not hand it on, and then the connection is over.
func (c *conn) serveMonitored() bool {
	in := &ahead{Conn: c.Conn}
	p, up, err := c.whoSpeaks(in, c.dialPlain)
	c.head = in.head
	switch {
	case err != nil:
		c.unreachable(err)
		c.reset()
	case p == httpProtocol:
		return c.sandbox.function.egress.http1.put(&http1Conn{Conn: c, captured: c})
	case p == tlsProtocol:
		return c.monitorTLS()
	default:
		c.relay(in, up, c.dialPlain)
	}
	return false
}

// monitorTLS ends the TLS of a connection, unless its client would not have that, and looks what is
// inside.
func (c *conn) monitorTLS() bool {
	if c.untouchable() {
		c.relay(&ahead{Conn: c.Conn, head: c.head}, nil, c.dialPlain)
		return false
	}
	t, err := c.handshake()
	if err != nil {
		if isAlert(err) {
			c.sandbox.function.pins.add(c.authority())
		}
		return false
	}
	if t.ConnectionState().NegotiatedProtocol != "" { // only HTTP is offered
		return c.serveInside(t, t)
	}
	in := &ahead{Conn: t}
	p, up, err := c.whoSpeaks(in, c.dialTLS)
	switch {
	case err != nil:
		c.unreachable(err)
		c.reset()
	case p == httpProtocol:
		return c.serveInside(t, in)
	default:
		c.relay(in, up, c.dialTLS)
	}
	return false
}

// untouchable tells whether a connection's TLS is passed on as it is: the client says that it will
// not speak HTTP inside, or one for the same host and port has refused the sandbox's certificate. A
// handshake for another host is not: that is refused as ever.
func (c *conn) untouchable() bool {
	read := recording{Conn: c}
	c.SetDeadline(time.Now().Add(handshakeTime))
	defer c.SetDeadline(time.Time{})
	var hello *tls.ClientHelloInfo
	tls.Server(&read, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hello = h
		return nil, io.EOF
	}}).HandshakeContext(c.ctx)
	c.head = append(read.seen, c.head...)
	if hello == nil || !c.names(hello.ServerName) {
		return false
	}
	http := slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return p == "h2" || p == "http/1.1" || p == "http/1.0" })
	return len(hello.SupportedProtos) > 0 && !http || c.sandbox.function.pins.has(c.authority())
}

// recording is a connection that is only looked at: what is read is kept, what is written is dropped.
type recording struct {
	net.Conn
	seen []byte
}

func (r *recording) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.seen = append(r.seen, b[:n]...)
	return n, err
}

func (r *recording) Write(b []byte) (int, error) { return len(b), nil }

// whoSpeaks finds out what a connection carries. If the client is silent, the server is dialled and
// may speak first; the connection to it is given unless it turned out that HTTP or TLS follows. What was
// read ahead is kept on both sides. The error is errGone or one of dialling.
func (c *conn) whoSpeaks(in *ahead, dial func() (net.Conn, error)) (protocol, net.Conn, error) {
	defer c.Conn.SetReadDeadline(time.Time{})
	c.Conn.SetReadDeadline(time.Now().Add(quietTime))
	p, err := in.look(c.Conn)
	if len(in.head) > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return told(p, in, nil, err)
	}
	raw, err := dial()
	if err != nil {
		return undecided, nil, err
	}
	up := &ahead{Conn: raw}
	c.Conn.SetReadDeadline(time.Now().Add(sniffTime))
	var heard sync.WaitGroup
	heard.Go(func() {
		buf := make([]byte, sniffBuffer)
		n, err := raw.Read(buf)
		up.head = buf[:n]
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			c.Conn.SetReadDeadline(time.Unix(1, 0)) // the client need not be waited for
		}
	})
	p, err = in.look(c.Conn)
	raw.SetReadDeadline(time.Unix(1, 0))
	heard.Wait()
	raw.SetReadDeadline(time.Time{})
	return told(p, in, up, err)
}

// errGone is a client that left without a word.
var errGone = errors.New("the client is gone")

// told settles what whoSpeaks found.
func told(p protocol, in, up *ahead, err error) (protocol, net.Conn, error) {
	h2c := bytes.HasPrefix(in.head, []byte("PRI "))
	switch {
	case (p == httpProtocol || p == tlsProtocol) && !h2c:
		if up != nil {
			up.Close()
		}
		return p, nil, nil
	case up != nil:
		return unknown, up, nil
	case len(in.head) == 0 && err != nil:
		return undecided, nil, errGone
	}
	return unknown, nil, nil
}

// relay connects the two clear sides of a connection that carries no HTTP. up is nil if the upstream
// has not been dialled yet.
func (c *conn) relay(in, up net.Conn, dial func() (net.Conn, error)) {
	if up != nil {
		defer up.Close()
	}
	if !c.sandbox.splices.tryTake() {
		c.sandbox.tooMany()
		c.reset()
		return
	}
	defer c.sandbox.splices.give()
	c.deniedTCP("what was sent is not HTTP")
	if up == nil {
		var err error
		if up, err = dial(); err != nil {
			c.unreachable(err)
			c.reset()
			return
		}
		defer up.Close()
	}
	defer c.watch()()
	join(c.ctx, in, up)
}

func (c *conn) dialPlain() (net.Conn, error) {
	return c.sandbox.function.dialAddress(c.ctx, c.authority())
}

// dialTLS connects to a server that has a valid certificate for the name that was dialled.
func (c *conn) dialTLS() (net.Conn, error) {
	return c.sandbox.function.http1.DialTLSContext(c.ctx, "tcp", c.authority())
}

// pins are the hosts and ports of a function whose clients take none but their own certificates.
type pins struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

func (p *pins) add(authority string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = map[string]struct{}{}
	}
	if len(p.seen) < maxPinned {
		p.seen[authority] = struct{}{}
	}
}

func (p *pins) has(authority string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.seen[authority]
	return ok
}
