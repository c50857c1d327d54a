// Package load sends HTTP/1.1 requests over a number of keep-alive connections, as many as get answered,
// and tells how long each took. It must not know who answers.
package load

// One thread that writes and reads many sockets (epoll(7)), without Go's scheduler and net/http in between:
// on a small machine, a heavier client would take from the servers what it is to measure.

import (
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Target is what is asked, again and again.
type Target struct {
	URL    string // http://127.0.0.1:PORT/PATH
	Method string // "": GET
	Body   string // sent as JSON, if there is any
	Want   string // what the body of every answer must hold; other answers have failed
}

// Result is what came of it.
type Result struct {
	Latencies []time.Duration // of each request that was answered as wanted, in the order of the answers
	Failed    int             // answers that were not what was wanted
	Failure   string          // the first of them
	Elapsed   time.Duration
}

// Rate gives how many wanted answers came in a second.
func (r Result) Rate() float64 { return float64(len(r.Latencies)) / r.Elapsed.Seconds() }

// patience is how long all connections together may go without an answer.
const patience = 30 * time.Second

type conn struct {
	fd   int
	sent time.Time
	got  []byte
}

// generator is one run's state; it belongs to one thread.
type generator struct {
	target  Target
	request []byte
	epoll   int
	conns   map[int32]*conn
	result  Result
}

// Run keeps conns connections busy for d, with one request at a time each.
// It fails if a connection can't be made, is closed by the server, or speaks other than HTTP/1.1.
func Run(t Target, conns int, d time.Duration) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g, err := connect(t, conns)
	if err != nil {
		return Result{}, err
	}
	defer g.close()
	g.result.Latencies = make([]time.Duration, 0, 1<<16)
	start := time.Now()
	for _, c := range g.conns {
		if err := g.send(c); err != nil {
			return Result{}, err
		}
	}
	err = g.drive(d)
	g.result.Elapsed = time.Since(start)
	return g.result, err
}

func connect(t Target, conns int) (*generator, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return nil, fmt.Errorf("%s names no port", t.URL)
	}
	g := &generator{target: t, request: request(t, u), conns: map[int32]*conn{}}
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	for range conns {
		if err := g.open(port); err != nil {
			g.close()
			return nil, fmt.Errorf("connecting to %s: %w", u.Host, err)
		}
	}
	return g, nil
}

func (g *generator) open(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	g.conns[int32(fd)] = &conn{fd: fd}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

func (g *generator) close() {
	for _, c := range g.conns {
		unix.Close(c.fd)
	}
	unix.Close(g.epoll)
}

func request(t Target, u *url.URL) []byte {
	method := t.Method
	if method == "" {
		method = "GET"
	}
	head := method + " " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n"
	if t.Body != "" {
		head += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(t.Body)) + "\r\n"
	}
	return []byte(head + "\r\n" + t.Body)
}

// drive asks and reads for a while.
func (g *generator) drive(d time.Duration) error {
	events := make([]unix.EpollEvent, len(g.conns))
	buf := make([]byte, 64<<10)
	for end := time.Now().Add(d); time.Now().Before(end); {
		n, err := unix.EpollWait(g.epoll, events, int(patience.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("%s has not answered for %v", g.target.URL, patience)
		}
		for _, e := range events[:n] {
			if err := g.receive(g.conns[e.Fd], buf); err != nil {
				return fmt.Errorf("asking %s: %w", g.target.URL, err)
			}
		}
	}
	return nil
}

func (g *generator) send(c *conn) error {
	c.got, c.sent = c.got[:0], time.Now()
	n, err := unix.Write(c.fd, g.request)
	if err != nil {
		return err
	}
	if n < len(g.request) {
		return errors.New("a request does not fit into a socket's buffer")
	}
	return nil
}

// receive reads what there is of an answer and, once it is whole, sends the next request.
func (g *generator) receive(c *conn, buf []byte) error {
	n, err := unix.Read(c.fd, buf)
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("the server closed a connection")
	}
	c.got = append(c.got, buf[:n]...)
	a, whole, err := parse(c.got)
	if err != nil || !whole {
		return err
	}
	if a.status == 200 && strings.Contains(a.body, g.target.Want) {
		g.result.Latencies = append(g.result.Latencies, time.Since(c.sent))
	} else {
		if g.result.Failed == 0 {
			g.result.Failure = fmt.Sprintf("%d %.200s", a.status, a.body)
		}
		g.result.Failed++
	}
	return g.send(c)
}
