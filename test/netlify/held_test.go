package netlify

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// tokenOf makes a token with a role.
func (p *platform) tokenOf(role string) string {
	p.t.Helper()
	var out struct{ Secret string }
	p.call("POST", "/weir/tokens", `{"name":"`+role+`","role":"`+role+`"}`, &out)
	return out.Secret
}

// call calls the API as the owner.
func (p *platform) call(method, path, body string, out any) {
	p.t.Helper()
	r, err := http.NewRequest(method, p.api+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 || out != nil && json.NewDecoder(res.Body).Decode(out) != nil {
		p.t.Fatalf("%s %s: %d", method, path, res.StatusCode)
	}
}

// TestTheRealCLIUnderReview is what a developer sees who may not approve what their functions may do: never that
// something is live which isn't.
func TestTheRealCLIUnderReview(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the CLI comes with a Node.js for amd64")
	}
	p := newPlatform(t)
	p.cli = packages(t, "testdata/cli", "weir-test-cli")
	p.netlify("sites:create", "--name", "shop", "--account-slug", "default", "--disable-linking")
	site := strings.Replace(p.url, "127.0.0.1", "shop.localhost", 1)
	p.netlify("deploy", "--no-build", "--prod", "--site", "shop")
	if err := os.WriteFile(filepath.Join(p.dir, "public/_weir.toml"), []byte("[functions.\"*\"]\nenv = [\"GREETING\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "public/index.html"), []byte("<h1>new</h1>"), 0o644); err != nil {
		t.Fatal(err)
	}
	owner := p.token
	developer := p.tokenOf("developer")
	p.token = developer
	for _, args := range [][]string{{"--prod"}, {"--prod", "--json"}, {"--alias", "next"}} {
		out, errs, err := p.run(append([]string{"deploy", "--no-build", "--site", "shop"}, args...)...)
		if err == nil || strings.Contains(out+errs, "Deploy complete") || strings.Contains(out+errs, "Production URL") || !strings.Contains(errs, "is held: it may do more than was approved") ||
			!strings.Contains(errs, "weir deploys approve") || strings.Contains(errs, "Failed canceling") {
			t.Errorf("%v: %v\n%s%s", args, err, out, errs)
		}
	}
	draft := p.deployed(p.netlify("deploy", "--no-build", "--json", "--site", "shop"))
	p.want(draft.URL+"/", 200, "<h1>new</h1>")
	p.want(site+"/", 200, "<h1>shop</h1>")
	if status, _ := p.get(strings.Replace(site, "shop", "next--shop", 1) + "/"); status != 404 {
		t.Errorf("a held deploy has its alias: %d", status)
	}
	if _, errs, err := p.run("api", "rollbackSiteDeploy", "--data", `{"site_id":"shop"}`); err == nil || !strings.Contains(errs, "Conflict") {
		t.Errorf("there was nothing to go back to: %v %s", err, errs)
	}

	var held []struct{ ID string }
	p.token = owner
	p.call("GET", "/sites/shop/deploys?review=held", "", &held)
	if len(held) != 4 {
		t.Fatalf("%d deploys are held", len(held))
	}
	p.call("POST", "/weir/deploys/"+held[1].ID+"/approve", "{}", nil) // the one with the alias
	p.want(strings.Replace(site, "shop", "next--shop", 1)+"/", 200, "<h1>new</h1>")
	p.token = developer
	out := p.netlify("deploy", "--no-build", "--prod", "--site", "shop")
	if !strings.Contains(out, "Production URL: <"+site+">") {
		t.Errorf("what gains nothing any more: %s", out)
	}
	p.want(site+"/", 200, "<h1>new</h1>")
}

// TestTheRealCLIOnTheRest: what it asks for besides deploys, and rules that only netlify.toml can hold.
func TestTheRealCLIOnTheRest(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the CLI comes with a Node.js for amd64")
	}
	p := newPlatform(t)
	p.cli = packages(t, "testdata/cli", "weir-test-cli")
	for _, name := range []string{"shop", "copy"} {
		p.netlify("sites:create", "--name", name, "--account-slug", "default", "--disable-linking")
	}
	site := strings.Replace(p.url, "127.0.0.1", "shop.localhost", 1)
	config, err := os.OpenFile(filepath.Join(p.dir, "netlify.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	config.WriteString(`
[[redirects]]
from = "/limited"
to = "/index.html"
status = 200
[redirects.rate_limit]
window_limit = 2
window_size = 180
aggregate_by = ["ip", "domain"]
[[redirects]]
from = "/signed"
to = "https://api.example.com/"
status = 200
signed = "SIGN_KEY"
[[redirects]]
from = "/self"
to = "/index.html"
status = 200
signed = "SIGN_KEY"
`)
	if err := config.Close(); err != nil {
		t.Fatal(err)
	}
	d := p.deployed(p.netlify("deploy", "--no-build", "--prod", "--site", "shop", "--json"))
	p.want(site+"/", 200, "<h1>shop</h1>")
	for i, want := range []int{200, 200, 429} {
		if got, body := p.get(site + "/limited"); got != want {
			t.Errorf("call %d: %d %s", i, got, body)
		}
	}
	p.want(site+"/signed", 502, "can't be signed")
	var deploy struct{ Weir struct{ Warnings []string } }
	p.call("GET", "/deploys/"+d.ID, "", &deploy)
	if all := strings.Join(deploy.Weir.Warnings, "\n"); len(deploy.Weir.Warnings) != 2 || !strings.Contains(all, "only a proxy is signed") || !strings.Contains(all, "no variable SIGN_KEY") {
		t.Errorf("warnings: %s", all)
	}

	if out := p.netlify("api", "listSiteFiles", "--data", `{"site_id":"shop"}`); !strings.Contains(out, `"path": "/index.html"`) {
		t.Errorf("files: %s", out)
	}
	if out := p.netlify("api", "getSiteFileByPathName", "--data", `{"site_id":"shop","file_path":"index.html"}`); !strings.Contains(out, `"size": `) {
		t.Errorf("a file: %s", out)
	}
	p.netlify("env:set", "A", "1", "--site", "shop")
	p.netlify("env:set", "KEY", "hush", "--secret", "--context", "production", "--site", "shop")
	if _, errs, err := p.run("env:clone", "--from", "shop", "--to", "copy", "--force"); err == nil || !strings.Contains(errs, "all were set but the secrets KEY") {
		t.Errorf("copied: %v %s", err, errs)
	}
	if out := p.netlify("env:list", "--site", "copy", "--json"); !strings.Contains(out, `"A": "1"`) {
		t.Errorf("copied: %s", out)
	}
	alias := p.deployed(p.netlify("deploy", "--no-build", "--alias", "Next", "--site", "shop", "--json"))
	if !strings.Contains(alias.URL, "//next--shop.") {
		t.Errorf("its URL is %s", alias.URL)
	}
	p.want(alias.URL+"/", 200, "<h1>shop</h1>")
	p.call("DELETE", "/weir/sites/shop/aliases/next", "", nil)
	p.want(alias.URL+"/", 404, "")
	p.want(strings.Replace(alias.URL, "next--", alias.ID+"--", 1)+"/", 200, "<h1>shop</h1>")
}
