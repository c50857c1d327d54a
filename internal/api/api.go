package api

// The handler: from a request to the route that it asks for, to its author, to whether they may, to the answer.

import (
	"encoding/json"
	"log/slog"
	"math"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

// Prefix is where the API lies.
const Prefix = "/api/v1"

// Options are what an API is made of. All but Logs, Hosts, Account, ClientAddr and Leaving are needed.
type Options struct {
	Sites   Sites
	Deploys Deploys
	Access  Access
	Journal Journal
	Environ Environ
	Jobs    Jobs
	Logs    Logs // nil: no logs are kept

	SiteURL   func(weir.Site) string              // where a site is served
	DeployURL func(weir.Site, weir.Deploy) string // where one deploy of it is
	URL       string                              // of the API itself, without a path

	Account    string                     // id and slug of the organisation; "": "default"
	Hosts      []string                   // names by which the API may be called, beside localhost and addresses; "*" for any
	ClientAddr func(*http.Request) string // address of the client; nil: that of the connection
	Leaving    func() bool                // whether the server is to end; nil: it isn't
	Version    string                     // of the program
	Logger     *slog.Logger
}

// API is the control API.
type API struct {
	Options
	mux     *http.ServeMux
	routes  []route
	doc     []byte  // openapi.json
	tails   *places // logs that are followed
	bodies  *places // large bodies that are in memory
	larges  *places // calls of large routes that are being done
	whole   *places // these, until their answers are written
	uploads *places
	beat    time.Duration
	silent  time.Duration
}

// New makes one.
func New(o Options) (*API, error) {
	if o.Account == "" {
		o.Account = "default"
	}
	if o.ClientAddr == nil {
		o.ClientAddr = func(r *http.Request) string {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			return host
		}
	}
	a := &API{Options: o, mux: http.NewServeMux(), tails: newPlaces(maxTails, tailsEach), bodies: newPlaces(maxLarge, largeEach), larges: newPlaces(maxLarge, largeEach), whole: newPlaces(math.MaxInt, largeEach), uploads: newPlaces(maxUploads, uploadsEach),
		beat: heartbeat, silent: maxSilence}
	a.routes = a.table()
	var err error
	if a.doc, err = document(a.routes, a.Version); err != nil {
		return nil, err
	}
	for _, r := range a.routes {
		a.mux.HandleFunc(r.method+" "+Prefix+r.path, func(w http.ResponseWriter, req *http.Request) { a.serve(w, req, r) })
	}
	// netlify-cli asks for integrations here, beside the API, when it builds.
	empty := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, []string{}) }
	a.mux.HandleFunc("GET /team/", empty)
	a.mux.HandleFunc("GET /site/", empty)
	a.mux.HandleFunc("GET "+adminPath, noPages)
	return a, nil
}

// maxSilence is for how long a client may keep a connection without sending the next piece of a body that it announced.
// No read may be bounded while none takes place: net/http, which reads then to learn whether the client hangs up, would
// take it for gone, and cancel what takes longer.
const maxSilence = 10 * time.Second

// ServeHTTP answers a request. Whoever serves the API bounds the time that a client may take for headers.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { readUntil(w, time.Now().Add(a.silent)) }() // what of the body is left is read before the connection is used again
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if err := a.Guard(r); err != nil {
		a.fail(w, r, err)
		return
	}
	// The mux would redirect to a path that is cleaned: what can be read two ways is refused.
	if p := r.URL.Path; p != path.Clean(p) && p != path.Clean(p)+"/" {
		a.fail(w, r, &weir.Error{Code: weir.NotFound, Message: "a path with empty or dot segments names nothing"})
		return
	}
	if _, pattern := a.mux.Handler(r); pattern == "" {
		a.fail(w, r, a.noRoute(r))
		return
	}
	a.mux.ServeHTTP(w, r)
}

// readUntil bounds the time in which a body may be read. Only a ResponseWriter of tests can't.
func readUntil(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t)
}

// noRoute says what is wrong with a request that no route takes.
func (a *API) noRoute(r *http.Request) error {
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := a.mux.Handler(probe); pattern != "" {
			return errMethod
		}
	}
	return &weir.Error{Code: weir.NotFound, Message: "there is no such call: " + r.Method + " " + printable(r.URL.Path),
		Remedy: "see " + Prefix + "/openapi.json for those that there are"}
}

// call is one request on its way.
type call struct {
	*API
	w      http.ResponseWriter
	r      *http.Request
	route  route
	bearer string // the token's secret
	who    access.Identity
	site   weir.Site   // of a route of a site or deploy
	deploy weir.Deploy // of a route of a deploy
	large  bool        // its body has one of the places for large ones
	doing  bool        // it has one of the places for calls of large routes that are being done,
	placed bool        // and one of the token's own
}

// place waits until a call of a large route may go on. Its body must have been read: who is slow to send one keeps
// nobody waiting.
func (c *call) place() error {
	ctx := c.r.Context()
	if c.placed = c.whole.wait(ctx, c.who.ID); !c.placed {
		return ctx.Err()
	}
	if c.doing = c.larges.wait(ctx, c.who.ID); !c.doing {
		return ctx.Err()
	}
	return nil
}

// done gives back the places for what is being done.
func (c *call) done() {
	if c.large {
		c.bodies.end(c.who.ID)
	}
	if c.doing {
		c.larges.end(c.who.ID)
	}
}

// serve answers a request for one route.
func (a *API) serve(w http.ResponseWriter, r *http.Request, to route) {
	c := &call{API: a, w: w, r: r}
	answer, err := c.do(to)
	c.done()
	if c.placed {
		defer a.whole.end(c.who.ID)
	}
	switch {
	case err != nil:
		a.fail(w, r, err)
	case answer == streamed:
	case answer == nil:
		w.WriteHeader(http.StatusNoContent) // without a content type: netlify-cli would parse a body
	case to.created:
		writeJSON(w, http.StatusCreated, answer)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// streamed is the answer of what has written it already.
var streamed any = new(struct{ _ byte })

func (c *call) do(to route) (any, error) {
	if to.scope != open {
		if err := c.authenticate(); err != nil {
			return nil, err
		}
		if err := c.allow(to); err != nil {
			return nil, err
		}
	}
	if c.route = to; to.large && to.in == nil {
		if err := c.place(); err != nil {
			return nil, err
		}
	}
	return to.do(c)
}

// authenticate finds out who calls.
func (c *call) authenticate() error {
	if c.r.URL.Query().Has("access_token") {
		return &weir.Error{Code: weir.Invalid, Message: "a token stands in the URL, where logs and proxies see it",
			Remedy: "revoke it, and send another in the header Authorization: Bearer"}
	}
	scheme, bearer, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || bearer == "" {
		return &weir.Error{Code: weir.Unknown, Message: "no token was sent",
			Remedy: "set NETLIFY_AUTH_TOKEN or WEIR_TOKEN to one; weir token create makes one"}
	}
	var err error
	c.bearer = strings.TrimSpace(bearer)
	c.who, err = c.Access.Authenticate(c.r.Context(), c.bearer, c.ClientAddr(c.r))
	return err
}

// stillMay tells whether the caller still may what they have begun: a token may have been revoked, or have expired.
func (c *call) stillMay() bool {
	who, err := c.Access.Authenticate(c.r.Context(), c.bearer, c.ClientAddr(c.r))
	return err == nil && who.May(c.route.right, c.site.ID)
}

// allow finds the site and deploy that the route is about, and decides whether the caller may. Of what they may not
// even see, they learn no more than of what is not there.
func (c *call) allow(to route) error {
	switch to.scope {
	case anyone:
		return nil
	case ofSite, ofDeploy, ofQuery:
		if err := c.find(to); err != nil {
			return err
		}
	}
	if c.who.May(to.right, c.site.ID) {
		return nil
	}
	what := "all sites"
	if c.site.ID != "" {
		what = "the site " + c.site.Name
	}
	return &weir.Error{Code: weir.Denied, Message: "this token lacks the right to " + strings.ReplaceAll(string(to.right), "_", " ") + " on " + what,
		Remedy: "use one that has, or ask an owner for it (weir token create)"}
}

// find sets the site, and for a route of a deploy the deploy.
func (c *call) find(to route) error {
	ctx := c.r.Context()
	var err error
	if id := c.r.PathValue("deploy_id"); to.scope == ofDeploy {
		if c.deploy, err = c.Deploys.Deploy(ctx, id); err != nil {
			return unseen(err, "deploy", id)
		}
		if c.site, err = c.Sites.Site(ctx, c.deploy.Site); err == nil && !c.who.May(access.Read, c.site.ID) {
			err = noSuch("deploy", id)
		}
		if err != nil {
			return unseen(err, "deploy", id)
		}
	}
	id := c.r.PathValue("site_id")
	if to.scope == ofQuery {
		id = c.r.URL.Query().Get("site_id")
	}
	if id == "" {
		return nil
	}
	site, err := c.Sites.Site(ctx, id)
	if err != nil {
		return unseen(err, "site", id)
	}
	if !c.who.May(access.Read, site.ID) {
		return noSuch("site", id)
	}
	if to.scope == ofDeploy && site.ID != c.deploy.Site {
		return noSuch("deploy", c.deploy.ID)
	}
	c.site = site
	return nil
}

// unseen words the error for what is not there as that for what the caller may not see: by nothing can they be told
// apart.
func unseen(err error, what, id string) error {
	if weir.ErrorCode(err) == weir.NotFound {
		return noSuch(what, id)
	}
	return err
}

func noSuch(what, id string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no " + what + " " + printable(id), Remedy: "see weir " + what + "s list"}
}

// author is who is said to have made a change.
func (c *call) author() deploys.Author {
	return deploys.Author{Name: c.who.Name, From: c.who.From, CanApprove: c.who.May(access.Approve, c.site.ID)}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the values of package wire can always be written
	}
	w.Header().Set("Content-Type", "application/json")
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(maxAnswer)) // only a ResponseWriter of tests can't
	w.WriteHeader(status)
	w.Write(b)
	_ = control.SetWriteDeadline(time.Time{}) // the connection may serve other calls
}

// maxAnswer is for how long a client may take to read an answer, which is held in memory until then.
const maxAnswer = time.Minute

func printable(s string) string { return weir.Printable(weir.Cut(s, 200)) }
