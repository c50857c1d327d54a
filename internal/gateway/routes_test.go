package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// named is an Invoker that tells which function it was asked for, and what its event says of the path.
type named struct{}

func (named) Lookup(string) (weir.Limits, error) { return weir.DefaultLimits(), nil }

func (named) Invoke(_ context.Context, inv weir.Invocation) (weir.Result, error) {
	var e struct {
		RawURL, Route  string
		PathParameters map[string]string
		Headers        map[string]string
	}
	if err := json.Unmarshal(inv.Event, &e); err != nil {
		return weir.Result{}, err
	}
	body, err := json.Marshal(told{inv.Function, e.RawURL, e.Route, e.PathParameters, e.Headers["x-nf-deploy-id"]})
	if err != nil {
		return weir.Result{}, err
	}
	payload, err := json.Marshal(map[string]any{"statusCode": 200, "body": string(body)})
	return weir.Result{Payload: payload}, err
}

type told struct {
	Function, URL, Route string
	Params               map[string]string
	Deploy               string
}

func TestRoutes(t *testing.T) {
	publish := t.TempDir()
	if err := os.WriteFile(filepath.Join(publish, "page.html"), []byte("file"), 0o644); err != nil {
		t.Fatal(err)
	}
	site := func(o *Options) {
		o.Files, o.Functions, o.Headers = Folder(publish), named{}, map[string]string{"x-nf-deploy-id": "7"}
		o.Configs = map[string]weir.FunctionConfig{
			"plain":    {Form: weir.FormV2},
			"item":     {Paths: []string{"/api/:id", "/a/*"}, ExcludedPaths: []string{"/a/x/*"}},
			"special":  {Paths: []string{"/api/special"}, Methods: []string{"POST", "GET"}},
			"writer":   {Paths: []string{"/data"}, Methods: []string{"PUT"}},
			"reader":   {Paths: []string{"/data"}, Methods: []string{"GET"}},
			"modest":   {Paths: []string{"/page", "/other"}, PreferStatic: true},
			"post":     {Methods: []string{"POST"}},
			"catchall": {Paths: []string{"/docs/:page?"}},
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
		function     string
		params       map[string]string
	}{
		{"GET", "/.netlify/functions/plain", 200, "plain", nil},
		{"GET", "/.netlify/functions/plain/more", 200, "plain", nil},
		{"GET", "/api/7?q=1", 200, "item", map[string]string{"id": "7"}},
		{"GET", "/api/b%2Fc", 200, "item", map[string]string{"id": "b%2Fc"}},
		{"GET", "/a/b/c", 200, "item", map[string]string{"0": "b/c"}},
		{"GET", "/a/x/c", 404, "", nil},
		{"GET", "/a/%78/c", 404, "", nil},
		{"GET", "/a/%78%2Fc", 200, "item", map[string]string{"0": "%78%2Fc"}},
		{"GET", "/.netlify/functions/%70lain", 200, "plain", nil},
		{"GET", "/.netlify/functions%2Fplain", 404, "", nil},
		{"GET", "/api/special", 200, "special", nil},
		{"DELETE", "/api/special", 200, "item", map[string]string{"id": "special"}},
		{"PUT", "/data", 200, "writer", nil},
		{"GET", "/data/", 200, "reader", nil},
		{"HEAD", "/data", 200, "", nil},
		{"DELETE", "/data", 405, "", nil},
		{"GET", "/docs", 200, "catchall", nil},
		{"GET", "/.netlify/functions/item", 404, "", nil},
		{"GET", "/.netlify/functions/post", 405, "", nil},
		{"POST", "/.netlify/functions/post", 200, "post", nil},
		{"GET", "/other", 200, "modest", nil},
		{"POST", "/page", 200, "modest", nil},
		{"GET", "/nothing", 404, "", nil},
		{"GET", "/a/../data", 404, "", nil},
		{"GET", "/a/%2e%2E/data", 404, "", nil},
	} {
		r := request(c.method, "/", "")
		if u, err := r.URL.Parse("http://localhost" + c.path); err != nil {
			t.Fatal(err)
		} else if r.URL = u; hasDots(c.path) { // which Parse resolves
			r.URL.Path, r.URL.RawPath = "/a/../data", c.path
		}
		res := ask(nil, r, site)
		body := text(t, res)
		var got told
		_ = json.Unmarshal([]byte(body), &got)
		if res.StatusCode != c.status || got.Function != c.function || !maps.Equal(got.Params, c.params) {
			t.Errorf("%s %s: %d %s", c.method, c.path, res.StatusCode, body)
		}
		if c.function != "" && (got.URL != "http://localhost"+c.path || got.Deploy != "7") {
			t.Errorf("%s: %+v", c.path, got)
		}
		if res.StatusCode == http.StatusMethodNotAllowed && res.Header.Get("Allow") == "" {
			t.Errorf("%s: no method is named", c.path)
		}
	}
	if got := text(t, ask(nil, request("GET", "/page", ""), site)); got != "file" {
		t.Errorf("preferStatic: %s", got)
	}
}

// TestManyRoutes: of 10,000 paths a request is compared with those that it may match, and with no more than there is
// time for, however they are made.
func TestManyRoutes(t *testing.T) {
	configs := func(pattern func(i int) string) map[string]weir.FunctionConfig {
		all := map[string]weir.FunctionConfig{}
		for f := range 100 {
			var c weir.FunctionConfig
			for i := range 100 {
				c.Paths = append(c.Paths, pattern(100*f+i))
			}
			all[fmt.Sprint("f", f)] = c
		}
		return all
	}
	apart := newRoutes(configs(func(i int) string { return fmt.Sprintf("/api/%d/:id", i) }))
	if got := apart.candidates("/api/77/x"); len(got) != 2 { // it begins with /api/7, too
		t.Errorf("compared with %d", len(got))
	}
	hostile := newRoutes(configs(func(i int) string { return fmt.Sprintf("/:a(x{1,90}y?)/%d*", i) }))
	for _, n := range []int{1, 10, 1000, 8 << 10} {
		path, work := "/"+strings.Repeat("x", n), 0
		for _, c := range hostile.candidates(path) {
			work += c.pattern.Cost() * len(path)
		}
		if work > maxWork {
			t.Errorf("a path of %d bytes is worth %d", n, work)
		}
	}
	costly := weir.FunctionConfig{Paths: []string{"/*"}}
	for range 100 {
		costly.ExcludedPaths = append(costly.ExcludedPaths, "/(a{1,900})")
	}
	if got := newRoutes(map[string]weir.FunctionConfig{"f": costly}).candidates("/" + strings.Repeat("x", 8<<10)); got != nil {
		t.Errorf("excluded paths cost nothing: %d", len(got))
	}
}
