package server

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/weir"
)

// mirrors is an upstream that gives back all that comes by a WebSocket, and how a platform reaches it as example.com.
func mirrors(t *testing.T) (url string, reached func(*ServeOptions)) {
	t.Helper()
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("%s: %v", r.Proto, err)
			return
		}
		defer c.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		io.Copy(c, b)
	}))
	up.EnableHTTP2 = true
	up.StartTLS()
	t.Cleanup(up.Close)
	to, err := egress.ParseOverride("example.com:443=" + up.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return up.URL, func(o *ServeOptions) {
		o.Resolve, o.UpstreamCA = []egress.Override{to}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw})
	}
}

// socket asks for a WebSocket.
func (p *platform) socket(host, path string) (net.Conn, *bufio.Reader, int) {
	p.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.Addr(), "http://"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, host)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return c, r, res.StatusCode
}

// TestWebSocketsByRules: to an upstream that would rather speak HTTP/2, until the deploy gets other variables, with which
// an upstream may be signed in no longer; and to none that has no public address.
func TestWebSocketsByRules(t *testing.T) {
	inside, reached := mirrors(t)
	p := newPlatform(t, reached)
	site := p.site("shop")
	of := content{files: map[string]string{"_redirects": "/live https://example.com/ 200\n/inside " + inside + "/ 200\n", "index.html": "1"}}
	p.shows("shop.localhost", p.deploy(site, owner, of, deploys.BeginOptions{}))
	if _, _, status := p.socket("shop.localhost", "/inside"); status != 502 {
		t.Errorf("this machine is reached: %d", status)
	}
	c, r, status := p.socket("shop.localhost", "/live")
	if status != 101 {
		t.Fatal(status)
	}
	io.WriteString(c, "hello\n")
	if got, err := r.ReadString('\n'); got != "hello\n" || err != nil {
		t.Fatalf("%q %v", got, err)
	}
	if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: "A", Values: []environ.Value{{Context: environ.All, Value: "1"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it goes on: %v", err)
	}
}

// TestWebSocketsOfDeploysThatAreOver: one goes on no longer than somebody may ask for its deploy.
func TestWebSocketsOfDeploysThatAreOver(t *testing.T) {
	_, reached := mirrors(t)
	p := newPlatform(t, reached)
	site := p.site("shop")
	rule := map[string]string{"_redirects": "/live https://example.com/ 200\n"}
	gains := map[string]string{"_redirects": rule["_redirects"], "_weir.toml": "[functions.v]\nenv = [\"KEY\"]\n"}
	fn := map[string]string{"v": handler("v")}
	p.shows("shop.localhost", p.deploy(site, owner, content{files: rule, functions: fn}, deploys.BeginOptions{}))
	removed := p.deploy(site, owner, content{files: rule, functions: fn}, deploys.BeginOptions{Draft: true})
	rejected := p.deploy(site, deploys.Author{Name: "dev"}, content{files: gains, functions: fn}, deploys.BeginOptions{Draft: true})
	var over []*bufio.Reader
	for _, d := range []weir.Deploy{removed, rejected} {
		_, r, status := p.socket(d.ID+"--shop.localhost", "/live")
		if status != 101 {
			t.Fatal(status)
		}
		over = append(over, r)
	}
	c, r, _ := p.socket("shop.localhost", "/live")
	if err := p.deploys.DeleteDeploy(t.Context(), owner, removed.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.deploys.Reject(t.Context(), owner, rejected.ID, ""); err != nil {
		t.Fatal(err)
	}
	p.mounts.dropOver(t.Context())
	for i, r := range over {
		if _, err := r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("number %d goes on: %v", i, err)
		}
	}
	io.WriteString(c, "hello\n")
	if got, err := r.ReadString('\n'); got != "hello\n" {
		t.Errorf("what is published: %q %v", got, err)
	}
}
