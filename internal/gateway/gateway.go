// Package gateway is the public HTTP side: it makes Netlify v1 events of requests and HTTP answers of
// results, serves the AWS Lambda Invoke API and the site's static files. It reaches functions only
// through its Invoker and must not know how they are run.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

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
	Publish   string // folder of static files; "": none
	Functions Invoker
	Configs   map[string]weir.FunctionConfig // by function; one that is not there says nothing of itself
	AllowHost func(host string) bool         // tells whether a Host header names this server
	Headers   map[string]string              // what every function is told of the site and its deploy, by names in lower case (x-nf-…)
	Verifier  *IdentityVerifier              // nil: no token of a caller counts
	Logger    *slog.Logger

	patience time.Duration // with slow clients; 0: the constant of that name
}

type gateway struct {
	Options
	static static
	routes *routes
}

// New makes the handler of a site.
func New(o Options) http.Handler {
	o.patience = cmp.Or(o.patience, patience)
	return &gateway{Options: o, static: static{o.Publish}, routes: newRoutes(o.Configs)}
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
	case strings.HasPrefix(r.URL.Path, lambdaPath), strings.HasPrefix(r.URL.Path, lambdaStreamPath):
		g.lambda(w, r)
	default:
		g.site(w, r)
	}
}

// site serves functions and static files.
func (g *gateway) site(w http.ResponseWriter, r *http.Request) {
	m, allowed := g.find(r)
	switch {
	case m != nil && m.preferStatic && g.static.serves(w, r):
	case m != nil:
		g.function(w, r, m)
	case len(allowed) > 0:
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		g.refuse(w, http.StatusMethodNotAllowed, "", "no function has the method "+printable(r.Method)+" at "+printable(r.URL.Path), "")
	case strings.HasPrefix(r.URL.Path, functionsPath):
		name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, functionsPath), "/")
		g.refuse(w, http.StatusNotFound, name, "the function "+printable(name)+" has no default URL", "call it by the path that its config names")
	default:
		g.static.ServeHTTP(w, r)
	}
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
	event, err := newEvent(r, whole, id, g.Headers)
	if err != nil {
		flowing.settle(w)
		g.fail(w, id, name, err)
		return
	}
	event.route, event.params = m.pattern, m.params
	if size := int64(len(event.body)); size > limits.Request {
		g.fail(w, id, name, requestTooLarge(name, limits.Request))
		return
	}
	inv := weir.Invocation{ID: id, Function: name, Event: event.json(), ClientContext: g.clientContext(r)}
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

func (g *gateway) clientContext(r *http.Request) []byte {
	if g.Verifier == nil {
		return nil
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil
	}
	return g.Verifier.clientContext(token, "http://"+r.Host)
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
	g.logRefusal(Status(weir.ErrorCode(err)), name, id, err)
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
