// Package gateway is the public HTTP side: it makes Netlify v1 events of requests and HTTP answers of
// results, serves the AWS Lambda Invoke API and the site's static files. It reaches functions only
// through its Invoker and must not know how they are run.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/weir"
)

const (
	functionsPath = "/.netlify/functions/"
	lambdaPath    = "/2015-03-31/functions/"
	// maxBody bounds what is read of the body of any request, whatever a function's limit says.
	maxBody = 64 << 20
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
	AllowHost func(host string) bool // tells whether a Host header names this server
	Verifier  *IdentityVerifier      // nil: no token of a caller counts
	Logger    *slog.Logger
}

type gateway struct {
	Options
	static http.Handler
}

// New makes the handler of a site.
func New(o Options) http.Handler {
	return &gateway{Options: o, static: newStatic(o.Publish)}
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.AllowHost(r.Host) {
		problem(w, http.StatusMisdirectedRequest, "this server does not answer for "+printable(r.Host),
			"call it by localhost or 127.0.0.1")
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, lambdaPath):
		g.lambda(w, r)
	case strings.HasPrefix(r.URL.Path, functionsPath):
		g.function(w, r)
	default:
		g.static.ServeHTTP(w, r)
	}
}

// function serves /.netlify/functions/NAME and what lies below it.
func (g *gateway) function(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, functionsPath), "/")
	id := ulid.Make().String()
	w.Header().Set("X-Nf-Request-Id", id)
	limits, err := g.Functions.Lookup(name)
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	body, err := readBody(w, r, limits.Request, name)
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	event, err := newEvent(r, body, id)
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	if size := int64(len(event.body)); size > limits.Request {
		g.fail(w, id, name, requestTooLarge(name, limits.Request))
		return
	}
	res, err := g.Functions.Invoke(r.Context(), weir.Invocation{ID: id, Function: name, Event: event.json(),
		ClientContext: g.clientContext(r)})
	if err == nil {
		res, err = res.Whole()
	}
	if weir.ErrorCode(err) == weir.TooLarge { // the answer, not the request
		message, remedy := messageOf(err)
		err = &weir.Error{Code: weir.Crashed, Message: message, Remedy: remedy}
	}
	if err != nil {
		g.fail(w, id, name, err)
		return
	}
	if res.Error != nil {
		g.thrown(w, id, name, res.Error)
		return
	}
	if err := writeResult(w, r, res.Payload, limits.Response, name); err != nil {
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
	status := Status(weir.ErrorCode(err))
	if status >= 500 {
		g.Logger.Error("no answer", "function", name, "request", id, "error", err)
	}
	message, remedy := messageOf(err)
	mayRetry(w, err)
	problem(w, status, message, remedy)
}

// readBody reads the body, no more than the limit.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, name string) ([]byte, error) {
	limit = min(limit, maxBody)
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close")
		return nil, requestTooLarge(name, limit)
	}
	return readAll(http.MaxBytesReader(w, r.Body, limit), r.ContentLength, name, limit)
}

func requestTooLarge(name string, limit int64) error {
	return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("the request to %s is larger than %d bytes", name, limit),
		Remedy: "send less, or raise limits.request (binary bodies grow by a third when they become base64)"}
}
