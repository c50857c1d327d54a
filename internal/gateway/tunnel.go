package gateway

// WebSockets by rules that lead to other servers (RFC 6455). Once both ends have agreed, nothing here looks into what they
// say. So a tunnel is bounded by number, by time and by how long both may be silent, and carries no other protocol.

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/weir"
)

const (
	tunnelPlaces = 1024            // those of a gateway by itself
	tunnelSilent = 5 * time.Minute // how long both ends of a WebSocket may be silent
	tunnelTime   = time.Hour       // how long it lasts at most
	// acceptKey is what a server shows by that it has understood (RFC 6455, section 1.3).
	acceptKey = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

var (
	errNoWebSocket = errors.New("the upstream switches to a protocol that is not carried")
	errNoTunnel    = &weir.Error{Code: weir.Unavailable, Message: "there are too many WebSockets at the moment", Remedy: "try again"}
)

// Tunnels are places for WebSockets. They may serve several sites, none of which has more than a quarter of them, and of
// these one client a quarter.
type Tunnels struct {
	mu   sync.Mutex
	free int
	each int
	of   map[string]*Room // by the site's id
}

// NewTunnels makes so many places.
func NewTunnels(places int) *Tunnels {
	return &Tunnels{free: places, each: max(places/oneIn, 1), of: map[string]*Room{}}
}

func (p *Tunnels) take(site, client string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.of[site]
	if room == nil {
		room = NewRoom(int64(p.each), 1)
	}
	if p.free == 0 || !room.Take(client, 1) {
		return false
	}
	p.free--
	p.of[site] = room
	return true
}

func (p *Tunnels) give(site, client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	room := p.of[site]
	if room.Give(client, 1); room.free == int64(p.each) {
		delete(p.of, site)
	}
}

// wantsWebSocket tells whether a request asks for a WebSocket (RFC 6455, section 4.1).
func wantsWebSocket(r *http.Request) bool {
	h := r.Header
	return r.ProtoMajor == 1 && r.Method == http.MethodGet && r.ContentLength == 0 &&
		httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade") && strings.EqualFold(h.Get("Upgrade"), "websocket") &&
		len(h["Sec-Websocket-Key"]) == 1 && h.Get("Sec-WebSocket-Version") == "13"
}

// tunnel is a WebSocket: the connections of a client and an upstream, which end together.
type tunnel struct {
	*pacedAnswer
	ends   []context.Context // it ends with the first of these
	up     io.ReadWriteCloser
	client net.Conn // nil: it is still HTTP
	silent *time.Timer
	stops  []func() bool
}

// agree takes the connection of an upstream that switches protocols. The error says that it is not as the client, of
// which there may be no tunnel (nil), has asked.
func (t *tunnel) agree(r *http.Request, res *http.Response) error {
	up, ok := res.Body.(io.ReadWriteCloser)
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + acceptKey))
	if t == nil || !ok || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") ||
		res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return errNoWebSocket
	}
	t.up = up
	res.Body = upstreamEnd{up, t}
	return nil
}

// Hijack is http.Hijacker's, for httputil.ReverseProxy: from here on it is no HTTP.
func (t *tunnel) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	client, buffered, err := t.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.client, t.silent = client, time.AfterFunc(tunnelSilent, t.end)
	t.stops = []func() bool{t.silent.Stop, time.AfterFunc(tunnelTime, t.end).Stop}
	for _, ctx := range t.ends {
		t.stops = append(t.stops, context.AfterFunc(ctx, t.end))
	}
	return clientEnd{client, buffered.Reader, t}, buffered, nil
}

func (t *tunnel) end() {
	t.up.Close()
	t.client.Close()
}

// close ends what is left of it.
func (t *tunnel) close() {
	if t.client == nil {
		t.pacedAnswer.end()
	}
	for _, stop := range t.stops {
		stop()
	}
}

// upstreamEnd and clientEnd are the ends of a tunnel, which tell it that they are not silent.
type upstreamEnd struct {
	io.ReadWriteCloser
	tunnel *tunnel
}

// Read is io.Reader's.
func (e upstreamEnd) Read(p []byte) (int, error) {
	n, err := e.ReadWriteCloser.Read(p)
	e.tunnel.silent.Reset(tunnelSilent)
	return n, err
}

type clientEnd struct {
	net.Conn
	read   io.Reader // with what came before the protocol was switched
	tunnel *tunnel
}

// Read is io.Reader's.
func (e clientEnd) Read(p []byte) (int, error) {
	n, err := e.read.Read(p)
	e.tunnel.silent.Reset(tunnelSilent)
	return n, err
}

// Write is io.Writer's. A client that does not take what comes in time is no longer one.
func (e clientEnd) Write(p []byte) (int, error) {
	_ = e.SetWriteDeadline(time.Now().Add(e.tunnel.patience))
	return e.Conn.Write(p)
}
