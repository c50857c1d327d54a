package gateway

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// shouting is an upstream that switches protocols and gives each line back in capitals. accept makes what it shows that
// it has understood by.
func shouting(accept func(key string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n", r.Header.Get("Upgrade"), accept(r.Header.Get("Sec-WebSocket-Key")))
		for {
			line, err := b.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(c, strings.ToUpper(line))
		}
	}
}

func understood(key string) string {
	sum := sha1.Sum([]byte(key + acceptKey))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// socket asks for a WebSocket at /up/x, what it says at once included.
func socket(t *testing.T, s *httptest.Server, more string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	return socketWith(t, s, "", more)
}

// socketWith is socket with more headers.
func socketWith(t *testing.T, s *httptest.Server, headers, more string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, "GET /up/x HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+headers+"\r\n"+more)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, r, res
}

func TestWebSocketsToUpstreams(t *testing.T) {
	s := serve(t, echo(), false, proxied(t, shouting(understood), ""))
	c, r, res := socket(t, s, "early\n")
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") == "" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	io.WriteString(c, "hello\n")
	for _, want := range []string{"EARLY\n", "HELLO\n"} {
		if got, err := r.ReadString('\n'); got != want || err != nil {
			t.Errorf("got %q, want %q: %v", got, want, err)
		}
	}
}

// TestTunnelsAreWebSockets: what has not agreed to be one may be any protocol, by which others are reached.
func TestTunnelsAreWebSockets(t *testing.T) {
	for name, accept := range map[string]func(string) string{"another key": func(string) string { return understood("x") }, "none": func(string) string { return "" }} {
		s := serve(t, echo(), false, proxied(t, shouting(accept), ""))
		if _, _, res := socket(t, s, ""); res.StatusCode != 502 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

// TestTunnelsEndWithTheirDeploy: else it would be kept for as long as a client likes.
func TestTunnelsEndWithTheirDeploy(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	s := serve(t, echo(), false, proxied(t, shouting(understood), ""), func(o *Options) { o.Ending = ctx })
	_, r, res := socket(t, s, "")
	if res.StatusCode != 101 {
		t.Fatal(res.StatusCode)
	}
	end()
	if _, err := r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it goes on: %v", err)
	}
}

// TestTunnelsHavePlaces: of four places, one site has one, and gets it back when its WebSocket has ended.
func TestTunnelsHavePlaces(t *testing.T) {
	places := NewTunnels(4)
	s := serve(t, echo(), false, proxied(t, shouting(understood), ""), func(o *Options) { o.Tunnels = places })
	c, _, res := socket(t, s, "")
	if res.StatusCode != 101 {
		t.Fatal(res.StatusCode)
	}
	if _, _, res := socket(t, s, ""); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a second one: %d %v", res.StatusCode, res.Header)
	}
	c.Close()
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, _, res := socket(t, s, ""); res.StatusCode == 101 {
			return
		}
		if time.Now().After(until) {
			t.Fatal("its place is not free")
		}
	}
}

// TestTunnelsOfOneClient: who takes all that one client may have leaves a site's other places to others.
func TestTunnelsOfOneClient(t *testing.T) {
	s := serve(t, echo(), false, proxied(t, shouting(understood), ""), func(o *Options) {
		o.Tunnels, o.TrustedProxies = NewTunnels(32), []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	for i, want := range []int{101, 101, 503} { // of 8 of the site
		if _, _, res := socketWith(t, s, "X-Forwarded-For: 203.0.113.1\r\n", ""); res.StatusCode != want {
			t.Errorf("number %d of one client: %d", i+1, res.StatusCode)
		}
	}
	if _, _, res := socketWith(t, s, "X-Forwarded-For: 203.0.113.2\r\n", ""); res.StatusCode != 101 {
		t.Errorf("another client: %d", res.StatusCode)
	}
}
