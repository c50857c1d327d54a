package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/environ"
)

// TestKeysOfSignedProxies: a signature tells whether a guess of its key is right, and who deploys chooses who gets it. So
// secrets that policies guard sign nothing, and a held deploy signs with none.
func TestKeysOfSignedProxies(t *testing.T) {
	signed := make(chan string, 10)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		signed <- r.Header.Get("X-Nf-Sign")
		io.WriteString(w, "up")
	}))
	defer up.Close()
	to, err := egress.ParseOverride("up.test:80=" + strings.TrimPrefix(up.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t, func(o *ServeOptions) { o.Resolve = []egress.Override{to} })
	site := p.site("shop")
	set := func(key, value string, secret bool, scopes ...string) {
		t.Helper()
		if err := p.variables.Set(t.Context(), environ.Author{Name: "owner"}, environ.Variable{Site: site.ID, Key: key, Secret: secret, Scopes: scopes, Values: []environ.Value{{Context: environ.All, Value: value}}}); err != nil {
			t.Fatal(err)
		}
	}
	set("PLAIN", "a plain key", false)
	set("OWN", "a key for this alone", true, "runtime")
	set("STRIPE", "what a policy guards", true)
	set("BUILD", "not for the time when it is served", false, "builds")
	rules := "/plain http://up.test/ 200 Sign=PLAIN\n/own http://up.test/ 200 Sign=OWN\n/stripe http://up.test/ 200 Sign=STRIPE\n/build http://up.test/ 200 Sign=BUILD\n/none http://up.test/ 200 Sign=NONE\n"
	of := content{files: map[string]string{"_redirects": rules, "index.html": "x"}}
	d := p.deploy(site, owner, of, deploys.BeginOptions{})
	p.shows("shop.localhost", d)
	verified := func(host, path, key string) bool {
		t.Helper()
		status, body := p.get(host, path)
		if status != 200 {
			if len(signed) > 0 {
				t.Errorf("%s: %d %s, and the upstream was asked", path, status, body)
			}
			return false
		}
		claims := jwt.MapClaims{}
		_, err := jwt.ParseWithClaims(<-signed, claims, func(*jwt.Token) (any, error) { return []byte(key), nil }, jwt.WithValidMethods([]string{"HS256"}))
		return err == nil && claims["netlify_id"] == site.ID && claims["deploy_context"] == "production" && claims["site_url"] == p.urls.site(site)
	}
	for path, key := range map[string]string{"/plain": "a plain key", "/own": "a key for this alone", "/stripe": "", "/build": "", "/none": ""} {
		if got := verified("shop.localhost", path, key); got != (key != "") {
			t.Errorf("%s: signed by the right key: %v", path, got)
		}
	}
	m, err := p.deploys.Manifest(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"STRIPE", "BUILD", "NONE"} {
		if !slices.ContainsFunc(m.Warnings, func(w string) bool { return strings.Contains(w, name) }) {
			t.Errorf("its author is not told of %s: %q", name, m.Warnings)
		}
	}
	if len(m.Warnings) != 3 {
		t.Errorf("%q", m.Warnings)
	}
	set("OWN", "another key", true, "runtime")
	waitFor(t, func() bool { return verified("shop.localhost", "/own", "another key") })

	of.files["_weir.toml"], of.functions = "[functions.v]\nenv = [\"STRIPE\"]\n", map[string]string{"v": handler("v")}
	held := p.deploy(site, deploys.Author{Name: "dev"}, of, deploys.BeginOptions{})
	if verified(held.ID+"--shop.localhost", "/own", "another key") {
		t.Error("a held deploy signs with a secret")
	}
}
