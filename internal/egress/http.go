package egress

// This file exists because every HTTP request, whatever version and connection it came by, goes
// through one gate: read in one way only, to whom the connection was made, and decided by the policy.

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

func (c *conn) scheme() string {
	if c.secure {
		return "https"
	}
	return "http"
}

// handle serves one request.
func (e *Egress) handle(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	c.answering.Store(true)
	if r.ProtoMajor == 1 {
		// Or the server would read the rest of the request before it sends a response.
		http.NewResponseController(w).EnableFullDuplex()
	}
	if !c.sandbox.requests.tryTake() {
		c.tooMany(w, r)
		return
	}
	defer c.sandbox.requests.give()
	req, rejected := c.read(r)
	if rejected != nil {
		c.refuse(w, r, rejected.status, record.Decision{Kind: rejected.kind, Method: shown(r.Method), Target: c.target(r), Reason: rejected.reason})
		return
	}
	if status, reason := c.misdirected(r, &req); reason != "" {
		rec := recordOf(&req)
		rec.Reason = reason
		c.refuse(w, r, status, rec)
		return
	}
	budget, d := c.charge(&req, r.ContentLength, c.sandbox.function.engine.Decide(&req))
	if !d.Allow && !c.sandbox.function.monitor {
		c.deny(w, r, &req, d)
		return
	}
	c.told.Store(true)
	c.sandbox.passed(recordOf(&req), &req, d)
	if req.Kind == policy.WS {
		c.upgrade(w, r, &req, budget)
	} else {
		c.forward(w, r, &req, budget)
	}
}

// tooMany answers a request beyond those that a sandbox may have in flight. Answers take room, too:
// who doesn't take them is cut off.
func (c *conn) tooMany(w http.ResponseWriter, r *http.Request) {
	if !c.sandbox.refusals.tryTake() {
		panic(http.ErrAbortHandler)
	}
	defer c.sandbox.refusals.give()
	respond(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "this sandbox has too many requests in flight"})
}

// rejection is a request that is refused whatever the policy says.
type rejection struct {
	kind   string
	status int
	reason string
}

// read gives the request in canonical form.
func (c *conn) read(r *http.Request) (policy.Request, *rejection) {
	bad := func(kind, reason string) (policy.Request, *rejection) {
		return policy.Request{}, &rejection{kind, http.StatusBadRequest, reason}
	}
	switch {
	case r.Method == "TRACE" || r.Method == "TRACK":
		return policy.Request{}, &rejection{"http", http.StatusMethodNotAllowed,
			"TRACE shows what was sent, credentials included"}
	case r.Method == "PRI":
		return bad("http", "HTTP/2 without TLS is not supported")
	case r.ProtoMajor == 1 && !strings.HasPrefix(r.RequestURI, "/") && r.Method != "CONNECT":
		return bad("http", "the request target is not a path: this is no proxy")
	}
	if upgradesToWebSocket(r) {
		if !validHandshake(r) {
			return bad("ws", "the request is not a valid WebSocket handshake")
		}
		req, err := policy.NewWS(strings.Replace(c.scheme(), "http", "ws", 1), r.Host, r.RequestURI)
		if err != nil {
			return bad("ws", err.Error())
		}
		return req, nil
	}
	req, err := policy.NewHTTP(r.Method, c.scheme(), r.Host, r.RequestURI)
	if err != nil {
		return bad("http", err.Error())
	}
	return req, nil
}

// misdirected says why a request is not one for the host that the connection was made to.
func (c *conn) misdirected(r *http.Request, req *policy.Request) (status int, reason string) {
	if !slices.Contains(c.hosts, req.URL.Host) || req.URL.Port != c.port {
		return http.StatusMisdirectedRequest, "the request names " + req.URL.Authority() + ", but the connection was made to " + c.authority()
	}
	// HTTP/2 allows a Host header beside :authority. (In HTTP/1 the server has taken it away.)
	for _, h := range r.Header["Host"] {
		if h != r.Host {
			return http.StatusMisdirectedRequest, "the request names two hosts"
		}
	}
	return 0, ""
}

// target gives what was asked for, as far as a request that can't be read has it, without what may
// hold secrets: a query, a fragment, and user information wherever a client may have put it.
func (c *conn) target(r *http.Request) string {
	path := r.RequestURI
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	plain := strings.HasPrefix(path, "/")
	if !plain || strings.HasPrefix(path, "//") || strings.HasPrefix(path, `/\`) { // perhaps an authority
		path = path[strings.LastIndexByte(path, '@')+1:]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/ (" + path + ")"
	}
	return shown(c.scheme() + "://" + c.authority() + path)
}

// upgradesToWebSocket tells whether an HTTP/1.1 request asks to go on as a WebSocket and nothing
// else. Any other upgrade is not passed on, and the request is one like any other (RFC 9110, section
// 7.8: a server may ignore it).
func upgradesToWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoAtLeast(1, 1) &&
		len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket") &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade")
}

// validHandshake checks the client's half of RFC 6455, section 4.1.
func validHandshake(r *http.Request) bool {
	key, version := r.Header["Sec-Websocket-Key"], r.Header["Sec-Websocket-Version"]
	if r.Method != "GET" || r.ContentLength != 0 || len(version) != 1 || version[0] != "13" || len(key) != 1 {
		return false
	}
	nonce, err := base64.StdEncoding.DecodeString(key[0])
	return err == nil && len(nonce) == 16
}
