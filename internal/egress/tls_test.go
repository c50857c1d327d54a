package egress

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

func TestHandshakeMustNameTheDialledHost(t *testing.T) {
	rules := []string{charge, "POST https://other.test/**"}
	for name, c := range map[string]struct{ dial, sni, reason string }{
		"another allowed host":           {"api.test:443", "other.test", "names other.test"},
		"a denied host":                  {"api.test:443", "evil.test", "names evil.test"},
		"none":                           {"api.test:443", "", "names no host"},
		"an allowed name, a denied host": {"evil.test:443", "api.test", "names api.test"},
		"a look-alike":                   {"api.test:443", "api.test.evil.test", "names api.test.evil.test"},
		"a name below":                   {"api.test:443", "x.api.test", "names x.api.test"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			w := newWorld(t, config{rules: rules})
			cfg := w.clientTLS(c.sni)
			cfg.InsecureSkipVerify, cfg.MinVersion, cfg.MaxVersion = true, version, version
			err := tls.Client(w.mustDial(c.dial), cfg).Handshake()
			if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("%s: %v", name, err)
			}
			w.denied(name, func(d record.Decision) bool {
				return d.Kind == "tls" && d.Target == c.dial && strings.Contains(d.Reason, c.reason)
			})
			w.only()
		}
	}
}

// drip writes one byte at a time.
type drip struct{ net.Conn }

func (d drip) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// TestClientHelloInPieces: the name is read by a whole TLS stack, not from the first packet.
func TestClientHelloInPieces(t *testing.T) {
	for sni, ok := range map[string]bool{"api.test": true, "evil.test": false} {
		w := newWorld(t, config{rules: []string{charge}})
		cfg := w.clientTLS(sni)
		cfg.InsecureSkipVerify = true
		if err := tls.Client(drip{w.mustDial("api.test:443")}, cfg).Handshake(); (err == nil) != ok {
			t.Errorf("%s: %v", sni, err)
		}
	}
}

// TestEncryptedClientHello: a name that is hidden in the handshake is never what counts.
func TestEncryptedClientHello(t *testing.T) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for outer, want := range map[string]string{"api.test": "rejected ECH", "evil.test": "unrecognized name"} {
		// An ECHConfigList with one ECHConfig (draft-ietf-tls-esni, section 4).
		body := append([]byte{1, 0, 0x20, 0, 32}, key.PublicKey().Bytes()...)
		body = append(body, 0, 4, 0, 1, 0, 1, 0, byte(len(outer)))
		body = append(append(body, outer...), 0, 0)
		list := append([]byte{0, byte(len(body) + 4), 0xfe, 0x0d, 0, byte(len(body))}, body...)
		w := newWorld(t, config{rules: []string{charge}})
		cfg := w.clientTLS("evil.test")
		cfg.EncryptedClientHelloConfigList, cfg.MinVersion = list, tls.VersionTLS13
		err := tls.Client(w.mustDial("api.test:443"), cfg).Handshake()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("outer name %s: %v", outer, err)
		}
		w.only()
	}
}

func TestHandshakeInUpperCase(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	cfg := w.clientTLS("API.test")
	cfg.InsecureSkipVerify = true
	if err := tls.Client(w.mustDial("api.test:443"), cfg).Handshake(); err != nil {
		t.Error(err)
	}
}

// TestAddressLiterals: TLS to an address is ended, so that the request shows, and allowed only if a
// rule names the address.
func TestAddressLiterals(t *testing.T) {
	for _, sni := range []string{"", "api.test"} {
		for rule, want := range map[string]int{"GET https://203.0.113.7/**": 200, "GET https://api.test/**": 403} {
			w := newWorld(t, config{rules: []string{rule}})
			w.egress.overrides = append(w.egress.overrides, mustOverride(t, "203.0.113.7="+w.up.tls.Listener.Addr().String()))
			client := w.client(false)
			client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{ServerName: sni, InsecureSkipVerify: true,
				VerifyConnection: func(cs tls.ConnectionState) error { return cs.PeerCertificates[0].VerifyHostname("203.0.113.7") }}
			resp, _ := w.do(client, "GET", "https://203.0.113.7/x", "")
			if resp.StatusCode != want {
				t.Errorf("SNI %q, rule %s: %d, want %d", sni, rule, resp.StatusCode, want)
			}
		}
	}
}

func mustOverride(t *testing.T, s string) Override {
	t.Helper()
	o, err := ParseOverride(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// resumable makes a connection, waits for its ticket and gives its state.
func resumable(t *testing.T, w *world, dial string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c := tls.Client(w.mustDial(dial), cfg)
	defer c.Close()
	if err := c.HandshakeContext(context.Background()); err != nil {
		return tls.ConnectionState{}, err
	}
	host, _, _ := strings.Cut(dial, ":")
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	io.ReadAll(c) // the ticket comes with the answer
	return c.ConnectionState(), nil
}

// TestSessionsResume, in other sandboxes' connections too, and a resumed session is checked like any
// other.
func TestSessionsResume(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t, config{rules: []string{"GET https://api.test/**"}})
		cache := tls.NewLRUClientSessionCache(8)
		cfg := func(sni string) *tls.Config {
			c := w.clientTLS(sni, "http/1.1")
			c.ClientSessionCache, c.MinVersion, c.MaxVersion = cache, version, version
			return c
		}
		if cs, err := resumable(t, w, "api.test:443", cfg("api.test")); err != nil || cs.DidResume {
			t.Fatal(err)
		}
		if cs, err := resumable(t, w, "api.test:443", cfg("api.test")); err != nil || !cs.DidResume {
			t.Errorf("version %x: no resumption (%v)", version, err)
		}
		w.only("GET / | api.test", "GET / | api.test")

		// The ticket of an allowed host on a connection to a denied one, with either name.
		if _, err := resumable(t, w, "evil.test:443", cfg("api.test")); err == nil {
			t.Errorf("version %x: resumed to another host", version)
		}
		w.denied("the ticket", func(d record.Decision) bool { return d.Kind == "tls" && d.Target == "evil.test:443" })
		session, _ := cache.Get("api.test")
		cache.Put("evil.test", session)
		resumable(t, w, "evil.test:443", cfg("evil.test"))
		w.only("GET / | api.test", "GET / | api.test")
	}
}

func TestCertificates(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".test"
	for _, host := range []string{"api.test", "evil.test", "x_y.test", "xn--bcher-kva.test", long} {
		c, err := w.tlsDial(host+":443", host)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		leaf := c.ConnectionState().PeerCertificates[0]
		if leaf.IsCA || time.Until(leaf.NotAfter) < 24*time.Hour || leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
			t.Errorf("%s: odd certificate", host)
		}
	}
	// Another sandbox's authority is not trusted here.
	other, err := w.fn.Sandbox("i-2")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(other.CertFile())
	err = tls.Client(w.mustDial("api.test:443"), &tls.Config{RootCAs: roots, ServerName: "api.test"}).Handshake()
	if !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("another sandbox's authority: %v", err)
	}
	w.denied("the refused certificate", kind("tls"))
	if n := strings.Count(string(w.sandbox.CertFile()), "BEGIN CERT"); n != 1 {
		t.Errorf("%d certificates for a function without a tcp rule", n)
	}
	raw := newWorld(t, config{rules: []string{"tcp db.test:5432"}})
	if n := strings.Count(string(raw.sandbox.CertFile()), "BEGIN CERT"); n < 2 {
		t.Errorf("a function with a tcp rule trusts %d authorities", n)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	w := newWorld(t, config{rules: []string{charge}})
	cfg := w.clientTLS("api.test")
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if err := tls.Client(w.mustDial("api.test:443"), cfg).Handshake(); err == nil {
		t.Error("TLS 1.1 was spoken")
	}
}

// TestUpstreamCertificates: who answers must be who was asked for.
func TestUpstreamCertificates(t *testing.T) {
	serve := func(cert tls.Certificate) string {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
		return l.Addr().String()
	}
	for name, c := range map[string]struct {
		cert tls.Certificate
		noCA bool
		want string
	}{
		"another host":      {outsideCert(t, time.Now().Add(time.Hour), "evil.test"), false, "another host"},
		"expired":           {outsideCert(t, time.Now().Add(-time.Minute), "api.test"), false, "expired"},
		"unknown authority": {outsideCert(t, time.Now().Add(time.Hour), "api.test"), true, "--upstream-ca"},
	} {
		w := newWorld(t, config{rules: []string{charge}, noCA: c.noCA, resolve: []string{"api.test=" + serve(c.cert)}})
		resp, body := w.do(w.client(false), "POST", "https://api.test/v1/charges", "secret")
		if p := problemOf(t, resp, body); p.Status != 502 || !strings.Contains(p.Detail, c.want) || p.Code != "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
