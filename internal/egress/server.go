package egress

// This file exists because the connections of all sandboxes are served by Go's own HTTP servers,
// which expect a listener, and which answer what they can't parse without asking anybody.

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// Limits of the HTTP that sandboxes speak.
const (
	maxHeader   = 64 << 10         // bytes of a request's header
	headerTime  = 30 * time.Second // for a request's header to arrive
	idleTime    = 10 * time.Minute // between requests; longer than clients keep connections
	maxStreams  = 250              // HTTP/2 requests at once on one connection
	writeStall  = 2 * time.Minute  // an HTTP/2 client that takes nothing
	frameBuffer = 1 << 20          // bytes of HTTP/2 requests' bodies not yet taken, for one connection
)

type connKey struct{}

// startServers starts the two servers. That of HTTP/1 gets connections whose TLS is done already.
func (e *Egress) startServers() {
	e.http1, e.http2 = newConnQueue(), newConnQueue()
	start := func(q *connQueue, set func(*http.Protocols, bool), connOf func(net.Conn) *conn, state func(net.Conn, http.ConnState)) {
		s := &http.Server{
			Handler:                      http.HandlerFunc(e.handle),
			DisableGeneralOptionsHandler: true,
			MaxHeaderBytes:               maxHeader,
			ReadHeaderTimeout:            headerTime,
			IdleTimeout:                  idleTime,
			Protocols:                    new(http.Protocols),
			HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: writeStall,
				MaxReceiveBufferPerConnection: frameBuffer, MaxReceiveBufferPerStream: frameBuffer / 4},
			ErrorLog:  slog.NewLogLogger(e.logger.Handler(), slog.LevelDebug),
			ConnState: state,
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, connOf(c))
			},
		}
		set(s.Protocols, true)
		e.servers = append(e.servers, s)
		go s.Serve(q)
	}
	start(e.http1, (*http.Protocols).SetHTTP1,
		func(c net.Conn) *conn { return c.(*http1Conn).captured },
		func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				c.(*http1Conn).captured.answering.Store(false)
			}
		})
	start(e.http2, (*http.Protocols).SetHTTP2,
		func(c net.Conn) *conn { return c.(interface{ NetConn() net.Conn }).NetConn().(*conn) }, nil)
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
	refused  sync.Once
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
	const reason = "the request is not valid HTTP/1.1, or its header is too large"
	c.captured.write(record.Denial{Kind: "http", Target: c.captured.scheme() + "://" + c.captured.authority(), Reason: reason})
	body := problem{Status: status, Detail: reason, Code: deniedCode}.encode()
	_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), problemType, len(body), body)
	return err
}
