package attacks

// The outside: one allowed host, and a thief who takes whatever comes, by every transport.

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

type world struct {
	allowed *httptest.Server
	thief   *httptest.Server
	flags   []string

	mu       sync.Mutex
	received []string // what reached the allowed host: METHOD target | Host | selected headers
	stolen   []string // whatever reached the thief
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	cert := certificate(t)
	w.allowed = serveTLS(t, cert, http.HandlerFunc(w.serveAllowed))
	w.thief = serveTLS(t, cert, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.steal(fmt.Sprintf("https %s %s %s", r.Method, r.RequestURI, body))
		fmt.Fprint(rw, "thanks")
	}))
	tcp := w.listenTCP(t)
	w.listenUDP(t)
	ca := filepath.Join(openDir(t, os.Getuid()), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o644); err != nil {
		t.Fatal(err)
	}
	allowed := w.allowed.Listener.Addr().String()
	thiefTLS := w.thief.Listener.Addr().String()
	w.flags = []string{"--upstream-ca", ca,
		"--resolve", "api.allowed.test=" + allowed,
		"--resolve", "*.evil.test:443=" + thiefTLS,
		"--resolve", "*.evil.test=" + tcp,
		"--resolve", "203.0.113.66:443=" + thiefTLS,
		"--resolve", "203.0.113.66=" + tcp,
		"--resolve", "169.254.169.254=" + tcp,
		"--resolve", "169.254.170.2=" + tcp,
		"--resolve", "metadata.google.internal=" + tcp,
	}
	return w
}

func serveTLS(t *testing.T, cert tls.Certificate, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (w *world) serveAllowed(rw http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	var odd []string
	for k, v := range r.Header {
		low := strings.ToLower(strings.ReplaceAll(k, "_", "-"))
		if strings.Contains(low, "override") || strings.Contains(low, "original") || strings.Contains(low, "rewrite") || strings.Contains(low, "forwarded") || strings.HasPrefix(low, "x-http-method") {
			odd = append(odd, k+": "+strings.Join(v, ","))
		}
	}
	w.mu.Lock()
	w.received = append(w.received, fmt.Sprintf("%s %s | %s |%s", r.Method, r.RequestURI, r.Host, strings.Join(odd, "; ")))
	w.mu.Unlock()
	if r.URL.RawQuery == "redirect" {
		http.Redirect(rw, r, "https://drop.evil.test/collect", http.StatusTemporaryRedirect)
		return
	}
	fmt.Fprint(rw, `{"id":"ch_1"}`)
}

func (w *world) steal(what string) {
	w.mu.Lock()
	w.stolen = append(w.stolen, what)
	w.mu.Unlock()
}

// listenTCP takes any connection and any bytes, and answers so that a caller sees it got through.
func (w *world) listenTCP(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 4096)
				n, _ := c.Read(b)
				w.steal(fmt.Sprintf("tcp %q", b[:n]))
				fmt.Fprint(c, "HTTP/1.0 200 OK\r\n\r\nthanks")
			}()
		}
	}()
	return l.Addr().String()
}

func (w *world) listenUDP(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			w.steal(fmt.Sprintf("udp %q", b[:n]))
			c.WriteTo([]byte("thanks"), from)
		}
	}()
	w.flags = append(w.flags, "--resolve", "203.0.113.66:9999="+c.LocalAddr().String())
}

// verify says what the outside saw that it must not have seen.
func (w *world) verify(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stolen {
		t.Errorf("the thief received %s", s)
	}
	for _, r := range w.received {
		if r != "POST /v1/charges | api.allowed.test |" && r != "POST /v1/charges?redirect | api.allowed.test |" {
			t.Errorf("the allowed host received %s", r)
		}
	}
}
