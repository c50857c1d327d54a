package egress

// A sandbox without walls: its connections are real TCP connections of this process that claim to
// have been made to another address, and its resolver is the egress's own DNS.

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// outsideCA signs the certificates of all upstreams of the tests.
var outsideCA = sync.OnceValue(func() (ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	ca.cert, _ = x509.ParseCertificate(der)
	ca.key, ca.pem = key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
})

func outsideCert(tb testing.TB, notAfter time.Time, names ...string) tls.Certificate {
	tb.Helper()
	ca := outsideCA()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(203, 0, 113, 7)}}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// memory is a Recorder for tests.
type memory struct {
	mu    sync.Mutex
	list  []record.Decision
	fault string // a target whose record makes a fault
}

func (m *memory) Decided(d record.Decision) {
	if m.fault != "" && d.Target == m.fault {
		panic("a fault in the recorder")
	}
	m.mu.Lock()
	m.list = append(m.list, d)
	m.mu.Unlock()
}

func (m *memory) Invoked(record.Invocation) {}

// all gives the denials that were enforced.
func (m *memory) all() []record.Decision { return m.of(record.Deny, "") }

// of gives the decisions of a verdict and mode.
func (m *memory) of(v record.Verdict, mode string) []record.Decision {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []record.Decision
	for _, d := range m.list {
		if d.Verdict == v && d.Mode == mode {
			list = append(list, d)
		}
	}
	return list
}

// upstream is the outside: it notes what reaches it.
type upstream struct {
	mu       sync.Mutex
	received []string // METHOD target | Host
	headers  []http.Header
	handler  http.Handler
	tls      *httptest.Server
	plain    *httptest.Server
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.received = append(u.received, r.Method+" "+r.RequestURI+" | "+r.Host)
	u.headers = append(u.headers, r.Header.Clone())
	u.mu.Unlock()
	if u.handler != nil {
		u.handler.ServeHTTP(w, r)
		return
	}
	io.Copy(io.Discard, r.Body)
	fmt.Fprint(w, "ok")
}

func (u *upstream) got() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.received...)
}

func (u *upstream) header(i int) http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i >= len(u.headers) {
		return nil
	}
	return u.headers[i]
}

// world is one sandbox and its outside.
type world struct {
	tb        testing.TB
	up        *upstream
	egress    *Egress
	fn        *Function
	sandbox   *Sandbox
	records   *memory
	logs      *lockedBuffer
	conns     *pairListener
	dnsAddr   string
	datagrams *datagramSource
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// config is what a test may set about its world.
type config struct {
	rules     []string // "METHOD URL", "ws(s)://…", "tcp host:port", "udp host:port" or "dns TYPE name"
	mode      policy.Mode
	budget    *policy.Budget // of each rule
	bounds    []policy.Bound
	resolve   []string
	resolvers []netip.AddrPort
	noResolve bool // don't send *.test to the upstream
	private   bool
	handler   http.Handler
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	noCA      bool
	fault     string
	told      func(Refusal)
}

func newWorld(tb testing.TB, cfg config) *world {
	tb.Helper()
	w := &world{tb: tb, up: &upstream{handler: cfg.handler}, records: &memory{fault: cfg.fault}, logs: &lockedBuffer{}, conns: &pairListener{}, datagrams: newDatagramSource()}
	w.conns.start(tb)
	w.up.tls = httptest.NewUnstartedServer(w.up)
	w.up.tls.EnableHTTP2 = true
	w.up.tls.TLS = &tls.Config{Certificates: []tls.Certificate{outsideCert(tb, time.Now().Add(time.Hour), "api.test", "other.test", "*.wild.test", "localhost")}}
	w.up.tls.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	w.up.tls.StartTLS()
	tb.Cleanup(w.up.tls.Close)
	w.up.plain = httptest.NewServer(w.up)
	tb.Cleanup(w.up.plain.Close)

	resolve := cfg.resolve
	if !cfg.noResolve {
		secure, plain := w.up.tls.Listener.Addr().String(), w.up.plain.Listener.Addr().String()
		resolve = append([]string{"*.test:443=" + secure, "*.test:8443=" + secure, "*.test:80=" + plain, "*.test:8080=" + plain}, resolve...)
	}
	o := Options{AllowPrivate: cfg.private, Resolvers: cfg.resolvers,
		Logger: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if !cfg.noCA {
		o.UpstreamCAs = outsideCA().pem
	}
	for _, r := range resolve {
		ov, err := ParseOverride(r)
		if err != nil {
			tb.Fatal(err)
		}
		o.Resolve = append(o.Resolve, ov)
	}
	var err error
	if w.egress, err = New(o); err != nil {
		tb.Fatal(err)
	}
	w.egress.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, fmt.Errorf("tests ask nobody") }
	if cfg.lookup != nil {
		w.egress.lookup = cfg.lookup
	}
	tb.Cleanup(w.egress.Close)
	w.fn = w.egress.Function("pay", compileWith(tb, cfg.mode, cfg.budget, cfg.rules...).Within(cfg.bounds...), w.records)
	tb.Cleanup(w.fn.Close)
	w.start(cfg.told)
	return w
}

// Sandbox makes the outer end of one instance of the function.
func (f *Function) Sandbox(instance string) (*Sandbox, error) {
	s, err := f.egress.Sandbox(f.ownTLS)
	if err != nil {
		return nil, err
	}
	return s, s.Bind(f, instance)
}

// start makes the sandbox and serves it.
func (w *world) start(told func(Refusal)) {
	w.tb.Helper()
	var err error
	if w.sandbox, err = w.fn.Sandbox("i-1"); err != nil {
		w.tb.Fatal(err)
	}
	w.sandbox.OnRefusal(told)
	w.sandbox.SetInvocations("req-1")
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		w.tb.Fatal(err)
	}
	w.dnsAddr = udp.LocalAddr().String()
	w.sandbox.Serve([]net.Listener{w.conns}, []net.PacketConn{udp}, []Datagrams{w.datagrams})
	w.tb.Cleanup(w.sandbox.Close)
}

func compile(tb testing.TB, rules ...string) *policy.Engine {
	tb.Helper()
	return compileWith(tb, policy.Enforce, nil, rules...)
}

func compileWith(tb testing.TB, mode policy.Mode, budget *policy.Budget, rules ...string) *policy.Engine {
	tb.Helper()
	p := &policy.Policy{Function: "pay", Source: "weir.toml", Mode: mode}
	for i, r := range rules {
		rule := policy.Rule{Kind: policy.HTTP, Pattern: r, Budget: budget}
		if strings.HasPrefix(r, "ws") {
			rule.Kind = policy.WS
		}
		for _, k := range []policy.Kind{policy.TCP, policy.UDP, policy.DNS} {
			if pattern, ok := strings.CutPrefix(r, k.String()+" "); ok {
				rule.Kind, rule.Pattern = k, pattern
			}
		}
		rule.Pos.File, rule.Pos.Line = "weir.toml", i+1
		p.Rules = append(p.Rules, rule)
	}
	eng, err := policy.Compile(p)
	if err != nil {
		tb.Fatal(err)
	}
	return eng
}

// listening is an upstream of one's own: it serves every connection and gives the address. Closing a
// connection is up to serve, and so is holding it: one that nobody holds the garbage collector closes.
func listening(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
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
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// resolver is what a program in the sandbox asks for names.
func (w *world) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", w.dnsAddr)
	}}
}

// dial connects to "host:port" from inside.
func (w *world) dial(ctx context.Context, address string) (*net.TCPConn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		list, err := w.resolver().LookupNetIP(ctx, "ip4", host+".")
		if err != nil {
			return nil, err
		}
		addr = list[0]
	}
	to, err := netip.ParseAddrPort(net.JoinHostPort(addr.Unmap().String(), port))
	if err != nil {
		return nil, err
	}
	return w.conns.dial(to)
}

func (w *world) mustDial(address string) *net.TCPConn {
	w.tb.Helper()
	c, err := w.dial(context.Background(), address)
	if err != nil {
		w.tb.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	w.tb.Cleanup(func() { c.Close() })
	return c
}

// tlsDial makes a TLS connection to address that asks for serverName.
func (w *world) tlsDial(address, serverName string, protos ...string) (*tls.Conn, error) {
	w.tb.Helper()
	c := tls.Client(w.mustDial(address), w.clientTLS(serverName, protos...))
	return c, c.Handshake()
}

func (w *world) clientTLS(serverName string, protos ...string) *tls.Config {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(w.sandbox.CertFile()) {
		w.tb.Fatal("the CA file holds no certificate")
	}
	return &tls.Config{RootCAs: roots, ServerName: serverName, NextProtos: protos}
}

// client is an HTTP client inside the sandbox.
func (w *world) client(two bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!two)
	p.SetHTTP2(two)
	t := &http.Transport{TLSClientConfig: w.clientTLS(""), Protocols: p, DisableCompression: true, MaxIdleConnsPerHost: 10,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return w.dial(ctx, address) },
		// Long enough for a loaded machine, short enough not to hide a 100 that never comes.
		ExpectContinueTimeout: 10 * time.Second}
	w.tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do makes a request from inside and reads the response.
func (w *world) do(c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	w.tb.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, url, rd)
	if err != nil {
		w.tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		w.tb.Fatalf("%s %s: %v\n%s", method, url, err, w.logs)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.tb.Fatalf("%s %s: body: %v", method, url, err)
	}
	return resp, string(b)
}

// problemOf reads a problem+json body.
func problemOf(tb testing.TB, resp *http.Response, body string) problem {
	tb.Helper()
	var p problem
	if resp.Header.Get("Content-Type") != problemType {
		tb.Fatalf("not a problem: %d %v %s", resp.StatusCode, resp.Header, body)
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		tb.Fatalf("%v: %s", err, body)
	}
	if p.Status != resp.StatusCode || p.Title == "" || p.Detail == "" || strings.ContainsAny(p.Detail, "\r\n") {
		tb.Errorf("odd problem: %+v", p)
	}
	return p
}

// raw sends bytes over a connection from inside (TLS if the port is 443) and gives the first n
// responses, fewer if the connection ends before.
func (w *world) raw(address, text string, n int) string {
	w.tb.Helper()
	var c net.Conn
	if host, ok := strings.CutSuffix(address, ":443"); ok {
		t, err := w.tlsDial(address, host, "http/1.1")
		if err != nil {
			w.tb.Fatal(err)
		}
		c = t
	} else {
		c = w.mustDial(address)
	}
	defer c.Close()
	io.WriteString(c, text)
	var out strings.Builder
	for rd := bufio.NewReader(c); n > 0; n-- {
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			break
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Fprintf(&out, "%d %s\n", resp.StatusCode, body)
		c.SetReadDeadline(time.Now().Add(3 * time.Second)) // the others come at once or not at all
	}
	return out.String()
}

// only checks that the upstream received exactly these requests.
func (w *world) only(want ...string) {
	w.tb.Helper()
	got := w.up.got()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.tb.Errorf("the upstream received %q, want %q", got, want)
	}
}

// denied waits until there is a record for which ok holds.
func (w *world) denied(what string, ok func(record.Decision) bool) record.Decision {
	w.tb.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		for _, d := range w.records.all() {
			if ok(d) {
				if d.Source != record.Egress || d.Function != "pay" || d.Instance != "i-1" || d.Time.IsZero() || d.Reason == "" {
					w.tb.Errorf("incomplete record: %+v", d)
				}
				return d
			}
		}
		if time.Now().After(end) {
			w.tb.Fatalf("no record of %s; there are %+v", what, w.records.all())
		}
	}
}

func kind(k string) func(record.Decision) bool {
	return func(d record.Decision) bool { return d.Kind == k }
}
