package egress

// This file exists because the outer end has parts that all sandboxes share: the TLS configuration
// (or sessions would never resume), the HTTP servers, and what an operator set.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// Options configure an Egress.
type Options struct {
	Resolve      []Override       // where to dial instead of resolving
	UpstreamCAs  []byte           // PEM certificates to trust besides the system's
	Resolvers    []netip.AddrPort // DNS servers for what dns rules allow; nil: those of /etc/resolv.conf
	AllowPrivate bool             // rules that name a host lead to private addresses too
	Logger       *slog.Logger     // nil: none
}

// Egress is the way out for all sandboxes of one server. It is safe for concurrent use.
type Egress struct {
	overrides []Override       // most specific first
	resolvers []netip.AddrPort // nil: the machine's
	private   bool
	logger    *slog.Logger
	lookup    func(ctx context.Context, host string) ([]netip.Addr, error)
	roots     *x509.CertPool // what upstreams are verified against
	rootsPEM  []byte
	leaf      *ecdsa.PrivateKey // of all certificates that sandboxes see
	tls       *tls.Config       // towards the sandboxes
	stranger  *tls.Config       // … for a handshake that names the wrong host
	http1     *connQueue
	http2     *connQueue
	servers   []*http.Server

	mu        sync.Mutex
	functions map[*Function]struct{}
}

// New makes an Egress. The error is a *weir.Error if UpstreamCAs holds no certificate.
func New(o Options) (*Egress, error) {
	e := &Egress{
		overrides: sortOverrides(o.Resolve),
		resolvers: o.Resolvers,
		private:   o.AllowPrivate,
		logger:    o.Logger,
		lookup:    lookup,
		rootsPEM:  slices.Concat(systemRoots(), []byte("\n"), o.UpstreamCAs),
		functions: map[*Function]struct{}{},
	}
	if e.logger == nil {
		e.logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if e.roots, err = x509.SystemCertPool(); err != nil {
		e.roots = x509.NewCertPool() // fails closed: nothing is trusted but what was given
	}
	if len(o.UpstreamCAs) > 0 && !e.roots.AppendCertsFromPEM(o.UpstreamCAs) {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the certificates to trust upstream hold no PEM certificate",
			Remedy: "give a file with -----BEGIN CERTIFICATE----- blocks"}
	}
	if e.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	e.configureTLS()
	e.startServers()
	return e, nil
}

// Close ends every sandbox's connections that HTTP requests came on, and the pools of all functions.
func (e *Egress) Close() {
	for _, s := range e.servers {
		s.Close()
	}
	e.mu.Lock()
	list := e.functions
	e.functions = map[*Function]struct{}{}
	e.mu.Unlock()
	for f := range list {
		f.closeIdle()
	}
}

type nobody struct{}

func (nobody) Decided(record.Decision)   {}
func (nobody) Invoked(record.Invocation) {}

// Limits of the connections to upstreams.
const (
	upstreamIdle       = 60 * time.Second // shorter than the idle time of most servers
	upstreamIdleConns  = 256              // of one function
	upstreamIdleHost   = 64               // of one function to one host
	upstreamHeaderSize = 256 << 10        // bytes of a response's header
	continueTime       = time.Second      // to wait for an upstream's 100 (RFC 9110, section 10.1.1)
	streamWindow       = 256 << 10        // bytes of an HTTP/2 stream on their way or not yet taken
	transportBuffer    = 16 << 10         // bytes of a connection's buffers; bodies go round them
)

// Function is the outer end of one function's sandboxes. Its connections to upstreams are shared by
// its instances and by nobody else.
type Function struct {
	egress   *Egress
	name     string
	engine   *policy.Engine
	recorder record.Recorder
	pinned   map[string]bool // names that rules name exactly
	ports    []uint16        // ports that http, ws and tcp rules name
	udpPorts []uint16        // … udp rules
	ownTLS   bool            // programs may do TLS of their own with the outside
	monitor  bool            // what no rule allows is recorded and let through
	pins     pins
	meters   meters                               // of budgets for a minute
	places   slots                                // connections to upstreams
	texts    []atomic.Pointer[policy.Explanation] // of what each rule allowed, made when it first does
	// A request leaves by the protocol that it came by: what one version can say and the other
	// can't never has to be translated. WebSockets need HTTP/1.1.
	idle  upstreamPool    // for most requests by HTTP/1
	http1 *http.Transport // for the others
	http2 *http.Transport // or HTTP/1.1, as the upstream chooses
}

// Function makes the outer end of a function that eng decides for. r takes the decisions; nil: nobody does.
func (e *Egress) Function(name string, eng *policy.Engine, r record.Recorder) *Function {
	if r == nil {
		r = nobody{}
	}
	f := &Function{egress: e, name: name, engine: eng, recorder: r, pinned: map[string]bool{}, ports: eng.Ports(), udpPorts: eng.UDPPorts(), places: newPlaces(),
		texts: make([]atomic.Pointer[policy.Explanation], len(eng.Policy().Rules))}
	for _, h := range eng.Hosts() {
		f.pinned[h] = true
	}
	f.monitor = eng.Policy().Mode == policy.Monitor
	f.ownTLS = f.monitor || slices.ContainsFunc(eng.Policy().Rules, func(r policy.Rule) bool { return r.Kind == policy.TCP })
	f.http1, f.http2 = f.transport(), f.transport("h2", "http/1.1")
	e.mu.Lock()
	e.functions[f] = struct{}{}
	e.mu.Unlock()
	return f
}

// OwnTLS tells whether the function's programs may do TLS of their own with the outside: it has a tcp rule
// or is monitored.
func (f *Function) OwnTLS() bool { return f.ownTLS }

// transport makes a pool of connections, whose TLS offers these protocols. It follows no redirect,
// keeps no cookie, uses no proxy and adds no header.
func (f *Function) transport(offer ...string) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(len(offer) > 0)
	return &http.Transport{
		Proxy:       nil,
		DialContext: f.dial,
		DialTLSContext: f.tlsDialer(&tls.Config{RootCAs: f.egress.roots, MinVersion: tls.VersionTLS12,
			NextProtos: offer, ClientSessionCache: tls.NewLRUClientSessionCache(64)}),
		Protocols:              protocols,
		HTTP2:                  http2Bounds(),
		DisableCompression:     true,
		MaxIdleConns:           upstreamIdleConns,
		MaxIdleConnsPerHost:    upstreamIdleHost,
		IdleConnTimeout:        upstreamIdle,
		ExpectContinueTimeout:  continueTime,
		MaxResponseHeaderBytes: upstreamHeaderSize,
		ReadBufferSize:         transportBuffer,
		WriteBufferSize:        transportBuffer,
	}
}

// http2Bounds bounds what an upstream may have sent that nobody has taken, and tells one that is gone.
func http2Bounds() *http.HTTP2Config {
	return &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, SendPingTimeout: 30 * time.Second}
}

// Close ends the pool of the function; requests in flight finish. Its sandboxes are closed by
// whoever made them.
func (f *Function) Close() {
	f.egress.mu.Lock()
	delete(f.egress.functions, f)
	f.egress.mu.Unlock()
	f.closeIdle()
}

// closeIdle ends the idle connections to upstreams. Nobody waits for that: the end of TLS is said to each, and one
// that takes nothing has seconds for it.
func (f *Function) closeIdle() {
	go func() {
		f.idle.close()
		f.http1.CloseIdleConnections()
		f.http2.CloseIdleConnections()
	}()
}

// closeWriter is a connection that can end one direction.
type closeWriter interface{ CloseWrite() error }

func closeWrite(c net.Conn) {
	if w, ok := c.(closeWriter); ok {
		w.CloseWrite()
	}
}
