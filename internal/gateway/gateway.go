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
	Configs   map[string]weir.FunctionConfig // by function; one that is not there says nothing of itself
	AllowHost func(host string) bool         // tells whether a Host header names this server
	Headers   map[string]string              // what every function is told of the site and its deploy, by names in lower case (x-nf-…)
	Verifier  *IdentityVerifier              // nil: no token of a caller counts
	Logger    *slog.Logger
	// Lambda serves the AWS Lambda Invoke API: whoever reaches the gateway can call any function with any event.
	Lambda bool
	// Accept takes an event for a background function and keeps it until it has run; nil: there are none. Its error
	// is a *weir.Error.
	Accept func(context.Context, weir.Invocation) error
	// Proxy carries requests that rules send to other servers: it decides which addresses may be reached, and follows
	// no redirects. Nil: such rules are answered by 502.
	Proxy http.RoundTripper
	// TrustedProxies stand in front of this server, and what they say of a client counts: X-Forwarded-For,
	// X-Forwarded-Proto, and where it is in CountryHeader ("": none).
	TrustedProxies []netip.Prefix
	CountryHeader  string
	Compressed     *Compressed // nil: this gateway keeps its own

	patience time.Duration // with slow clients; 0: the constant of that name
	clock    func() time.Time
}

type gateway struct {
	Options
	routes   *routes
	limits   limiters
	proxyLog *log.Logger
}

// New makes the handler of a site.
func New(o Options) http.Handler {
	o.patience = cmp.Or(o.patience, patience)
	if o.clock == nil {
		o.clock = time.Now
	}
	if o.Compressed == nil {
		o.Compressed = NewCompressed(compressedBytes)
	}
	return &gateway{Options: o, routes: newRoutes(o.Configs), limits: newLimiters(o.Configs),
		proxyLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug)}
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		r.Body = newPacedBody(w, r, g.patience)
	}
	if !g.AllowHost(r.Host) {
		g.refuse(w, http.StatusMisdirectedRequest, "", "this server does not answer for "+printable(r.Host),
			"call it by localhost or 127.0.0.1")
		return
	}
	switch {
	case g.Lambda && (strings.HasPrefix(r.URL.Path, lambdaPath) || strings.HasPrefix(r.URL.Path, lambdaStreamPath)):
		g.lambda(w, r)
	case g.admits(w, r):
		g.site(w, r)
	}
}

// site serves functions, and what the site's rules say of all else.
func (g *gateway) site(w http.ResponseWriter, r *http.Request) {
	m, allowed := g.find(r.URL.EscapedPath(), r.Method)
	switch {
	case m != nil && m.preferStatic && g.file(w, r, r.URL.EscapedPath(), http.StatusOK):
	case m != nil:
		if g.admitsCall(w, r, m.name) {
			g.function(w, r, m)
		}
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

// function serves a request for a function.
func (g *gateway) function(w http.ResponseWriter, r *http.Request, m *matched) {
	name, id := m.name, ulid.Make().String()
	w.Header()["X-Nf-Request-Id"] = []string{id} // canonical already
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
	if g.Configs[name].Background {
		g.accept(w, r, inv)
		return
	}
	if flowing != nil {
		inv.Body = flowing
	}
	start := time.Now()
	res, err := g.Functions.Invoke(r.Context(), inv)
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
	event, err := newEvent(r, body, id, client, g.Headers)
	if err != nil {
		return weir.Invocation{}, err
	}
	event.route, event.params = m.pattern, m.params
	if size := int64(len(event.body)); size > limits.Request {
		return weir.Invocation{}, requestTooLarge(m.name, limits.Request)
	}
	return weir.Invocation{ID: id, Function: m.name, Event: event.json(), ClientContext: g.clientContext(r, client.scheme)}, nil
}

// accept answers for a background function as soon as its call is kept.
func (g *gateway) accept(w http.ResponseWriter, r *http.Request, inv weir.Invocation) {
	err := error(&weir.Error{Code: weir.Unavailable, Message: inv.Function + " is a background function, and this server keeps no calls", Remedy: "deploy it to weir serve"})
	if g.Accept != nil {
		err = g.Accept(r.Context(), inv)
	}
	if err != nil {
		g.fail(w, inv.ID, inv.Function, err)
		return
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
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
	status := Status(weir.ErrorCode(err))
	g.logRefusal(status, name, id, err)
	message, remedy := messageOf(err)
	mayRetry(w, err)
	problem(w, status, message, remedy)
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
