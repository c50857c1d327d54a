package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/weir"
)

// world is an API over fakes, with one site, "shop".
type world struct {
	*fake
	vars *vars
	work *work
	api  *API
	site weir.Site
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{fake: newFake(), vars: &vars{all: map[string]environ.Variable{}}, work: &work{lines: make(chan logs.Line)}}
	close(w.work.lines)
	w.site, _ = w.CreateSite(t.Context(), deploys.Author{}, "shop")
	other, _ := w.CreateSite(t.Context(), deploys.Author{}, "other")
	identities := map[string]access.Identity{}
	for _, r := range access.Roles {
		identities[string(r)] = access.Identity{ID: string(r), Name: string(r), Kind: access.Personal, Role: r}
	}
	identities["stranger"] = access.Identity{Name: "stranger", Kind: access.Personal, Role: access.Owner, Sites: []string{other.ID}}
	identities["pipeline"] = access.Identity{Name: "pipeline", Kind: access.Deployer, Role: access.Developer, Sites: []string{w.site.ID}}
	var err error
	w.api, err = New(Options{Sites: w.fake, Deploys: w.fake, Access: tokens{identities}, Environ: w.vars, Journal: w.work, Jobs: w.work, Logs: w.work,
		SiteURL:   func(s weir.Site) string { return "http://" + s.Name + ".localhost" },
		DeployURL: func(s weir.Site, d weir.Deploy) string { return "http://" + d.ID + "--" + s.Name + ".localhost" },
		URL:       "http://localhost:9999", Version: "v1.2.3", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.authors = nil
	return w
}

// ask makes a call with a role's token ("" for none) and gives the answer.
func (w *world) ask(role, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	r.Host = "localhost:9999"
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+role)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return rec
}

// get makes a call that must succeed and gives its answer.
func get[T any](t *testing.T, w *world, role, method, path, body string) (out T) {
	t.Helper()
	rec := w.ask(role, method, path, body)
	if rec.Code/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
	}
	return out
}

const aSHA1, aSHA256 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"

// TestDeployOfTheCLI makes the calls that netlify deploy makes.
func TestDeployOfTheCLI(t *testing.T) {
	w := newWorld(t)
	site := get[[]wire.Site](t, w, "developer", "GET", "/sites?name="+w.site.ID+"&filter=all", "")
	if len(site) != 1 || site[0].Name != w.site.ID || !site[0].UseEnvelope || site[0].AccountSlug != "default" {
		t.Fatalf("a site asked for by its id as a name: %+v", site)
	}
	d := get[wire.Deploy](t, w, "developer", "POST", "/sites/shop/deploys?title=first", `{"draft":true,"branch":"next","include_upload_url":false,"deploy_source":"cli"}`)
	if d.ID == "" || d.State != "new" || !d.Draft || d.Branch != "next" || d.Title != "first" {
		t.Fatalf("begun: %+v", d)
	}
	d = get[wire.Deploy](t, w, "developer", "PUT", "/sites/"+w.site.ID+"/deploys/"+d.ID, `{"files":{"a b/c.txt":"`+aSHA1+`"},"functions":{"charge":"`+aSHA256+`"},
		"function_schedules":[{"name":"charge","cron":"@hourly"}],"functions_config":{"charge":{"routes":[{"pattern":"/pay/*","expression":"^/pay","methods":["POST"],"prefer_static":true}],
		"excluded_routes":[{"pattern":"/pay/x"}],"traffic_rules":{"action":{"type":"rate_limit","config":{"rate_limit_config":{"algorithm":"sliding_window","window_size":60,"window_limit":5},"aggregate":{"keys":[{"type":"ip"}]}}}}}},
		"environment":[{"key":"A","value":"1","is_secret":true,"scopes":["functions","post-processing"]}],"async":false,"draft":false,"framework":"unknown"}`)
	if !d.Draft || len(d.Required) != 1 || d.Required[0] != aSHA1 || len(d.RequiredFunctions) != 1 {
		t.Fatalf("declared: %+v", d)
	}
	config := w.declared[d.ID].Functions["charge"].Config
	if config.Schedule != "@hourly" || config.Paths[0] != "/pay/*" || config.Methods[0] != "POST" || !config.PreferStatic || config.ExcludedPaths[0] != "/pay/x" ||
		config.RateLimit.Limit != 5 || config.RateLimit.Window != 60 || config.RateLimit.By[0] != "ip" {
		t.Errorf("the function's configuration: %+v %+v", config, config.RateLimit)
	}
	if v := w.vars.deploy; len(v) != 1 || v[0].Key != "A" || !v[0].Secret || v[0].Values[0].Value != "1" || v[0].Scopes[1] != "post_processing" {
		t.Errorf("its variables: %+v", v)
	}
	if rec := w.ask("developer", "PUT", "/deploys/"+d.ID+"/files/a%20b%2Fc.txt", "b"); rec.Code != 422 {
		t.Errorf("a wrong digest is %d, which clients repeat", rec.Code)
	}
	get[wire.Uploaded](t, w, "developer", "PUT", "/deploys/"+d.ID+"/files/a%20b/c.txt", "a")
	get[wire.Uploaded](t, w, "developer", "PUT", "/deploys/"+d.ID+"/functions/charge?runtime=nodejs22.x&invocation_mode=stream&timeout=25", "a")
	if got := strings.Join(w.uploads, "; "); got != "a b/c.txt; charge nodejs22.x false" {
		t.Errorf("uploaded: %s", got)
	}
	d = get[wire.Deploy](t, w, "developer", "GET", "/sites/"+w.site.ID+"/deploys/"+d.ID, "")
	if d.State != "ready" || d.Required == nil || d.Name != "shop" || d.DeploySSLURL != "http://"+d.ID+"--shop.localhost" || len(d.AvailableFunctions) != 1 || d.AvailableFunctions[0].Name != "charge" {
		t.Errorf("ready: %+v", d)
	}
	// A deploy that is ready may have been approved: what it runs with is settled.
	if rec := w.ask("developer", "PUT", "/sites/"+w.site.ID+"/deploys/"+d.ID, `{"files":{},"environment":[{"key":"A","value":"2"}]}`); rec.Code != 409 || w.vars.deploy[0].Values[0].Value != "1" {
		t.Errorf("a variable of a ready deploy was set: %d", rec.Code)
	}
	for _, a := range w.authors {
		if a.Name != "developer" || a.From != "192.0.2.1" || a.CanApprove {
			t.Errorf("a change by %+v", a)
		}
	}
}

// TestDeployOfTheGoClient: one POST with all, escaped slashes, and polling for what is missing.
func TestDeployOfTheGoClient(t *testing.T) {
	w := newWorld(t)
	d := get[wire.Deploy](t, w, "approver", "POST", "/sites/shop/deploys", `{"files":{"d/a":"`+aSHA1+`"},"functions":{},"async":true}`)
	d = get[wire.Deploy](t, w, "approver", "GET", "/sites/shop/deploys/"+d.ID, "")
	if d.State != "prepared" || len(d.Required) != 1 {
		t.Fatalf("what is missing: %+v", d)
	}
	get[wire.Uploaded](t, w, "approver", "PUT", "/deploys/"+d.ID+"/files/d%2Fa", "a")
	if s := get[wire.Site](t, w, "viewer", "GET", "/sites/shop", ""); s.PublishedDeploy == nil || s.PublishedDeploy.ID != d.ID {
		t.Errorf("not published: %+v", s)
	}
	if !w.authors[0].CanApprove {
		t.Error("an approver's deploy would be held")
	}
}

// TestWhatIsPublished: restore, rollback, lock and cancel.
func TestWhatIsPublished(t *testing.T) {
	w := newWorld(t)
	one, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	two, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	if d := get[wire.Deploy](t, w, "developer", "POST", "/sites/shop/deploys/"+two.ID+"/restore", ""); d.ID != two.ID || !d.Weir.Published || d.PublishedAt != nil {
		t.Errorf("restored: %+v", d)
	}
	if d := get[wire.Deploy](t, w, "developer", "PUT", "/sites/shop/rollback", ""); d.ID != one.ID {
		t.Errorf("rolled back to %s", d.ID)
	}
	if d := get[wire.Deploy](t, w, "developer", "POST", "/deploys/"+two.ID+"/lock", ""); !d.Locked || !d.Weir.Published {
		t.Errorf("locked: %+v", d)
	}
	if s := get[wire.Site](t, w, "viewer", "GET", "/sites/shop", ""); !s.PublishedDeploy.Locked || s.PublishedDeploy.ID != two.ID {
		t.Errorf("netlify deploy --prod would go on: %+v", s.PublishedDeploy)
	}
	if d := get[wire.Deploy](t, w, "developer", "POST", "/deploys/"+two.ID+"/unlock", ""); d.Locked {
		t.Errorf("unlocked: %+v", d)
	}
	if d := get[wire.Deploy](t, w, "developer", "POST", "/deploys/"+one.ID+"/cancel", ""); d.State != "error" {
		t.Errorf("cancelled: %+v", d)
	}
	if all := get[[]wire.Deploy](t, w, "viewer", "GET", "/sites/shop/deploys?state=error&per_page=1", ""); len(all) != 1 || all[0].ID != one.ID {
		t.Errorf("those that failed: %+v", all)
	}
	if rec := w.ask("pipeline", "PUT", "/sites/shop/rollback", ""); rec.Code != 403 {
		t.Errorf("a deploy token rolls back: %d", rec.Code)
	}
}

// TestSitesAndTheirLife: what sites:create, sites:list and sites:delete ask for.
func TestSitesAndTheirLife(t *testing.T) {
	w := newWorld(t)
	s := get[wire.Site](t, w, "developer", "POST", "/default/sites", `{"name":"new"}`)
	if s.Name != "new" || s.SSLURL != "http://new.localhost" {
		t.Errorf("%+v", s)
	}
	if rec := w.ask("developer", "POST", "/default/sites", `{"name":"new"}`); rec.Code != 422 {
		t.Errorf("a name that is taken gives %d; the CLI understands 422", rec.Code)
	}
	if rec := w.ask("developer", "POST", "/elsewhere/sites", `{}`); rec.Code != 404 {
		t.Errorf("another organisation gives %d", rec.Code)
	}
	s = get[wire.Site](t, w, "developer", "PATCH", "/sites/new", `{"custom_domain":"www.example.com","domain_aliases":["example.com"],"plan":"x"}`)
	if s.CustomDomain != "www.example.com" || len(s.DomainAliases) != 1 {
		t.Errorf("host names: %+v", s)
	}
	if s = get[wire.Site](t, w, "developer", "PATCH", "/sites/www.example.com", `{"custom_domain":""}`); s.CustomDomain != "example.com" {
		t.Errorf("host names: %+v", s)
	}
	if all := get[[]wire.Site](t, w, "viewer", "GET", "/sites?filter=all&page=1&per_page=2", ""); len(all) != 2 {
		t.Errorf("a page of two has %d", len(all))
	}
	if all := get[[]wire.Site](t, w, "viewer", "GET", "/sites?page=2&per_page=2", ""); len(all) != 1 {
		t.Errorf("the second page has %d", len(all))
	}
	if all := get[[]wire.Site](t, w, "pipeline", "GET", "/sites", ""); len(all) != 1 || all[0].Name != "shop" {
		t.Errorf("a token of one site sees %+v", all)
	}
	if all := get[[]wire.Site](t, w, "stranger", "GET", "/sites?name=shop", ""); len(all) != 0 {
		t.Errorf("a token of another site finds %+v", all)
	}
	rec := w.ask("owner", "DELETE", "/sites/new", "")
	if rec.Code != 204 || rec.Body.Len() > 0 || rec.Header().Get("Content-Type") != "" {
		t.Errorf("removed: %d %q %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body)
	}
}

// TestBesideTheAPI: netlify-cli asks for integrations at paths that are none of the API's.
func TestBesideTheAPI(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/team/default/integrations/installations/meta/x", "/site/x/integrations/safe"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = "localhost"
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, r)
		if rec.Code != 200 || rec.Body.String() != "[]" {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
}

// TestErrors: each has the shape that clients show, and the status that they act on.
func TestErrors(t *testing.T) {
	w := newWorld(t)
	large := `{"name":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		role, method, path, body string
		want                     int
		says                     string
	}{
		{"", "GET", "/sites", "", 401, "no token was sent"},
		{"wrong", "GET", "/sites", "", 401, "not known"},
		{"slowed", "GET", "/sites", "", 429, "too many wrong tokens"},
		{"viewer", "GET", "/sites?access_token=x", "", 422, "a token stands in the URL"},
		{"viewer", "GET", "/sites?per_page=none", "", 422, "per_page"},
		{"viewer", "GET", "/nothing", "", 404, "no such call"},
		{"viewer", "DELETE", "/user", "", 405, "other methods"},
		{"viewer", "GET", "/sites/shop/../other", "", 404, "dot segments"},
		{"viewer", "GET", "/sites/nowhere", "", 404, "no site nowhere"},
		{"viewer", "GET", "/sites/shop/deploys/nowhere", "", 404, "no deploy"},
		{"viewer", "POST", "/sites/shop/deploys", "{}", 403, "right to deploy on the site shop"},
		{"pipeline", "POST", "/sites", "{}", 403, "right to create site on all sites"},
		{"stranger", "GET", "/sites/shop", "", 404, "no site shop"},
		{"developer", "POST", "/sites/shop/builds", "", 422, "builds no sites"},
		{"developer", "POST", "/oauth/tickets?client_id=x", "", 422, "weir token create"},
		{"developer", "POST", "/sites", "{", 422, "not the JSON"},
		{"developer", "POST", "/sites", `{} {}`, 422, "not the JSON"},
		{"developer", "POST", "/sites", `[]`, 422, "not the JSON"},
		{"developer", "POST", "/sites", large, 413, "larger"},
		{"approver", "PUT", "/weir/sites/shop/policy", `{"txet":""}`, 422, "txet"},
		{"developer", "PUT", "/deploys/1/edge_functions/x", "", 404, "no deploy"},
	} {
		rec := w.ask(c.role, c.method, c.path, c.body)
		var e wire.Error
		if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || rec.Code != c.want || e.Code != c.want || !strings.Contains(e.Message, c.says) || e.Msg != e.Message || e.Weir.Code == "" {
			t.Errorf("%s %s: %d %s; want %d with %q", c.method, c.path, rec.Code, rec.Body, c.want, c.says)
		}
		if rec.Code == 429 && (rec.Header().Get("Retry-After") == "" || rec.Header().Get("X-RateLimit-Reset") == "") {
			t.Errorf("nobody knows when to come again: %v", rec.Header())
		}
	}
}

// TestPagesCannotDriveTheAPI: neither of another origin, nor under a name that was made to lead here.
func TestPagesCannotDriveTheAPI(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		header, value string
		want          int
	}{
		{"Origin", "https://evil.example", 403}, {"Origin", "null", 403}, {"Origin", "http://localhost:9998", 403},
		{"Origin", "http://localhost:9999", 200}, {"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403},
		{"Sec-Fetch-Site", "none", 200}, {"Host", "evil.example", 403}, {"Host", "127.0.0.1:1", 200}, {"Host", "[::1]:1", 200}, {"Host", "localhost", 200}, {"Host", "", 403},
	} {
		if rec := w.ask("", "GET", "/openapi.json", "", c.header, c.value); rec.Code != c.want {
			t.Errorf("%s: %q gives %d, want %d", c.header, c.value, rec.Code, c.want)
		}
	}
	if rec := w.ask("", "GET", "/weir/health", "", "Host", ""); rec.Code != 200 {
		t.Errorf("a load balancer that names no host learns nothing of the health: %d", rec.Code)
	}
}

// TestVariables: the shapes of netlify env.
func TestVariables(t *testing.T) {
	w := newWorld(t)
	at := "/accounts/default/env"
	get[[]wire.Variable](t, w, "developer", "POST", at+"?site_id="+w.site.ID, `[{"key":"URL_A","scopes":["builds","post-processing"],"values":[{"context":"all","value":"x"},{"context":"dev-server","value":"y"}]},
		{"key":"SECRET","is_secret":true,"scopes":["functions"],"values":[{"context":"production","value":"hush"}]}]`)
	w.ask("developer", "PATCH", at+"/URL_A?site_id=shop", `{"context":"production","value":"p"}`)
	v := get[wire.Variable](t, w, "developer", "PATCH", at+"/URL_A?site_id=shop", `{"context":"branch","context_parameter":"next/x","value":"n"}`)
	if n := len(v.Values); n != 3 || v.Values[n-1].Parameter != "next/x" || v.Values[n-1].Value != "n" {
		t.Errorf("set in three contexts: %+v", v)
	}
	if w.ask("developer", "PATCH", at+"/URL_A?site_id=shop", `{"context":"dev-server","value":"n"}`).Code != 201 {
		t.Error("netlify env:set --secret names dev-server, too")
	}
	if rec := w.ask("developer", "DELETE", at+"/URL_A/value/branch:next%2Fx?site_id=shop", ""); rec.Code != 204 || len(w.vars.all[w.site.ID+"/URL_A"].Values) != 2 {
		t.Errorf("one value removed: %d %+v", rec.Code, w.vars.all)
	}
	all := get[[]wire.Variable](t, w, "developer", "GET", at+"?site_id=shop&context_name=dev", "")
	if len(all) != 1 || all[0].Key != "URL_A" || len(all[0].Values) != 1 || all[0].Values[0].Value != "x" {
		t.Errorf("in the context dev: %+v", all)
	}
	if all := get[[]wire.Variable](t, w, "developer", "GET", at+"?site_id=shop&scope=functions", ""); len(all) != 1 || all[0].Key != "SECRET" || all[0].Values[0].Value != "" {
		t.Errorf("a secret's value is told to nobody: %+v", all)
	}
	if rec := w.ask("viewer", "GET", at+"?site_id=shop", ""); strings.Contains(rec.Body.String(), `"x"`) || !strings.Contains(rec.Body.String(), "URL_A") {
		t.Errorf("a viewer is told %s", rec.Body)
	}
	if all := get[[]wire.Variable](t, w, "developer", "GET", at, ""); len(all) != 0 {
		t.Errorf("the organisation's own: %+v", all)
	}
	w.ask("developer", "PUT", at+"/URL_A?site_id=shop", `{"key":"OTHER","scopes":["functions"],"values":[{"context":"all","value":"z"}]}`)
	if v := get[wire.Variable](t, w, "developer", "GET", at+"/URL_A?site_id=shop", ""); len(v.Values) != 1 || v.Values[0].Value != "z" {
		t.Errorf("set anew: %+v", v)
	}
	if rec := w.ask("developer", "DELETE", at+"/URL_A?site_id=shop", ""); rec.Code != 204 {
		t.Errorf("removed: %d", rec.Code)
	}
	if rec := w.ask("developer", "GET", at+"/URL_A?site_id=shop", ""); rec.Code != 404 {
		t.Errorf("afterwards: %d", rec.Code)
	}
	if rec := w.ask("pipeline", "GET", at, ""); rec.Code != 403 {
		t.Errorf("a token of one site gets %d for the organisation's variables", rec.Code)
	}
}

// TestReview: what a reviewer asks for.
func TestReview(t *testing.T) {
	w := newWorld(t)
	d, _ := w.Begin(t.Context(), deploys.Author{}, w.site.ID, deploys.BeginOptions{})
	if rec := w.ask("developer", "POST", "/weir/deploys/"+d.ID+"/approve", "{}"); rec.Code != 403 {
		t.Errorf("a developer approves: %d", rec.Code)
	}
	out := get[wire.Deploy](t, w, "approver", "POST", "/weir/deploys/"+d.ID+"/approve", `{"note":"seen"}`)
	if out.Weir.Review != "approved" || out.Weir.Reviewer != "approver" || w.notes[0] != "seen" {
		t.Errorf("%+v", out.Weir)
	}
	if out := get[wire.Deploy](t, w, "approver", "POST", "/weir/deploys/"+d.ID+"/reject", ""); out.Weir.Review != "rejected" {
		t.Errorf("%+v", out.Weir)
	}
	if rec := w.ask("viewer", "GET", "/weir/deploys/"+d.ID+"/diff", ""); !strings.Contains(rec.Body.String(), `"gained": 1`) {
		t.Errorf("the difference: %s", rec.Body)
	}
	if rec := w.ask("viewer", "GET", "/weir/deploys/"+d.ID+"/diff", "", "Accept", "text/markdown"); !strings.HasPrefix(rec.Body.String(), "### Weir: 1 privilege") {
		t.Errorf("the difference: %s", rec.Body)
	}
	if rec := w.ask("viewer", "GET", "/weir/deploys/"+d.ID+"/diff", "", "Accept", "text/plain"); !strings.Contains(rec.Body.String(), "+ http GET https://a.example/") {
		t.Errorf("the difference: %s", rec.Body)
	}
	if rec := w.ask("approver", "PUT", "/weir/sites/shop/policy", `{"text":"mode = \"enforce\""}`); rec.Code != 204 || w.policy == "" {
		t.Errorf("a policy set: %d", rec.Code)
	}
}

// TestUploadsAreStreamed: a body that ends early is the client's fault, and nothing of it counts.
func TestUploadsAreStreamed(t *testing.T) {
	w := newWorld(t)
	d := get[wire.Deploy](t, w, "developer", "POST", "/sites/shop/deploys", `{"files":{"a":"`+aSHA1+`"}}`)
	r := httptest.NewRequest("PUT", Prefix+"/deploys/"+d.ID+"/files/a", io.MultiReader(strings.NewReader("a"), broken{}))
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer developer")
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	if rec.Code != http.StatusUnprocessableEntity || !strings.Contains(rec.Body.String(), "ended early") || len(w.uploads) != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestUploadsThatNothingMendsAreNotRepeated: netlify-cli gives up at once after 422 only.
func TestUploadsThatNothingMendsAreNotRepeated(t *testing.T) {
	for code, want := range map[weir.Code]int{weir.TooLarge: 422, weir.NotFound: 422, weir.Conflict: 422, weir.Invalid: 422, weir.Unavailable: 503, weir.Internal: 500} {
		if got := status(final(&weir.Error{Code: code, Message: "x"})); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

// TestSlowCallsAreAnswered: whoever waits for an answer, and has nothing more to send, isn't silent.
func TestSlowCallsAreAnswered(t *testing.T) {
	w := newWorld(t)
	srv := httptest.NewServer(w.api)
	defer srv.Close()
	w.api.silent, w.slow = 200*time.Millisecond, 400*time.Millisecond
	for method, body := range map[string]io.Reader{"GET": nil, "PATCH": strings.NewReader("{}")} {
		r, err := http.NewRequest(method, srv.URL+Prefix+"/sites/"+w.site.ID, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer owner")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(res.Body)
		if res.Body.Close(); res.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"shop"`)) {
			t.Errorf("%s: %d %s", method, res.StatusCode, answer)
		}
	}
}

// TestSilentClientsAreLetGo: neither who shows no token nor who stops in the middle of a body keeps a connection.
func TestSilentClientsAreLetGo(t *testing.T) {
	w := newWorld(t)
	w.api.silent = time.Millisecond
	d := get[wire.Deploy](t, w, "developer", "POST", "/sites/shop/deploys", `{"files":{"a":"`+aSHA1+`"}}`)
	srv := httptest.NewServer(w.api)
	defer srv.Close()
	for _, request := range []string{
		"POST /api/v1/sites HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
		"PUT /api/v1/deploys/" + d.ID + "/files/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer developer\r\nContent-Length: 10\r\n\r\na",
		"PATCH /api/v1/sites/" + w.site.ID + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer owner\r\nContent-Length: 10\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("still connected after %.40q", request)
		}
	}
	if len(w.uploads) != 0 {
		t.Errorf("taken: %v", w.uploads)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
