package gateway

// Rules that answer with what another server says. The request goes out through a RoundTripper that decides which
// addresses may be reached, and what the other server answers is passed on as it is: redirects are the client's to
// follow.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

const (
	// proxyHead is how long an upstream may take until its answer begins, as on Netlify; proxyPause is how long it may
	// pause in the midst of it.
	proxyHead  = 26 * time.Second
	proxyPause = 30 * time.Second
	// maxLoops is how often a request may come by here: rules that lead to each other would send it round for ever.
	maxLoops = 3
	// loopName is what this server calls itself in the header CDN-Loop (RFC 8586).
	loopName = "weir"
)

func (g *gateway) proxy(w http.ResponseWriter, r *http.Request, a routing.Action) {
	to, err := url.Parse(a.Target)
	switch {
	case err != nil:
		problem(w, http.StatusBadRequest, "the URL that a rule of the site leads to can't be read", "")
		return
	case g.Proxy == nil:
		problem(w, http.StatusBadGateway, "this server passes no requests on to "+printable(to.Host), "")
		return
	case loops(r) >= maxLoops:
		g.refuse(w, http.StatusLoopDetected, "", "the site's rules lead to each other: this request has come by "+loopName+" several times", "")
		return
	}
	more, err := g.signed(a)
	if err != nil {
		g.Logger.Error("a request to an upstream can't be signed", "host", printable(to.Host), "error", err)
		problem(w, http.StatusBadGateway, "the request to "+printable(to.Host)+" can't be signed", "")
		return
	}
	if !wantsWebSocket(r) {
		paced := g.pacedAnswer(w)
		defer paced.end()
		g.carry(paced, r, to, more, nil)
		return
	}
	site, client := g.Headers["x-nf-site-id"], g.roomFor(r)
	if !g.Tunnels.take(site, client) {
		Fail(w, errNoTunnel)
		return
	}
	defer g.Tunnels.give(site, client)
	socket := &tunnel{pacedAnswer: g.pacedAnswer(w), ends: []context.Context{r.Context(), g.Ending}}
	defer socket.close()
	g.carry(socket, r, to, more, socket)
}

// signed gives the headers that a rule sends to its upstream, its signature included. The error is a *weir.Error.
func (g *gateway) signed(a routing.Action) (map[string]string, error) {
	if a.Sign == "" {
		return a.Headers, nil
	}
	signature, err := g.Signer.sign(a.Sign, g.clock())
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, value := range a.Headers {
		out[http.CanonicalHeaderKey(name)] = value
	}
	out[signHeader] = signature
	return out, nil
}

// carry carries a request to an upstream and its answer back; socket is what becomes of it if both switch to WebSocket,
// nil if they mustn't.
func (g *gateway) carry(w http.ResponseWriter, r *http.Request, to *url.URL, more map[string]string, socket *tunnel) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	late := time.AfterFunc(proxyHead, func() { cancel(errSlowUpstream) })
	defer late.Stop()
	client := g.clientOf(r)
	reverse := httputil.ReverseProxy{
		Transport:     g.Proxy,
		FlushInterval: -1,
		Rewrite:       func(p *httputil.ProxyRequest) { g.outgoing(p, to, client, more, socket != nil) },
		ModifyResponse: func(res *http.Response) error {
			late.Stop()
			switch {
			case res.StatusCode == http.StatusSwitchingProtocols:
				return socket.agree(r, res)
			case res.StatusCode < http.StatusOK:
				return fmt.Errorf("the upstream gives no answer but the status %d", res.StatusCode)
			}
			res.Body = &pausingBody{res.Body, time.AfterFunc(proxyPause, func() { cancel(errSlowUpstream) })}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			g.noUpstream(w, to.Host, errors.Join(err, context.Cause(ctx)))
		},
		ErrorLog: g.proxyLog,
	}
	reverse.ServeHTTP(w, r.WithContext(ctx))
}

var errSlowUpstream = &weir.Error{Code: weir.TimedOut, Message: "the upstream took too long"}

// outgoing makes the request to an upstream: that of the client, without what ends here and without what only this
// server may say.
func (g *gateway) outgoing(p *httputil.ProxyRequest, to *url.URL, c client, more map[string]string, upgrade bool) {
	out := p.Out
	out.URL, out.Host = to, to.Host
	for name := range out.Header {
		if notOfClients(name, c.behind) {
			delete(out.Header, name)
		}
	}
	if !upgrade { // no other protocol is carried
		out.Header.Del("Upgrade")
		out.Header.Del("Connection")
	}
	for name, value := range more {
		out.Header.Set(name, value)
	}
	out.Header["X-Forwarded-For"] = nil
	if c.behind {
		out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	}
	p.SetXForwarded()
	out.Header.Set("X-Forwarded-Proto", c.scheme)
	out.Header.Set("X-Nf-Client-Connection-Ip", c.addr)
	out.Header.Set("X-Nf-Request-Id", ulid.Make().String())
	out.Header.Add("Cdn-Loop", loopName)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // none of net/http's own
	}
}

// notOfClients tells whether a header says to an upstream what only this server may, or a proxy that it trusts. Many
// upstreams take "_" for "-" (RFC 3875, section 4.1.18).
func notOfClients(name string, behind bool) bool {
	name = strings.ToLower(name)
	read := strings.ReplaceAll(name, "_", "-")
	return strings.HasPrefix(read, "x-nf-") || read == "x-forwarded-for" || ofProxies(read) && (!behind || read != name)
}

// loops counts how often a request has come by.
func loops(r *http.Request) int {
	n := 0
	for item := range strings.SplitSeq(strings.Join(r.Header.Values("Cdn-Loop"), ","), ",") {
		if name, _, _ := strings.Cut(item, ";"); strings.EqualFold(strings.TrimSpace(name), loopName) {
			n++
		}
	}
	return n
}

// noUpstream answers for an upstream that can't. What the network said is for the log.
func (g *gateway) noUpstream(w http.ResponseWriter, host string, err error) {
	status, message := http.StatusBadGateway, printable(host)+" can't be reached"
	if weir.ErrorCode(err) == weir.TimedOut {
		status, message = http.StatusGatewayTimeout, printable(host)+" took too long to answer"
	}
	g.Logger.Warn("no answer from an upstream", "host", printable(host), "status", status, "error", err)
	problem(w, status, message, "")
}

// pausingBody is an upstream's answer that may not pause for long.
type pausingBody struct {
	io.ReadCloser
	late *time.Timer
}

// Read is io.Reader's.
func (b *pausingBody) Read(p []byte) (int, error) {
	b.late.Reset(proxyPause)
	n, err := b.ReadCloser.Read(p)
	b.late.Reset(proxyPause) // what follows is the client's time, which has bounds of its own
	return n, err
}

// Close is io.Closer's.
func (b *pausingBody) Close() error {
	b.late.Stop()
	return b.ReadCloser.Close()
}
