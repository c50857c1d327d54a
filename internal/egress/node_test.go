package egress

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// namedListener gives connections that claim to have been made to one address.
type namedListener struct {
	net.Listener
	to net.Addr
}

func (l *namedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &dialled{TCPConn: c.(*net.TCPConn), to: l.to}, nil
}

// TestNodeClients runs Node's https, fetch and http2 against the egress.
func TestNodeClients(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("needs node in the PATH")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	w := newWorld(t, config{rules: []string{fmt.Sprintf("POST https://api.test:%d/ok", port)}, handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusEarlyHints)
		b, _ := io.ReadAll(r.Body)
		rw.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(rw, "got %s", b)
		http.NewResponseController(rw).Flush()
		rw.Header().Set("X-Sum", fmt.Sprint(len(b)))
	})})
	w.egress.overrides = append(w.egress.overrides, mustOverride(t, "api.test="+w.up.tls.Listener.Addr().String()))
	addr, _ := w.sandbox.names.address("api.test", pinned)
	w.sandbox.Serve([]net.Listener{&namedListener{l, &net.TCPAddr{IP: addr.AsSlice(), Port: port}}}, nil, nil)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.sandbox.CertFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--use-openssl-ca", "testdata/clients.js", fmt.Sprint(port))
	cmd.Env = []string{"SSL_CERT_FILE=" + ca}
	cmd.Stderr = os.Stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, w.logs)
	}
	type result struct {
		Status, Early   int
		Text, Trailer   string
		Reused, Resumed bool
		Trailers        map[string]string
		Problem         problem
	}
	var out map[string]result
	if err := json.Unmarshal(stdout, &out); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	for name, text := range map[string]string{"post": "got body", "again": "got body", "expect": "got body", "resumed": "got x",
		"fetch": "got fetched", "piped": "got piped", "http2": "got h2 body"} {
		if r := out[name]; r.Status != 200 || r.Text != text {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if !out["again"].Reused || !out["resumed"].Resumed || out["post"].Trailers["x-sum"] != "4" {
		t.Errorf("keep-alive, resumption, trailers: %+v", out)
	}
	if h := out["http2"]; h.Early != 103 || h.Trailer != "7" {
		t.Errorf("http2: %+v", h)
	}
	if out["denied"].Status != 403 || out["fetchDenied"].Status != 403 || out["fetchDenied"].Problem.Code != "EWEIR" {
		t.Errorf("denials: %+v", out)
	}
	if n := len(w.records.all()); n != 2 {
		t.Errorf("%d records of 2 denials: %+v", n, w.records.all())
	}
}
