package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// monitorWorld is a world whose policy is monitored. Rules are as in config.
func monitorWorld(t *testing.T, cfg config) *world {
	t.Helper()
	cfg.mode = policy.Monitor
	return newWorld(t, cfg)
}

// monitoredAs waits for a record of what was let through though no rule allows it.
func (w *world) monitoredAs(kind, target string) record.Decision {
	w.tb.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		for _, d := range w.records.of(record.Deny, record.Monitor) {
			if d.Kind == kind && d.Target == target {
				return d
			}
		}
		if time.Now().After(end) {
			w.tb.Fatalf("no record of %s %s; there are %+v", kind, target, w.records.list)
		}
	}
}

func TestMonitorLetsRequestsThrough(t *testing.T) {
	w := monitorWorld(t, config{rules: []string{charge}})
	for _, two := range []bool{false, true} {
		c := w.client(two)
		if resp, body := w.do(c, "DELETE", "https://other.test/v1/x?secret=1", ""); resp.StatusCode != 200 || body != "ok" {
			t.Errorf("HTTP/2 %t: %d %s", two, resp.StatusCode, body)
		}
		w.do(c, "POST", "https://api.test/v1/charges", "a=1")
	}
	d := w.monitoredAs("http", "https://other.test/v1/x")
	if d.Method != "DELETE" || d.Reason != "no rule names the host other.test" || d.Fix != `http = ["DELETE https://other.test/v1/x"]` || d.Source != record.Egress || d.Request != "req-1" {
		t.Errorf("%+v", d)
	}
	if n := len(w.records.of(record.Allow, "")); n != 2 {
		t.Errorf("%d allowed calls", n)
	}
	if d := w.records.all(); len(d) != 0 {
		t.Errorf("denied: %+v", d)
	}
	w.only("DELETE /v1/x?secret=1 | other.test", "POST /v1/charges | api.test", "DELETE /v1/x?secret=1 | other.test", "POST /v1/charges | api.test")
}

// TestMonitorHoldsWhatCanBeReadTwoWays: what no rule could allow stays refused, and is no less so.
func TestMonitorHoldsWhatCanBeReadTwoWays(t *testing.T) {
	w := monitorWorld(t, config{rules: []string{charge}})
	for name, text := range map[string]string{
		"another Host":   "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n",
		"two Hosts":      "GET / HTTP/1.1\r\nHost: api.test\r\nHost: other.test\r\n\r\n",
		"dot segments":   "GET /a/../b HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"a proxy's form": "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n",
		"CONNECT":        "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n",
		"TRACE":          "TRACE / HTTP/1.1\r\nHost: api.test\r\n\r\n",
		"two lengths":    "POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
	} {
		if got := w.raw("api.test:80", text, 1); !strings.HasPrefix(got, "4") {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := w.tlsDial("api.test:443", "other.test"); err == nil {
		t.Error("a handshake for another host came through")
	}
	if _, err := w.tlsDial("api.test:443", "other.test", "imap"); err == nil {
		t.Error("a handshake for another host came through as it was")
	}
	w.only()
	if n := len(w.records.all()); n < 8 {
		t.Errorf("%d denials: %+v", n, w.records.all())
	}
	if d := w.records.of(record.Deny, record.Monitor); len(d) != 0 {
		t.Errorf("let through: %+v", d)
	}
}

// TestMonitorKeepsAddressesShut: a name that leads inside leads nowhere, whatever is spoken.
func TestMonitorKeepsAddressesShut(t *testing.T) {
	w := monitorWorld(t, config{rules: []string{"GET http://10.1.2.3/named"}, private: true, noResolve: true,
		lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
		}})
	c := w.client(false)
	for _, url := range []string{"http://rebind.test/latest/meta-data/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.7/", "http://127.0.0.1:8080/"} {
		if resp, body := w.do(c, "GET", url, ""); resp.StatusCode != 502 {
			t.Errorf("%s: %d %s", url, resp.StatusCode, body)
		}
	}
	for _, to := range []string{"rebind.test:22", "10.0.0.7:5432", "127.0.0.1:6379"} {
		c := w.mustDial(to)
		io.WriteString(c, "\x00\x00\x00\x08")
		expectReset(t, to, c)
		w.denied(to, func(d record.Decision) bool { return d.Target == to && strings.Contains(d.Reason, "out of reach") })
	}
	quiet := w.mustDial("rebind.test:25") // the server would have to speak first
	expectReset(t, "a silent client", quiet)
}

// TestMonitorJoinsOtherProtocols: bytes that are no HTTP, servers that speak first, and clients that
// say nothing until they do.
func TestMonitorJoinsOtherProtocols(t *testing.T) {
	silent := listening(t, func(c net.Conn) { io.Copy(c, c); c.Close() })
	w := monitorWorld(t, config{rules: []string{charge}, resolve: []string{"first.test=" + echo(t), "second.test=" + silent, "api.test:443=" + silent}})
	c := w.mustDial("first.test:25")
	if b := make([]byte, 11); readFull(c, b) != nil || string(b) != "220 ready\r\n" {
		t.Fatalf("the server speaks first: %q", b)
	}
	io.WriteString(c, "EHLO x\r\n")
	c.CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "EHLO x\r\nbye" {
		t.Errorf("%q %v", b, err)
	}
	if d := w.monitoredAs("tcp", "first.test:25"); d.Fix != `tcp = ["first.test:25"]` || d.Reason != "no rule names it" {
		t.Errorf("%+v", d)
	}
	for _, to := range []string{"second.test:6379", "api.test:443"} {
		for _, text := range []string{"*1\r\n$4\r\nPING\r\n", "\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
			c := w.mustDial(to)
			io.WriteString(c, text)
			c.CloseWrite()
			if b, err := io.ReadAll(c); err != nil || string(b) != text {
				t.Errorf("%s: %q came back as %q, %v", to, text, b, err)
			}
		}
		if d := w.monitoredAs("tcp", to); to == "api.test:443" && d.Fix != "" {
			t.Errorf("a host and port is either http or tcp: %+v", d)
		}
	}
	late := w.mustDial("other.test:8080")
	time.Sleep(quietTime + 100*time.Millisecond) // the client takes its time, and its request is seen all the same
	io.WriteString(late, "GET /late HTTP/1.1\r\nHost: other.test:8080\r\n\r\n")
	if head, err := readHead(bufio.NewReader(late)); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200") {
		t.Errorf("%q %v", head, err)
	}
	w.monitoredAs("http", "http://other.test:8080/late")
	if d := w.records.all(); len(d) != 0 {
		t.Errorf("denied: %+v", d)
	}
}

// TestMonitorTLS: what is inside TLS is looked at where that can be, and passed on as it is where not.
func TestMonitorTLS(t *testing.T) {
	cert := outsideCert(t, time.Now().Add(time.Hour), "mail.test", "bad.test")
	serverTLS := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"imap"}}
	mail := listening(t, func(raw net.Conn) {
		c := tls.Server(raw, serverTLS)
		defer c.Close()
		io.WriteString(c, "* OK\r\n")
		io.Copy(c, c)
	})
	w := monitorWorld(t, config{rules: []string{charge}, resolve: []string{"mail.test=" + mail, "wrong.test=" + mail}})
	// No word about what is inside: the sandbox's certificate, and a connection with a verified one outside.
	c, err := w.tlsDial("mail.test:993", "mail.test")
	if err != nil {
		t.Fatal(err)
	}
	talk := func(c *tls.Conn) {
		t.Helper()
		if b := make([]byte, 6); readFull(c, b) != nil || string(b) != "* OK\r\n" {
			t.Fatalf("%q", b)
		}
		io.WriteString(c, "a login x\r\n")
		if b := make([]byte, 11); readFull(c, b) != nil || string(b) != "a login x\r\n" {
			t.Errorf("%q", b)
		}
	}
	talk(c)
	if c.ConnectionState().PeerCertificates[0].Issuer.CommonName != "Weir sandbox CA" {
		t.Error("it was not looked at")
	}
	if c, err = w.tlsDial("wrong.test:993", "wrong.test"); err == nil { // the server's certificate is for another host
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a server without a valid certificate was let in")
		}
	}
	// A client that says that it is not HTTP has the server's own certificate.
	if c, err = w.tlsDial("mail.test:993", "mail.test", "imap"); err != nil {
		t.Fatal(err)
	}
	talk(c)
	if c.ConnectionState().PeerCertificates[0].Equal(outsideCA().cert) || len(c.ConnectionState().PeerCertificates[0].DNSNames) != 2 {
		t.Error("it was not passed on as it is")
	}
	// One that takes no other certificate fails once.
	pinned := func() error {
		conf := w.clientTLS("mail.test")
		conf.VerifyConnection = func(s tls.ConnectionState) error {
			if s.PeerCertificates[0].Issuer.CommonName == "Weir sandbox CA" {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		c := tls.Client(w.mustDial("mail.test:465"), conf)
		if err := c.Handshake(); err != nil {
			return err
		}
		talk(c)
		return nil
	}
	if pinned() == nil {
		t.Error("the first attempt was not looked at")
	}
	w.denied("the alert", kind("tls"))
	if err := pinned(); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
	w.monitoredAs("tcp", "mail.test:465")
	w.monitoredAs("tcp", "mail.test:993")
}

func TestMonitorWebSocket(t *testing.T) {
	w := monitorWorld(t, config{rules: []string{charge}, handler: agree(t)})
	if _, _, resp := w.handshake("ws://api.test/live"); resp.StatusCode != 101 {
		t.Fatalf("%+v", resp)
	}
	if d := w.monitoredAs("ws", "ws://api.test/live"); d.Fix != `http = ["GET ws://api.test/live"]` {
		t.Errorf("%+v", d)
	}
}
