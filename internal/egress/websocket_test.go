package egress

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

const wsHead = "GET /live HTTP/1.1\r\nHost: api.test:8080\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// agree answers a handshake with the accept of RFC 6455's own example key, and gives back what it gets.
func agree(t *testing.T) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-WebSocket-Key") == "" {
			t.Errorf("the handshake lost something: %v", r.Header)
		}
		c, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: chat\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		io.Copy(c, buffered)
	})
}

// handshake makes a WebSocket handshake from inside and gives the connection and the response.
func (w *world) handshake(url string) (net.Conn, *bufio.Reader, *http.Response) {
	w.tb.Helper()
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	var c net.Conn
	if scheme == "wss" {
		t, err := w.tlsDial(host+":443", host, "http/1.1")
		if err != nil {
			w.tb.Fatal(err)
		}
		c = t
	} else {
		c = w.mustDial(host + ":80")
	}
	io.WriteString(c, strings.NewReplacer("/live", "/"+path, "api.test:8080", host).Replace(wsHead)+"Sec-WebSocket-Protocol: chat, talk\r\n\r\n")
	rd := bufio.NewReader(c)
	resp, err := http.ReadResponse(rd, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	return c, rd, resp
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t, config{rules: []string{"wss://api.test/live", "ws://api.test/live", "GET https://api.test/page"}, handler: agree(t)})
	for _, url := range []string{"wss://api.test/live?token=1", "ws://api.test/live"} {
		c, rd, resp := w.handshake(url)
		if resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Protocol") != "chat" || resp.Header.Get("Sec-Websocket-Accept") == "" {
			t.Fatalf("%s: %+v", url, resp)
		}
		for _, text := range []string{"\x81\x85\x00\x00\x00\x00hello", strings.Repeat("x", 1<<20)} {
			go io.WriteString(c, text)
			b := make([]byte, len(text))
			if err := readFull(rd, b); err != nil || string(b) != text {
				t.Fatalf("%s: %v", url, err)
			}
		}
		closeWrite(c)
		if _, err := rd.ReadByte(); err != io.EOF {
			t.Errorf("%s: the end: %v", url, err)
		}
	}
	w.only("GET /live?token=1 | api.test", "GET /live | api.test")
	// An http rule is no right to a WebSocket, nor the other way round.
	for _, url := range []string{"wss://api.test/page", "wss://api.test/live/x", "wss://evil.test/live"} {
		if _, _, resp := w.handshake(url); resp.StatusCode != 403 {
			t.Errorf("%s: %d", url, resp.StatusCode)
		}
		w.denied(url, func(d record.Decision) bool { return d.Kind == "ws" && d.Target == url && d.Method == "" })
	}
	if resp, _ := w.do(w.client(false), "GET", "https://api.test/live", ""); resp.StatusCode != 403 {
		t.Errorf("GET of a WebSocket's URL: %d", resp.StatusCode)
	}
}

// rawUpstream answers every connection's first header with these bytes and hands on the connection
// and what it received.
func rawUpstream(t *testing.T, answer string) (addr string, got chan string) {
	t.Helper()
	got = make(chan string, 8)
	return listening(t, func(c net.Conn) {
		defer c.Close()
		rd := bufio.NewReader(c)
		if _, err := readHead(rd); err != nil {
			return
		}
		// Nothing may come before the answer: what has come by now would.
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		early := make([]byte, 100)
		n, _ := rd.Read(early)
		c.SetReadDeadline(time.Time{})
		io.WriteString(c, answer)
		rest, _ := io.ReadAll(rd)
		got <- fmt.Sprintf("early=%q rest=%q", early[:n], rest)
	}), got
}

// TestBytesBeforeTheSwitch: what the client sends with its handshake waits until the upstream has
// agreed, and goes nowhere if it does not.
func TestBytesBeforeTheSwitch(t *testing.T) {
	const agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	for name, c := range map[string]struct{ answer, status, got string }{
		"agreed":              {agreed, "101", `early="" rest="hidden"`},
		"no accept":           {strings.Replace(agreed, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", "", 1), "502", `early="" rest=""`},
		"wrong accept":        {strings.Replace(agreed, "s3pP", "S3pP", 1), "502", `early="" rest=""`},
		"two accepts":         {strings.Replace(agreed, "\r\n\r\n", "\r\nSec-WebSocket-Accept: x\r\n\r\n", 1), "502", `early="" rest=""`},
		"other protocol":      {strings.Replace(agreed, "Upgrade: websocket", "Upgrade: h2c", 1), "502", `early="" rest=""`},
		"no connection":       {strings.Replace(agreed, "Connection: Upgrade\r\n", "", 1), "502", `early="" rest=""`},
		"unasked subprotocol": {strings.Replace(agreed, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n", 1), "502", `early="" rest=""`},
		"200":                 {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "200", `early="" rest=""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr, got := rawUpstream(t, c.answer)
			w := newWorld(t, config{rules: []string{"ws://api.test:8080/live"}, resolve: []string{"api.test:8080=" + addr}})
			conn := w.mustDial("api.test:8080")
			io.WriteString(conn, wsHead+"\r\nhidden")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || !strings.HasPrefix(resp.Status, c.status) {
				t.Fatalf("%v %v", resp, err)
			}
			conn.CloseWrite()
			conn.Close()
			if s := <-got; s != c.got {
				t.Errorf("the upstream got %s", s)
			}
			if c.status == "502" {
				w.denied(name, kind("ws"))
			}
		})
	}
}

func TestBadHandshakes(t *testing.T) {
	for name, text := range map[string]string{
		"POST":       strings.Replace(wsHead, "GET", "POST", 1),
		"version":    strings.Replace(wsHead, "13", "8", 1),
		"no key":     strings.Replace(wsHead, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"short key":  strings.Replace(wsHead, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1),
		"two keys":   wsHead + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
		"with body":  wsHead + "Content-Length: 3\r\n",
		"with chunk": wsHead + "Transfer-Encoding: chunked\r\n",
	} {
		w := newWorld(t, config{rules: []string{"ws://api.test:8080/live"}})
		if out := w.raw("api.test:8080", text+"\r\n", 1); !strings.HasPrefix(out, "400") {
			t.Errorf("%s: %q", name, out)
		}
		w.denied(name, kind("ws"))
		w.only()
	}
	// Not asked for in full: a request like any other.
	for name, text := range map[string]string{
		"no connection": strings.Replace(wsHead, "Connection: keep-alive, Upgrade\r\n", "", 1),
		"HTTP/1.0":      strings.Replace(wsHead, "HTTP/1.1", "HTTP/1.0", 1),
		"two protocols": strings.Replace(wsHead, "Upgrade: websocket", "Upgrade: websocket, h2c", 1),
	} {
		w := newWorld(t, config{rules: []string{"ws://api.test:8080/live"}})
		if out := w.raw("api.test:8080", text+"\r\n", 1); !strings.HasPrefix(out, "403") {
			t.Errorf("%s: %q", name, out)
		}
		w.only()
	}
}
