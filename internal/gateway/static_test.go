package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const canary = "CANARY-outside-the-folder"

// publish makes a publish folder with a page, files that must not be served and links that lead out.
func publish(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"canary": canary, "site/index.html": "home", "site/about.html": "about", "site/blog/index.html": "blog",
		"site/shop.html": "shop page", "site/shop/index.html": "shop folder", "site/style.css": "css", "site/data.unknown": "data",
		"site/404.html": "not here", "site/a b.txt": "blank", "site/.well-known/x": "known", "site/ü.html": "umlaut",
		"site/.env": canary, "site/.git/config": canary, "site/netlify.toml": canary, "site/weir.toml": canary, "site/_redirects": canary,
		"site/_headers": canary, "site/_weir.toml": canary, "site/node_modules/x/index.html": canary, "site/sub/.env": canary,
		"site/.well-known/.env": canary, "site/sub/.well-known/x": canary, "site/sub/weir.toml": canary,
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	site := filepath.Join(dir, "site")
	for link, target := range map[string]string{
		"out": "../canary", "absolute": filepath.Join(dir, "canary"), "up": "..", "index2.html": "index.html", "away": dir, "page.html": "../canary",
	} {
		if err := os.Symlink(target, filepath.Join(site, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(site, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	return site
}

func get(dir string, r *http.Request) *httptest.ResponseRecorder {
	r.Host = "localhost"
	return answerTo(r, func(o *Options) {
		if dir != "" {
			o.Files = Folder(dir)
		}
	})
}

func TestStaticFiles(t *testing.T) {
	dir := publish(t)
	for path, want := range map[string]struct {
		status     int
		body, kind string
	}{
		"/":                                 {200, "home", "text/html; charset=utf-8"},
		"/index.html":                       {200, "home", "text/html; charset=utf-8"},
		"/index":                            {200, "home", "text/html; charset=utf-8"},
		"/about":                            {200, "about", "text/html; charset=utf-8"},
		"/about/":                           {200, "about", "text/html; charset=utf-8"},
		"/about.html":                       {200, "about", "text/html; charset=utf-8"},
		"/blog":                             {200, "blog", "text/html; charset=utf-8"},
		"/blog/":                            {200, "blog", "text/html; charset=utf-8"},
		"/shop":                             {200, "shop page", "text/html; charset=utf-8"},
		"/style.css":                        {200, "css", "text/css; charset=utf-8"},
		"/data.unknown":                     {200, "data", "application/octet-stream"},
		"/a%20b.txt":                        {200, "blank", "text/plain; charset=utf-8"},
		"/%C3%BC":                           {200, "umlaut", "text/html; charset=utf-8"},
		"/.well-known/x":                    {200, "known", "application/octet-stream"},
		"/index2.html":                      {200, "home", "text/html; charset=utf-8"},
		"/blog/../about":                    {404, "not here", "text/html; charset=utf-8"},
		"/no/such":                          {404, "not here", "text/html; charset=utf-8"},
		"/sub":                              {404, "not here", "text/html; charset=utf-8"},
		"/pipe":                             {404, "not here", "text/html; charset=utf-8"},
		"/.env":                             {404, "not here", "text/html; charset=utf-8"},
		"/%2eenv":                           {404, "not here", "text/html; charset=utf-8"},
		"/.git/config":                      {404, "not here", "text/html; charset=utf-8"},
		"/netlify.toml":                     {404, "not here", "text/html; charset=utf-8"},
		"/sub/weir.toml":                    {404, "not here", "text/html; charset=utf-8"},
		"/node_modules/x/":                  {404, "not here", "text/html; charset=utf-8"},
		"/out":                              {404, "not here", "text/html; charset=utf-8"},
		"/page":                             {404, "not here", "text/html; charset=utf-8"},
		"/up/canary":                        {404, "not here", "text/html; charset=utf-8"},
		"/up/site/index.html":               {404, "not here", "text/html; charset=utf-8"},
		"/%2e%2e/canary":                    {404, "not here", "text/html; charset=utf-8"},
		"/..%2fcanary":                      {404, "not here", "text/html; charset=utf-8"},
		"/blog/..%2f..%2f..%2fcanary":       {404, "not here", "text/html; charset=utf-8"},
		"/..%5ccanary":                      {404, "not here", "text/html; charset=utf-8"},
		"/index.html%00.txt":                {404, "not here", "text/html; charset=utf-8"},
		"/" + strings.Repeat("a", 5000):     {404, "not here", "text/html; charset=utf-8"},
		"/" + strings.Repeat("a/", 5000):    {404, "not here", "text/html; charset=utf-8"},
		"/index.html/":                      {200, "home", "text/html; charset=utf-8"},
		"/sub/.well-known/x":                {404, "not here", "text/html; charset=utf-8"},
		"/.well-known/.env":                 {404, "not here", "text/html; charset=utf-8"},
		"/absolute":                         {404, "not here", "text/html; charset=utf-8"},
		"//" + filepath.Dir(dir) + "/about": {404, "not here", "text/html; charset=utf-8"},
	} {
		w := get(dir, httptest.NewRequest("GET", path, nil))
		if w.Code != want.status || w.Body.String() != want.body || w.Header().Get("Content-Type") != want.kind || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.60s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
	}
}

func TestStaticConditionsAndRanges(t *testing.T) {
	dir := publish(t)
	tag := get(dir, httptest.NewRequest("GET", "/about", nil)).Header().Get("ETag")
	for name, c := range map[string]struct {
		method string
		header []string
		status int
		body   string
	}{
		"unchanged":         {"GET", []string{"If-None-Match: " + tag}, 304, ""},
		"changed":           {"GET", []string{`If-None-Match: "other"`}, 200, "about"},
		"range":             {"GET", []string{"Range: bytes=1-2"}, 206, "bo"},
		"range at the end":  {"GET", []string{"Range: bytes=-2"}, 206, "ut"},
		"range beyond":      {"GET", []string{"Range: bytes=99-"}, 416, "invalid range: failed to overlap\n"},
		"range, same file":  {"GET", []string{"Range: bytes=0-0", "If-Range: " + tag}, 206, "a"},
		"range, other file": {"GET", []string{"Range: bytes=0-0", `If-Range: "other"`}, 200, "about"},
		"head":              {"HEAD", nil, 200, ""},
		"only that one":     {"GET", []string{"If-Match: " + tag}, 200, "about"},
		"only another one":  {"GET", []string{`If-Match: "other"`}, 412, ""},
		"post":              {"POST", nil, 405, `{"detail":"static files are read by GET and HEAD","status":405,"title":"Method Not Allowed"}`},
	} {
		w := get(dir, request(c.method, "/about", "", c.header...))
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
		if c.status >= 304 && c.body == "" && w.Header().Get("Content-Length") != "" {
			t.Errorf("%s: no body of %s bytes", name, w.Header().Get("Content-Length"))
		}
		if c.method == "HEAD" && w.Header().Get("Content-Length") != "5" {
			t.Errorf("%s: length %s", name, w.Header().Get("Content-Length"))
		}
	}
	if w := get(dir, httptest.NewRequest("HEAD", "/no", nil)); w.Code != 404 || w.Body.Len() > 0 {
		t.Errorf("HEAD of nothing: %d %q", w.Code, w.Body)
	}
	if err := os.WriteFile(filepath.Join(dir, "about.html"), []byte("about us"), 0o644); err != nil {
		t.Fatal(err)
	}
	if w := get(dir, request("GET", "/about", "", "If-None-Match: "+tag)); w.Code != 200 || w.Body.String() != "about us" {
		t.Errorf("after a change: %d %q", w.Code, w.Body)
	}
}

func TestStaticWithoutPages(t *testing.T) {
	for name, dir := range map[string]string{"no folder": "", "missing folder": filepath.Join(t.TempDir(), "gone"), "empty folder": t.TempDir()} {
		w := get(dir, httptest.NewRequest("GET", "/", nil))
		if w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

// FuzzStaticPath: no path gives a file that is hidden or lies outside the folder.
func FuzzStaticPath(f *testing.F) {
	dir := publish(f)
	for _, s := range []string{"/", "/../canary", "/%2e%2e/canary", "/..%2fcanary", "/out", "/up/canary", "/away/canary", "/.env", "//canary",
		"/sub/../.env", "/a\\..\\canary", "/%00", "/node_modules/x", "/index.html/../../canary", "/page", "/.//.env", "/absolute/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		urls := []*url.URL{{Path: path}}
		if u, err := url.ParseRequestURI(path); err == nil {
			urls = append(urls, u)
		}
		for _, u := range urls {
			w := get(dir, &http.Request{Method: "GET", URL: u, Header: http.Header{}})
			if strings.Contains(w.Body.String(), canary) {
				t.Fatalf("%q gives what must not be read", path)
			}
			if w.Code != 200 && w.Code != 404 {
				t.Fatalf("%q: %d", path, w.Code)
			}
		}
	})
}
