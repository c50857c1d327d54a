package egress

// This file exists because a refusal is read by programs and by people: one form for all of them.

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

const (
	problemType = "application/problem+json" // RFC 9457
	deniedCode  = "EWEIR"                    // of what Weir refused, not the upstream or the network
)

// problem is the body of a response that the egress itself gives.
type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"` // one line
	Code    string `json:"code,omitempty"`
	Tried   string `json:"tried,omitempty"`
	Nearest string `json:"nearest,omitempty"`
	Rule    string `json:"rule,omitempty"` // FILE:LINE of the nearest
	Fix     string `json:"fix,omitempty"`
}

// deniedHeader is in every response by which the egress refuses a request: the sandbox's mark, a space and
// the problem. By the mark the shim knows that the refusal is Weir's, and gives the caller an error that
// says so. Nothing outside knows the mark, and a response from there never keeps the header, so that no
// upstream can put words into Weir's mouth.
const deniedHeader = "Weir-Denied"

// header gives the value of deniedHeader, "" for what is no refusal.
func (p problem) header(mark string, encoded []byte) string {
	if p.Code != deniedCode {
		return ""
	}
	return mark + " " + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(encoded))
}

func (p problem) encode() []byte {
	p.Type, p.Title = "about:blank", http.StatusText(p.Status)
	b, err := json.Marshal(p)
	if err != nil {
		return []byte("{}") // strings and a number: can't fail
	}
	return b
}

// How much of a refused request's body is taken, so that a client that sends before it reads gets to
// see the response.
const (
	lingerBytes = 1 << 20
	lingerTime  = time.Second
)

// respond gives a problem as the response. The request's body is not waited for.
func respond(w http.ResponseWriter, r *http.Request, p problem) {
	body := p.encode()
	h := w.Header()
	clear(h)
	h.Set("Content-Type", problemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if denied := p.header(r.Context().Value(connKey{}).(*conn).sandbox.mark, body); denied != "" {
		h[deniedHeader] = []string{denied}
	}
	unread := r.ProtoMajor == 1 && r.ContentLength != 0
	if unread {
		h.Set("Connection", "close")
	}
	rc := http.NewResponseController(w)
	if r.ProtoMajor == 2 { // the client need not take it, and until then it would stay here
		rc.SetWriteDeadline(time.Now().Add(refusalTime))
		defer rc.Flush()
	}
	w.WriteHeader(p.Status)
	w.Write(body)
	if !unread {
		return
	}
	rc.Flush()
	rc.SetReadDeadline(time.Now().Add(lingerTime))
	if r.Header.Get("Expect") == "" { // else the body was never asked for
		io.CopyN(io.Discard, r.Body, lingerBytes)
	}
}

// refuse denies a request: a response and a record.
func (c *conn) refuse(w http.ResponseWriter, r *http.Request, status int, rec record.Decision) {
	c.write(rec)
	respond(w, r, problem{Status: status, Code: deniedCode, Tried: rec.Target, Nearest: rec.Nearest, Rule: rec.Rule, Fix: rec.Fix,
		Detail: rec.Target + " is refused: " + rec.Reason})
}

// deny refuses a request that is well-formed but not allowed by the policy.
func (c *conn) deny(w http.ResponseWriter, r *http.Request, req *policy.Request, d policy.Decision) {
	c.write(explained(recordOf(req), c.sandbox.function.engine.Explain(req, d)))
	c.tellDenial(w, r, req, d)
}

// tellDenial responds to a request that is denied by the policy, and recorded.
func (c *conn) tellDenial(w http.ResponseWriter, r *http.Request, req *policy.Request, d policy.Decision) {
	x := c.sandbox.function.engine.Explain(req, d)
	respond(w, r, problem{Status: http.StatusForbidden, Code: deniedCode, Detail: x.String(),
		Tried: x.Tried, Nearest: x.Nearest, Rule: x.Rule, Fix: x.Fix})
}

// recordOf begins the record of a well-formed request.
func recordOf(req *policy.Request) record.Decision {
	u := req.URL
	u.Query = "" // may hold secrets
	rec := record.Decision{Kind: "http", Method: req.Method, Target: shown(u.String())}
	if req.Kind == policy.WS {
		rec.Kind, rec.Method = "ws", ""
	}
	return rec
}
