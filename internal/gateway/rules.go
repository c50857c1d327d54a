package gateway

// What a site's rules make of requests that are for no function's own path: redirects, rewrites, proxies, files.

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/weir-run/weir/internal/routing"
)

// page answers a request that no function asks for: by a forced rule, an existing file, another rule, or with the
// page that says that there is nothing.
func (g *gateway) page(w http.ResponseWriter, r *http.Request) {
	action, ok := g.rule(r)
	if !g.admitsRule(w, r, action) {
		return
	}
	if !action.Force && g.file(w, r, r.URL.EscapedPath(), http.StatusOK) {
		return
	}
	switch {
	case !ok || action.Kind == routing.NotFound:
		g.notFound(w, r)
	case action.Kind == routing.Redirect:
		redirect(w, r, action)
	case action.Kind == routing.Proxy:
		g.proxy(w, r, action)
	default:
		g.rewrite(w, r, action.Target, action.Status)
	}
}

// rule gives the rule for a request, if there is one.
func (g *gateway) rule(r *http.Request) (routing.Action, bool) {
	if g.Rules.Empty() {
		return routing.Action{}, false
	}
	c := g.clientOf(r)
	return g.Rules.Match(routing.Request{
		Scheme: c.scheme, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Language: language(r), Country: g.country(r, c),
		// As often as rules ask, of which there are many, and the client may send large ones.
		Cookies: sync.OnceValue(func() map[string]string { return cookies(r) }),
		Roles:   sync.OnceValue(func() []string { return g.Verifier.roles(cookie(r, "nf_jwt"), bearer(r)) }),
	})
}

// cookies gives the values of all cookies, the first of each name.
func cookies(r *http.Request) map[string]string {
	out := map[string]string{}
	for _, c := range r.Cookies() {
		if _, known := out[c.Name]; !known {
			out[c.Name] = c.Value
		}
	}
	return out
}

// redirect sends the client elsewhere.
func redirect(w http.ResponseWriter, r *http.Request, a routing.Action) {
	body := "Redirecting to " + a.Target
	h := w.Header()
	h.Set("Location", a.Target)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		io.WriteString(w, body)
	}
}

// rewrite answers with what is at another path: a function, or a file with a status. Rules are not asked again. A
// function sees the path that the client asked for, and the query of the target.
func (g *gateway) rewrite(w http.ResponseWriter, r *http.Request, target string, status int) {
	path, query, _ := strings.Cut(target, "?")
	if len(g.Rules.BasicAuth(r.URL.EscapedPath())) == 0 && !g.admits(w, r, path) {
		return
	}
	m, allowed := g.find(path, r.Method)
	switch {
	case m != nil:
		u := *r.URL
		u.RawQuery = query
		changed := *r
		changed.URL = &u
		g.call(w, &changed, m)
	case len(allowed) > 0:
		g.wrongMethod(w, r, allowed)
	case !g.file(w, r, path, status):
		g.notFound(w, r)
	}
}

// admits tells whether a request has the name and password that the site asks for at a path, and asks for them if
// not.
func (g *gateway) admits(w http.ResponseWriter, r *http.Request, escaped string) bool {
	wanted := g.Rules.BasicAuth(escaped)
	if len(wanted) == 0 {
		return true
	}
	name, password, _ := r.BasicAuth()
	got := sha256.Sum256([]byte(name + ":" + password))
	ok := 0
	for _, want := range wanted {
		sum := sha256.Sum256([]byte(want))
		ok |= subtle.ConstantTimeCompare(got[:], sum[:])
	}
	if ok == 1 {
		r.Header.Del("Authorization") // no function and no upstream needs to know it
		return true
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="this site", charset="UTF-8"`)
	problem(w, http.StatusUnauthorized, "this page asks for a name and a password", "")
	return false
}
