package server

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/weir"
)

// TestPublishDropsNoRequest fires requests while deploys are published, rolled back and given other variables: each
// gets a whole answer of one of them.
func TestPublishDropsNoRequest(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	version := func(v string) content {
		return content{files: map[string]string{"index.html": "page " + v, "v.txt": strings.Repeat(v, 50_000)}, functions: map[string]string{"v": handler("function " + v)}}
	}
	first := p.deploy(site, owner, version("1"), deploys.BeginOptions{})
	p.shows("shop.localhost", first)
	var stop atomic.Bool
	var asked atomic.Int32
	var all sync.WaitGroup
	for _, path := range []string{"/", "/v.txt", "/.netlify/functions/v"} {
		all.Go(func() {
			for !stop.Load() {
				status, body := p.get("shop.localhost", path)
				asked.Add(1)
				whole := strings.HasPrefix(body, "page ") || strings.HasPrefix(body, "function ") || len(body) == 50_000 && strings.Count(body, body[:1]) == 50_000
				if status != 200 || !whole {
					t.Errorf("%s: %d %.100s", path, status, body)
					return
				}
			}
		})
	}
	var last weir.Deploy
	for _, v := range []string{"2", "3", "4"} {
		last = p.deploy(site, owner, version(v), deploys.BeginOptions{})
		p.shows("shop.localhost", last)
		if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: "V", Values: []environ.Value{{Context: environ.All, Value: v}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.deploys.Rollback(t.Context(), owner, site.ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, body := p.get("shop.localhost", "/"); return body == "page 3" })
	stop.Store(true)
	all.Wait()
	if n := asked.Load(); n < 50 {
		t.Errorf("only %d requests came in between", n)
	}
	if _, body := p.get(last.ID+"--shop.localhost", "/"); body != "page 4" {
		t.Errorf("the deploy's own URL: %s", body)
	}
}

// TestVariablesReachFunctions: what a policy names is there, from the moment on that it is set, and nothing else.
func TestVariablesReachFunctions(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	set := func(key, value string) {
		t.Helper()
		if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: key, Secret: key == "KEY", Values: []environ.Value{{Context: weir.ContextProduction, Value: value}}}); err != nil {
			t.Fatal(err)
		}
	}
	set("KEY", "one")
	set("OTHER", "secret")
	source := `exports.handler = async () => ({ statusCode: 200, body: process.env.KEY + " " + process.env.OTHER })`
	d := p.deploy(site, owner, content{files: map[string]string{"_weir.toml": "[functions.v]\nenv = [\"KEY\"]\n"}, functions: map[string]string{"v": source}}, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	if _, body := p.get("shop.localhost", "/.netlify/functions/v"); body != "one undefined" {
		t.Errorf("%s", body)
	}
	if status, _ := p.get("shop.localhost", "/_weir.toml"); status != 404 {
		t.Errorf("the policy is served: %d", status)
	}
	set("KEY", "two")
	waitFor(t, func() bool {
		_, body := p.get("shop.localhost", "/.netlify/functions/v")
		return body == "two undefined"
	})
}

// TestHeldDeploy: a deploy that gains privileges is not published, and runs under its own URL with no more than was
// approved before, and without secrets, until somebody approves it.
func TestHeldDeploy(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: "KEY", Secret: true, Values: []environ.Value{{Context: environ.All, Value: "sk"}}}); err != nil {
		t.Fatal(err)
	}
	source := `exports.handler = async () => {
		const out = [process.env.KEY, process.env.A];
		for (const u of ["http://old.test/", "http://new.test/"]) try { await fetch(u); out.push("sent") } catch (e) { out.push((e.cause || e).code) }
		return { statusCode: 200, body: out.join(" ") };
	}`
	policy := func(urls ...string) map[string]string {
		return map[string]string{"_weir.toml": "[functions.v]\nenv = [\"KEY\", \"A\"]\nhttp = [\"GET " + strings.Join(urls, `", "GET `) + "\"]\n"}
	}
	developer := deploys.Author{Name: "dev"}
	first := p.deploy(site, owner, content{files: policy("http://old.test/"), functions: map[string]string{"v": source}}, deploys.BeginOptions{})
	p.shows("shop.localhost", first)
	_, approved := p.get("shop.localhost", "/.netlify/functions/v")
	if !strings.HasPrefix(approved, "sk ") || !strings.HasSuffix(approved, " EWEIR") || strings.Count(approved, "EWEIR") != 1 {
		t.Errorf("approved: %s", approved)
	}
	held := p.deploy(site, developer, content{files: policy("http://old.test/", "http://new.test/"), functions: map[string]string{"v": source}}, deploys.BeginOptions{})
	if held.Review != weir.ReviewHeld {
		t.Fatalf("it is not held: %+v", held)
	}
	_, body := p.get(held.ID+"--shop.localhost", "/.netlify/functions/v")
	if !strings.HasPrefix(body, " ") || strings.Count(body, "EWEIR") != 1 || !strings.HasSuffix(body, " EWEIR") {
		t.Errorf("held: %q", body)
	}
	if _, body := p.get("shop.localhost", "/.netlify/functions/v"); body != approved {
		t.Errorf("published by itself: %s", body)
	}
	if _, err := p.deploys.Approve(t.Context(), developer, held.ID, ""); err == nil {
		t.Error("who may not approve has approved")
	}
	if _, err := p.deploys.Approve(t.Context(), owner, held.ID, "looked at it"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		_, body := p.get("shop.localhost", "/.netlify/functions/v")
		return strings.HasPrefix(body, "sk ") && !strings.Contains(body, "EWEIR")
	})
	p.records.mu.Lock()
	defer p.records.mu.Unlock()
	for _, c := range p.records.all {
		if c.Action == "deploy.approve" && c.Author == "owner" && c.Deploy == held.ID {
			return
		}
	}
	t.Error("the approval is not on record")
}

// TestLambdaClientsNeedARight: any event reaches a function only from who may run its functions, and not by way of the
// public address.
func TestLambdaClientsNeedARight(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	p.shows("shop.localhost", p.deploy(site, owner, content{functions: map[string]string{"echo": `exports.handler = async (e) => e`}}, deploys.BeginOptions{}))
	secret, err := os.ReadFile(p.OwnerToken)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(url, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequest("POST", url, strings.NewReader(`{"any":"event"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "localhost"
		if strings.HasPrefix(url, p.Addr()) {
			r.Host = "shop.localhost"
		}
		if strings.HasSuffix(url, "?rebound") {
			r.Host = "page.test"
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	const call = "/2015-03-31/functions/echo/invocations"
	token := strings.TrimSpace(string(secret))
	if status, body := ask(p.APIAddr()+"/lambda/shop"+call, token); status != 200 || body != `{"any":"event"}` {
		t.Errorf("%d %s", status, body)
	}
	if status, body := ask(p.APIAddr()+"/lambda/shop"+call+"?rebound", token); status != 403 {
		t.Errorf("by a name that isn't the API's: %d %s", status, body)
	}
	for url, want := range map[string]int{p.APIAddr() + "/lambda/shop" + call: 401, p.Addr() + call: 405} {
		if status, body := ask(url, ""); status != want {
			t.Errorf("without a token: %s: %d %s", url, status, body)
		}
	}
	if status, body := ask(p.APIAddr()+"/lambda/shop/.netlify/functions/echo", token); status != 404 {
		t.Errorf("another call: %d %s", status, body)
	}
	if status, body := ask(p.APIAddr()+"/lambda/other"+call, token); status != 404 {
		t.Errorf("another site: %d %s", status, body)
	}
}

func TestListensOnlyWhereTokensAreSafe(t *testing.T) {
	dir := t.TempDir()
	cert := []Certificate{certificate(t, dir, "api.test")}
	for name, c := range map[string]struct {
		change func(*ServeOptions)
		fine   bool
	}{
		"the API in public":             {func(o *ServeOptions) { o.APIListen = "0.0.0.0:0" }, false},
		"… by IPv6":                     {func(o *ServeOptions) { o.APIListen = "[::]:0" }, false},
		"… by TLS":                      {func(o *ServeOptions) { o.APIListen, o.APICertificates = "0.0.0.0:0", cert }, true},
		"… behind something":            {func(o *ServeOptions) { o.APIListen, o.InsecureAPI = "0.0.0.0:0", true }, true},
		"a redirect to nowhere":         {func(o *ServeOptions) { o.RedirectListen = "127.0.0.1:0" }, false},
		"a certificate that is not one": {func(o *ServeOptions) { o.Certificates = []Certificate{{dir + "/none", dir + "/none"}} }, false},
		"sites without a star":          {func(o *ServeOptions) { o.Sites = "http://example.com" }, false},
	} {
		root := t.TempDir()
		o := ServeOptions{StateDir: root, Listen: "127.0.0.1:0", APIListen: "127.0.0.1:0", Recorder: &changes{}, Logger: slog.New(slog.DiscardHandler)}
		c.change(&o)
		s, err := NewServer(t.Context(), o)
		if err == nil {
			s.Close()
		}
		if (err == nil) != c.fine || !c.fine && weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSitePolicyIsCheckedWhenItIsSet: what is set for a site on the server counts instead of what its deploys bring, and
// what is no policy is not set.
func TestSitePolicyIsCheckedWhenItIsSet(t *testing.T) {
	p := newPlatform(t)
	site := p.site("shop")
	if err := p.deploys.SetPolicy(t.Context(), owner, site.ID, "[functions.v]\nhtpp = []\n"); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), ":2:") {
		t.Errorf("%v", err)
	}
	if err := p.deploys.SetPolicy(t.Context(), owner, site.ID, "[functions.v]\nenv = [\"A\"]\n"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"A", "B"} {
		if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: key, Values: []environ.Value{{Context: environ.All, Value: "is " + key}}}); err != nil {
			t.Fatal(err)
		}
	}
	p.shows("shop.localhost", p.deploy(site, owner, content{files: map[string]string{"_weir.toml": "[functions.v]\nenv = [\"B\"]\n"},
		functions: map[string]string{"v": `exports.handler = async () => ({ statusCode: 200, body: process.env.A + " " + process.env.B })`}}, deploys.BeginOptions{}))
	if _, body := p.get("shop.localhost", "/.netlify/functions/v"); body != "is A undefined" {
		t.Errorf("%s", body)
	}
}
