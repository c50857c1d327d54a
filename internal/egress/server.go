package egress

// This file exists because the connections of all sandboxes are served by Go's own HTTP servers,
// which expect a listener, and which answer what they can't parse without asking anybody.

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// Limits of the HTTP that sandboxes speak.
const (
	maxHeader   = 64 << 10         // bytes of a request's header
	headerTime  = 30 * time.Second // for a request's header to arrive
	idleTime    = 10 * time.Minute // between requests; longer than clients keep connections
	maxHeader2  = 32 << 10         // … in HTTP/2, where a connection has many of them at once
	maxStreams  = 100              // HTTP/2 requests at once on one connection (RFC 9113, section 6.5.2)
	writeStall  = 2 * time.Minute  // an HTTP/2 client that takes nothing
	refusalTime = 5 * time.Second  // for an HTTP/2 client to take a refusal
	frameBuffer = 1 << 20          // bytes of HTTP/2 requests' bodies not yet taken, for one connection
)

type connKey struct{}

// startServers starts the two servers. That of HTTP/1 gets connections whose TLS is done already.
func (e *Egress) startServers() {
	e.http1, e.http2 = newConnQueue(), newConnQueue()
	start := func(q *connQueue, connOf func(net.Conn) *conn, configure func(*http.Server)) {
		s := &http.Server{
			Handler:                      http.HandlerFunc(e.handle),
			DisableGeneralOptionsHandler: true,
			MaxHeaderBytes:               maxHeader,
			ReadHeaderTimeout:            headerTime,
			IdleTimeout:                  idleTime,
			Protocols:                    new(http.Protocols),
			HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: writeStall,
				MaxReceiveBufferPerConnection: frameBuffer, MaxReceiveBufferPerStream: frameBuffer / 4},
			ErrorLog: slog.NewLogLogger(e.logger.Handler(), slog.LevelDebug),
			// Requests end with their connection and its sandbox, even where the server is not looking.
			ConnContext: func(_ context.Context, nc net.Conn) context.Context {
				c := connOf(nc)
				return context.WithValue(c.ctx, connKey{}, c)
			},
		}
		configure(s)
		e.servers = append(e.servers, s)
		go s.Serve(q)
	}
	start(e.http1, func(c net.Conn) *conn { return c.(*http1Conn).captured }, func(s *http.Server) {
		s.Protocols.SetHTTP1(true)
		s.ConnState = func(c net.Conn, state http.ConnState) {
			if state == http.StateIdle {
				c.(*http1Conn).captured.answering.Store(false)
			}
		}
	})
	start(e.http2, func(c net.Conn) *conn { return c.(*tls.Conn).NetConn().(*conn) }, func(s *http.Server) {
		s.Protocols.SetHTTP2(true)
		s.MaxHeaderBytes = maxHeader2
		// Also of what the server refuses by itself. Who carries a request out lifts it.
		s.WriteTimeout = refusalTime
	})
}

// connQueue is a net.Listener of connections that were accepted elsewhere.
type connQueue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnQueue() *connQueue {
	return &connQueue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands a connection on; false if nobody takes it any more.
func (q *connQueue) put(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.done:
		return false
	}
}

func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

func (q *connQueue) Addr() net.Addr { return &net.TCPAddr{} }

// http1Conn is a connection for the HTTP/1 server. What the server writes while no request is being
// answered is its own reply to something it could not parse: that is a refusal like any other, and
// gets a record and the same form.
type http1Conn struct {
	net.Conn       // what carries HTTP: captured, or the TLS on it
	captured *conn // whose it is
	sniffed  bool  // its first bytes were looked at
	refused  sync.Once
}

// Read looks at the first bytes. What comes by TLS and is not HTTP, such as the protocol of a database, is
// refused like a connection without TLS: it could make nothing of a response, and might send no line that
// gets one. (Without TLS it does not come here.)
func (c *http1Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.sniffed {
		c.sniffed = true
		if c.captured.secure && !c.captured.sandbox.function.monitor && sniff(b[:n]) == unknown {
			c.captured.deniedTCP("what was sent by TLS is not HTTP")
			c.captured.reset()
			return 0, io.EOF // to which the server does not reply
		}
	}
	return n, err
}

func (c *http1Conn) CloseWrite() error {
	closeWrite(c.Conn)
	return nil
}

func (c *http1Conn) Write(b []byte) (int, error) {
	if c.captured.answering.Load() {
		return c.Conn.Write(b)
	}
	var err error
	c.refused.Do(func() { err = c.refuse(b) })
	return len(b), err
}

// refuse replaces the server's own reply.
func (c *http1Conn) refuse(reply []byte) error {
	status := http.StatusBadRequest
	if len(reply) > 12 {
		if n, err := strconv.Atoi(string(reply[9:12])); err == nil && n >= 400 && n <= 599 {
			status = n
		}
	}
	reason, target := whyInvalid(reply), c.captured.scheme()+"://"+c.captured.authority()
	c.captured.write(record.Decision{Kind: "http", Target: target, Reason: reason})
	p := problem{Status: status, Detail: target + " is refused: " + reason, Code: deniedCode, Tried: target}
	body := p.encode()
	_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s: %s\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), problemType, len(body), deniedHeader, p.header(c.captured.sandbox.mark, body), body)
	return err
}

// whyInvalid says what the server could not read, by its reply: its status line may end with a reason.
func whyInvalid(reply []byte) string {
	const general = "the request is not valid HTTP/1.1, or its header is too large"
	line, _, _ := strings.Cut(string(reply), "\r\n")
	_, why, found := strings.Cut(line, http.StatusText(http.StatusBadRequest)+": ")
	switch {
	case !found:
		return general
	case strings.Contains(why, "Host header"):
		return "the request is not valid HTTP/1.1: " + why + "; the name of a host outside ASCII is written as in DNS, with xn--"
	}
	return "the request is not valid HTTP/1.1: " + shown(why)
}
