package egress

// This file exists because a request by HTTP/1 is carried out where its answer is awaited: http.Transport
// hands it from goroutine to goroutine, which takes longer than what they do. WebSockets, HTTP/2 and
// requests that wait for a 100 go by http.Transport.

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// sentTime is how long the end of a request may come after that of its response, if its connection is to
// be used again.
const sentTime = 50 * time.Millisecond

var (
	errInvalidHeader = errors.New("the request's header is not valid")
	errLongHeader    = errors.New("the header of the response is too long")
	errNotSent       = errors.New("the request was not sent")
	errNotQuiet      = errors.New("something came while the connection was idle")
)

// place is where an upstream is.
type place struct {
	secure  bool   // TLS
	address string // canonical host:port
}

// upstreamConn is a connection to an upstream that speaks HTTP/1. It belongs to one request at a time, or is
// idle.
type upstreamConn struct {
	net.Conn
	raw    *outside // under TLS; Conn itself without
	place  place
	in     *bufio.Reader
	out    *bufio.Writer
	left   int64       // bytes that may be read
	heard  bool        // something of the response came
	reused bool        // it is not the first request
	expire *time.Timer // of the idle connection; nil if it never was
}

// Read reads what may be read.
func (u *upstreamConn) Read(b []byte) (int, error) {
	if u.left <= 0 {
		return 0, errLongHeader
	}
	n, err := u.Conn.Read(b[:min(int64(len(b)), u.left)])
	u.left -= int64(n)
	u.heard = u.heard || n > 0
	return n, err
}

// ReadFrom sends what r gives as it comes (io.ReaderFrom): the buffer would hold it back until it is full.
func (u *upstreamConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(u.Conn, r) }

// quiet tells whether nothing came while the connection was idle: neither its end, nor an answer to a
// request that was not made yet. It waits only where TLS has to reply and the upstream takes nothing.
func (u *upstreamConn) quiet() bool {
	u.raw.polled = true
	defer func() { u.raw.polled = false }()
	_, err := u.Conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// upstreamPool holds the idle connections of one function. It is safe for concurrent use.
type upstreamPool struct {
	mu    sync.Mutex
	idle  map[place][]*upstreamConn // the last was used last
	count int
	shut  bool // none is kept until the next request
}

// take gives an idle connection, nil if there is none.
func (p *upstreamPool) take(to place) *upstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = false
	list := p.idle[to]
	if len(list) == 0 {
		return nil
	}
	u := list[len(list)-1]
	p.remove(u)
	u.expire.Stop()
	u.reused = true
	return u
}

// remove takes a connection out; false if it is not idle. The caller holds the lock.
func (p *upstreamPool) remove(u *upstreamConn) bool {
	list := p.idle[u.place]
	i := slices.Index(list, u)
	if i < 0 {
		return false
	}
	if len(list) == 1 {
		delete(p.idle, u.place)
	} else {
		p.idle[u.place] = slices.Delete(list, i, i+1)
	}
	p.count--
	return true
}

// give keeps a connection for the next request, if there is room.
func (p *upstreamPool) give(u *upstreamConn) {
	p.mu.Lock()
	keep := !p.shut && p.count < upstreamIdleConns && len(p.idle[u.place]) < upstreamIdleHost
	if keep {
		if p.idle == nil {
			p.idle = map[place][]*upstreamConn{}
		}
		p.idle[u.place] = append(p.idle[u.place], u)
		p.count++
		if u.expire == nil {
			u.expire = time.AfterFunc(upstreamIdle, func() { p.drop(u) })
		} else {
			u.expire.Reset(upstreamIdle)
		}
	}
	p.mu.Unlock()
	if !keep {
		u.Close()
	}
}

// drop closes a connection that was idle too long.
func (p *upstreamPool) drop(u *upstreamConn) {
	p.mu.Lock()
	idle := p.remove(u)
	p.mu.Unlock()
	if idle {
		u.Close()
	}
}

// close ends the idle connections, and those in use after their request.
func (p *upstreamPool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.count, p.shut = nil, 0, true
	p.mu.Unlock()
	for _, list := range idle {
		for _, u := range list {
			u.expire.Stop()
			u.Close()
		}
	}
}

// connect gives a connection to an upstream.
func (f *Function) connect(ctx context.Context, to place) (*upstreamConn, error) {
	if u := f.idle.take(to); u != nil {
		return u, nil
	}
	u := &upstreamConn{place: to}
	var err error
	if to.secure {
		u.Conn, err = f.http1.DialTLSContext(ctx, "tcp", to.address)
	} else {
		u.Conn, err = f.http1.DialContext(ctx, "tcp", to.address)
	}
	if err != nil {
		return nil, err
	}
	switch c := u.Conn.(type) {
	case *outside:
		u.raw = c
	case interface{ NetConn() net.Conn }:
		u.raw = c.NetConn().(*outside)
	}
	u.in, u.out = bufio.NewReaderSize(u, transportBuffer), bufio.NewWriterSize(u, transportBuffer)
	return u, nil
}

// roundTrip carries out a request by HTTP/1 as http.Transport does, until ctx ends. If an upstream has
// closed a connection just when it was used again, what may be repeated is. The response's body is to be
// closed.
func (f *Function) roundTrip(ctx context.Context, out *http.Request, to place, info *informer) (*http.Response, error) {
	if !valid(out.Header) || !valid(out.Trailer) {
		return nil, errInvalidHeader
	}
	for {
		u, err := f.connect(ctx, to)
		if err != nil {
			return nil, err
		}
		a := &answer{conn: u, pool: &f.idle, stop: context.AfterFunc(ctx, func() { u.raw.Close() })}
		resp, err := a.exchange(out, info)
		if err == nil {
			return resp, nil
		}
		a.stop()
		u.raw.Close()
		again := err == errNotQuiet || u.reused && !u.heard && repeatable(out)
		if !again || ctx.Err() != nil {
			return nil, err
		}
	}
}

func valid(h http.Header) bool {
	for k, list := range h {
		bad := func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }
		if !httpguts.ValidHeaderFieldName(k) || slices.ContainsFunc(list, bad) {
			return false
		}
	}
	return true
}

// repeatable tells whether it does no harm to send a request twice (RFC 9110, section 9.2.2), and it is
// there to be sent.
func repeatable(out *http.Request) bool {
	switch out.Method {
	case "GET", "HEAD", "OPTIONS":
		return out.Body == nil
	}
	return false
}

// answer is the body of a response, and what has to be done at its end.
type answer struct {
	io.ReadCloser
	conn   *upstreamConn
	pool   *upstreamPool
	stop   func() bool
	sent   chan error // of a request with a body
	last   bool       // the connection carries no other response
	whole  bool       // it was read to its end
	closed bool
}

// exchange sends the request and reads the header of the response.
func (a *answer) exchange(out *http.Request, info *informer) (*http.Response, error) {
	u := a.conn
	u.left, u.heard = upstreamHeaderSize, false
	if u.reused && !u.quiet() {
		return nil, errNotQuiet
	}
	if out.Body == nil {
		if err := u.send(out); err != nil {
			return nil, err
		}
	} else {
		a.sent = make(chan error, 1)
		go func() {
			defer info.survive()
			err := errNotSent
			defer func() {
				if err != nil {
					u.raw.Close()
				}
				a.sent <- err
			}()
			err = u.send(out)
		}()
	}
	for {
		resp, err := http.ReadResponse(u.in, out)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode >= 100 && resp.StatusCode <= 199 && resp.StatusCode != http.StatusSwitchingProtocols:
			info.pass(resp.StatusCode, textproto.MIMEHeader(resp.Header))
			continue
		}
		u.left = math.MaxInt64
		a.last, a.ReadCloser = resp.Close, resp.Body
		resp.Body = a
		return resp, nil
	}
}

func (u *upstreamConn) send(out *http.Request) error {
	if err := out.Write(u.out); err != nil {
		return err
	}
	return u.out.Flush()
}

// Read reads on and notes the end.
func (a *answer) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	a.whole = a.whole || err == io.EOF
	return n, err
}

// Close gives the connection back if all that was to be said on it was said, or else ends it.
func (a *answer) Close() error {
	if a.closed {
		return nil
	}
	a.closed = true
	u := a.conn
	switch {
	case !a.stop() || !a.whole || a.last || u.in.Buffered() > 0:
		return u.raw.Close()
	case a.sent == nil:
		a.pool.give(u)
	case len(a.sent) > 0:
		a.settle()
	default:
		go a.settle()
	}
	return nil
}

// settle waits for the end of a request whose response has ended.
func (a *answer) settle() {
	late := time.NewTimer(sentTime)
	defer late.Stop()
	select {
	case err := <-a.sent:
		if err == nil {
			a.pool.give(a.conn)
		}
	case <-late.C:
		a.conn.raw.Close()
	}
}
