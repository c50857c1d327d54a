// Package gateway is the public HTTP side: it makes Netlify v1 events of requests and HTTP answers of
// results, serves the AWS Lambda Invoke API and the site's static files. It reaches functions only
// through its Invoker and must not know how they are run.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

const (
	functionsPath = "/.netlify/functions/"
	// maxLogged bounds what is logged of the message of an error, in bytes: the function chooses it.
	maxLogged = 1 << 10
)

// Invoker runs functions by name. Errors are *weir.Error; NotFound if there is no such function.
// It is called from many goroutines at once. The context ends when the caller hangs up: an invocation that
// waits for its turn is given up then; one that has begun is carried out, as on Lambda.
type Invoker interface {
	Invoke(context.Context, weir.Invocation) (weir.Result, error)
	Lookup(name string) (weir.Limits, error)
}

// Options says what a gateway serves.
type Options struct {
	Files     Files          // static files; nil: none
	Rules     *routing.Rules // redirects, rewrites, proxies and headers; nil: none
	Functions Invoker
	// Accept takes what background functions are called with; nil: they can't be called.
	Accept Accepter
	// TrySchedules runs a scheduled function whenever its URL is asked for. Otherwise it has none.
	TrySchedules bool
	Configs      map[string]weir.FunctionConfig // by function; one that is not there says nothing of itself
	AllowHost    func(host string) bool         // tells whether a Host header names this server
	Headers      map[string]string              // what every function is told of the site and its deploy, by names in lower case (x-nf-…)
	Verifier     *IdentityVerifier              // nil: no token of a caller counts
	Logger       *slog.Logger
	// Lambda serves the AWS Lambda Invoke API: whoever reaches the gateway can call any function with any event.
	Lambda bool
	// Proxy carries requests that rules send to other servers: it decides which addresses may be reached, and follows
	// no redirects. Nil: such rules are answered by 502.
	Proxy http.RoundTripper
	// Signer signs requests that rules want to be signed. Nil: such rules are answered by 502.
	Signer *Signer
	// Tunnels are places for WebSockets to other servers. Nil: this gateway has some of its own. They end when Ending does;
	// nil: never.
	Tunnels *Tunnels
	Ending  context.Context
	// TrustedProxies stand in front of this server, and what they say of a client counts: X-Forwarded-For,
	// X-Forwarded-Proto, and where it is in CountryHeader ("": none).
	TrustedProxies []netip.Prefix
	CountryHeader  string
	Compressed     *Compressed // nil: this gateway keeps its own
	Bodies         *Room       // likewise, made by NewBodies

	patience time.Duration // with slow clients; 0: the constant of that name
	clock    func() time.Time
}

type gateway struct {
	Options
	routes     *routes
	limits     limiters
	ruleLimits map[*weir.RateLimit]*limiter
	proxyLog   *log.Logger
}

// New makes the handler of a site.
func New(o Options) http.Handler {
	o.patience = cmp.Or(o.patience, patience)
	if o.clock == nil {
		o.clock = time.Now
	}
	if o.Bodies == nil {
		o.Bodies = NewBodies(bodiesBytes)
	}
	if o.Compressed == nil {
		o.Compressed = NewCompressed(compressedBytes)
	}
	if o.Tunnels == nil {
		o.Tunnels = NewTunnels(tunnelPlaces)
	}
	if o.Ending == nil {
		o.Ending = context.Background()
	}
	return &gateway{Options: o, routes: newRoutes(o.Configs), limits: newLimiters(o.Configs), ruleLimits: newRuleLimiters(o.Rules),
		proxyLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug)}
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer pace(w, r, g.patience)()
	if b, ok := r.Body.(*pacedBody); ok {
		b.room, b.client = g.Bodies, g.roomFor(r)
		defer b.giveBack()
	}
	if mayHideAnother(r) {
		w.Header().Set("Connection", "close")
	}
	if !httpguts.ValidHeaderFieldName(r.Method) { // by HTTP/2 it may be anything
		g.refuse(w, http.StatusBadRequest, "", "there is no method "+printable(r.Method), "")
		return
	}
	if !g.AllowHost(r.Host) {
		g.refuse(w, http.StatusMisdirectedRequest, "", "this server does not answer for "+printable(r.Host),
			"call it by localhost or 127.0.0.1")
		return
	}
	switch {
	case g.Lambda && (strings.HasPrefix(r.URL.Path, lambdaPath) || strings.HasPrefix(r.URL.Path, lambdaStreamPath)):
		g.lambda(w, r)
	case g.admits(w, r, r.URL.EscapedPath()):
		g.site(w, r)
	}
}

// mayHideAnother tells whether a proxy in front may have taken what follows a request for a part of it, or the other way
// round: by HTTP/1.0, which knows no Transfer-Encoding, and where a Content-Length may have stood beside one, which
// net/http takes out (RFC 9112, section 6.3).
func mayHideAnother(r *http.Request) bool {
	return !r.ProtoAtLeast(1, 1) || r.ProtoMajor == 1 && len(r.TransferEncoding) > 0
}

// site serves functions, and what the site's rules say of all else.
func (g *gateway) site(w http.ResponseWriter, r *http.Request) {
	m, allowed := g.find(r.URL.EscapedPath(), r.Method)
	switch {
	case m != nil && m.preferStatic && g.file(w, r, r.URL.EscapedPath(), http.StatusOK):
	case m != nil:
		g.call(w, r, m)
	case len(allowed) > 0:
		g.wrongMethod(w, r, allowed)
	case strings.HasPrefix(r.URL.Path, functionsPath):
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, functionsPath), "/")
		g.refuse(w, http.StatusNotFound, name, "the function "+printable(name)+" has no default URL", "call it by the path that its config names")
	default:
		g.page(w, r)
	}
}

func (g *gateway) wrongMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	g.refuse(w, http.StatusMethodNotAllowed, "", "no function has the method "+printable(r.Method)+" at "+printable(r.URL.Path), "")
}

// call gives a request to a function, by its kind.
func (g *gateway) call(w http.ResponseWriter, r *http.Request, m *matched) {
	if !g.admitsCall(w, r, m.name) {
		return
	}
	id := ulid.Make().String()
	w.Header()["X-Nf-Request-Id"] = []string{id} // canonical already
	switch c := g.Configs[m.name]; {
	case c.Schedule != "":
		g.scheduled(w, r, m, id)
	case c.Background:
		g.background(w, r, m, id)
	default:
		g.function(w, r, m, id)
	}
}

// function serves a request for a function that answers.
func (g *gateway) function(w http.ResponseWriter, r *http.Request, m *matched, id string) {
	name := m.name
	limits, err := g.Functions.Lookup(name)
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	whole, flowing, err := g.requestBody(w, r, limits.Request, name)
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	defer flowing.close()
	inv, err := g.invocation(r, m, whole, id, limits)
	if err != nil {
		flowing.settle(w)
		g.fail(w, id, name, err)
		return
	}
	if flowing != nil {
		inv.Body = flowing
	}
	start := time.Now()
	res, err := g.Functions.Invoke(r.Context(), inv)
	giveBack(r)
	flowing.settle(w)
	fault := flowing.fault()
	switch {
	case fault != nil: // whatever the function made of that
		if res.Stream != nil {
			res.Stream.Body.Close()
		}
		err = fault
	case weir.ErrorCode(err) == weir.TooLarge: // the answer, not the request
		message, remedy := messageOf(err)
		err = &weir.Error{Code: weir.Crashed, Message: message, Remedy: remedy}
	case err != nil:
	case res.Error != nil:
		g.thrown(w, id, name, res.Error)
	case res.Stream != nil:
		err = g.writeStream(w, r, res.Stream, name, id, start.Add(limits.Timeout))
		if fault := flowing.fault(); fault != nil { // it came after the answer had begun
			g.cutOff(name, id, fault)
			panic(http.ErrAbortHandler)
		}
	default:
		err = g.writeResult(w, r, res.Payload, limits.Response, name)
	}
	if err != nil {
		g.fail(w, id, name, err)
	}
}

// invocation makes the call of a function by a request whose body has been read, or flows.
func (g *gateway) invocation(r *http.Request, m *matched, body []byte, id string, limits weir.Limits) (weir.Invocation, error) {
	client := g.clientOf(r)
	inv := weir.Invocation{ID: id, Function: m.name, ClientContext: g.clientContext(r, client.scheme)}
	e, err := newEvent(r, body, id, client, g.Headers)
	if err != nil {
		return inv, err
	}
	if size := int64(len(e.body)); size > limits.Request {
		return inv, requestTooLarge(m.name, limits.Request)
	}
	e.route, e.params = m.pattern, m.params
	if inv.ClientContext != nil {
		if info, err := identityInfo(inv.ClientContext); err == nil {
			e.headers["x-nf-identity-info"] = []string{info}
		}
	}
	inv.Event = e.json()
	return inv, nil
}

func (g *gateway) clientContext(r *http.Request, scheme string) []byte {
	token := bearer(r)
	if g.Verifier == nil || token == "" {
		return nil
	}
	return g.Verifier.clientContext(token, scheme+"://"+r.Host)
}

// bearer gives the token of a request, "" if there is none.
func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

// thrown answers with the error that the handler threw: its type and message, as Netlify does. The
// stack is for the log.
func (g *gateway) thrown(w http.ResponseWriter, id, name string, e *weir.FunctionError) {
	g.logThrown(id, name, e)
	writeJSON(w, http.StatusInternalServerError, map[string]string{"errorType": e.Type, "errorMessage": e.Message})
}

func (g *gateway) logThrown(id, name string, e *weir.FunctionError) {
	logged := e.Error()
	if len(logged) > maxLogged {
		logged = weir.Cut(logged, maxLogged) + "…"
	}
	g.Logger.Error("the function threw", "function", name, "request", id, "error", logged,
		"trace", strings.Join(e.Trace, "\n"))
}

// fail answers with an error of Weir's own.
func (g *gateway) fail(w http.ResponseWriter, id, name string, err error) {
	g.logRefusal(weir.ErrorCode(err).Status(), name, id, err)
	Fail(w, err)
}

// refuse answers a request that is none for a function.
func (g *gateway) refuse(w http.ResponseWriter, status int, name, message, remedy string) {
	g.logRefusal(status, name, "", errors.New(message))
	problem(w, status, message, remedy)
}

// logRefusal logs an answer that is not the function's. What the client did wrong is no error of the server's.
func (g *gateway) logRefusal(status int, name, id string, err error) {
	level := slog.LevelError
	if status < 500 {
		level = slog.LevelWarn
	}
	g.Logger.Log(context.Background(), level, "no answer", "function", printable(name), "request", id, "status", status, "error", err)
}
