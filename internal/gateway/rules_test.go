package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

// shelf is Files in memory, by path.
type shelf map[string]string

func (s shelf) Open(name string) (*File, error) {
	text, ok := s[name]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case text == "broken":
		return nil, fmt.Errorf("a secret of the disk")
	}
	return &File{struct {
		io.ReadSeeker
		io.Closer
	}{strings.NewReader(text), io.NopCloser(nil)}, int64(len(text)), fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}, nil
}

// ruled gives options for a site with files, and rules as in _redirects and _headers.
func ruled(t testing.TB, redirects, headers string, files shelf) func(*Options) {
	t.Helper()
	rules, warnings := routing.Parse(routing.Sources{Redirects: routing.Text{Name: "_redirects", Text: redirects}, Headers: routing.Text{Name: "_headers", Text: headers}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	return func(o *Options) { o.Rules, o.Files = rules, files }
}

// echo makes a function that answers with what it was asked.
func echo() *functions {
	return &functions{invoke: func(inv weir.Invocation) (weir.Result, error) {
		var e struct {
			Path, RawURL string
			Query        map[string]string `json:"queryStringParameters"`
		}
		json.Unmarshal(inv.Event, &e)
		body, _ := json.Marshal(map[string]any{"statusCode": 200, "body": fmt.Sprintf("fn %s %s %v", e.Path, e.RawURL, e.Query)})
		return weir.Result{Payload: body}, nil
	}}
}

func TestRulesOverHTTP(t *testing.T) {
	site := ruled(t, `
/old /new?x=1#top
/go/* /:splat 301
/file /index.html 302
/forced /page 302!
/spa/* /index.html 200
/lost/* /lost.html 404
/gone /nowhere 410
/api/* /.netlify/functions/fn/:splat?from=rule 200
/plain/* /.netlify/functions/fn 200
/own /custom 200
/hide/* /:splat 200
/twice /spa/x 200
/post /page 200
/broken2 /broken.html 200
`, "", shelf{"index.html": "home", "file.html": "file", "page.html": "page", "forced.html": "never", "lost.html": "lost", "404.html": "none",
		".env": canary, "netlify.toml": canary, "_weir.toml": canary, "broken.html": "broken", "sub/index.html": "sub"})
	custom := func(o *Options) {
		o.Configs = map[string]weir.FunctionConfig{"fn": {}, "fn2": {Paths: []string{"/custom"}}}
	}
	bothVersions(t, func(t *testing.T, http2 bool) {
		s := serve(t, echo(), http2, site, custom)
		client := s.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		for request, want := range map[string]string{
			"GET /old":                         "301 Redirecting to /new?x=1#top > /new?x=1#top",
			"GET /old?y=2":                     "301 Redirecting to /new?x=1#top > /new?x=1#top",
			"POST /go/a?y=2":                   "301 Redirecting to /a?y=2 > /a?y=2",
			"GET /go//evil.test":               "301 Redirecting to /evil.test > /evil.test",
			"GET /go/%5Cevil.test":             "404 none",
			"GET /go/%0d%0aX:%20y":             "404 none",
			"GET /file":                        "200 file",
			"GET /forced":                      "302 Redirecting to /page > /page",
			"HEAD /forced":                     "302  > /page",
			"GET /spa/a/b":                     "200 home",
			"GET /lost/x":                      "404 lost",
			"GET /gone":                        "404 none",
			"GET /none":                        "404 none",
			"GET /api/x/y?a=b":                 "200 fn /api/x/y URL/api/x/y?from=rule&a=b map[a:b from:rule]",
			"GET /plain/x?a=b":                 "200 fn /plain/x URL/plain/x?a=b map[a:b]",
			"GET /hide/page":                   "200 page",
			"GET /hide/sub/":                   "200 sub",
			"GET /hide/.env":                   "404 none",
			"GET /hide/netlify.toml":           "404 none",
			"GET /hide/_weir.toml":             "404 none",
			"GET /hide/%2e%2e/page":            "404 none",
			"GET /hide/sub%2findex.html":       "404 none",
			"GET /twice":                       "404 none",
			"POST /post":                       `405 {"detail":"static files are read by GET and HEAD","status":405,"title":"Method Not Allowed"}`,
			"GET /broken":                      `503 {"detail":"the file can't be read now","remedy":"try again later","status":503,"title":"Service Unavailable"}`,
			"GET /sub/../page":                 "404 none",
			"GET /.netlify/functions/fn?a=b":   "200 fn /.netlify/functions/fn URL/.netlify/functions/fn?a=b map[a:b]",
			"GET /.netlify/functions/fn/x?a=b": "200 fn /.netlify/functions/fn/x URL/.netlify/functions/fn/x?a=b map[a:b]",
		} {
			method, path, _ := strings.Cut(request, " ")
			req, err := http.NewRequest(method, s.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = path
			if res, err := client.Do(req); err != nil {
				t.Error(err)
			} else {
				got := fmt.Sprint(res.StatusCode, " ", strings.ReplaceAll(text(t, res), s.URL, "URL"))
				if to := res.Header.Get("Location"); to != "" {
					got += " > " + to
				}
				if got != want {
					t.Errorf("%s: got %s, want %s", request, got, want)
				}
			}
		}
	})
}

func TestConditionsOfARequest(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	verifier, err := NewIdentityVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	token := func(key []byte, claims jwt.MapClaims) string {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
		return sign(t, jwt.SigningMethodHS256, key, claims)
	}
	admin := jwt.MapClaims{"app_metadata": map[string]any{"authorization": map[string]any{"roles": []string{"admin"}}}}
	site := ruled(t, "/c /de 302 Country=de\n/c /fr 302 Language=fr\n/c /else\n/admin/* 200! Role=admin\n", "",
		shelf{"admin/index.html": "secret", "admin/page.html": "secret"})
	proxied := func(o *Options) {
		o.Verifier, o.TrustedProxies, o.CountryHeader = verifier, prefixes("192.0.2.1/32"), "X-Country"
	}
	for name, c := range map[string]struct {
		path, header string
		want         string
	}{
		"nothing known":           {"/c", "", "301 /else"},
		"country by cookie":       {"/c", "Cookie: nf_country=DE", "302 /de"},
		"country by the proxy":    {"/c", "X-Country: de", "302 /de"},
		"language":                {"/c", "Accept-Language: fr-CA;q=0.8, en", "302 /fr"},
		"language by cookie":      {"/c", "Cookie: nf_lang=fr", "302 /fr"},
		"no role":                 {"/admin/page", "", "404 "},
		"no role, other ways":     {"/admin/", "", "404 "},
		"encoded":                 {"/%61dmin/page", "", "404 "},
		"encoded slash":           {"/admin%2fpage", "", "404 "},
		"two slashes":             {"//admin/page", "", "404 "},
		"two slashes within":      {"/admin//page", "", "404 "},
		"dots":                    {"/x/../admin/page", "", "404 "},
		"a role by cookie":        {"/admin/page", "Cookie: nf_jwt=" + token(key, admin), "200 "},
		"a role by authorization": {"/admin/page", "Authorization: Bearer " + token(key, admin), "200 "},
		"another role":            {"/admin/page", "Cookie: nf_jwt=" + token(key, jwt.MapClaims{"app_metadata": map[string]any{"roles": []string{"user"}}}), "404 "},
		"another key":             {"/admin/page", "Cookie: nf_jwt=" + token([]byte(strings.Repeat("x", 32)), admin), "404 "},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header}
		}
		r := request("GET", "http://localhost/", "", headers...)
		u, err := r.URL.Parse(c.path)
		if strings.HasPrefix(c.path, "//") || strings.Contains(c.path, "..") {
			u, err = r.URL, nil
			u.Path = c.path
		}
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		w := answerTo(r, site, proxied)
		if got := fmt.Sprint(w.Code, " ", w.Header().Get("Location")); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestHeadersOfASite(t *testing.T) {
	site := ruled(t, "/r /x 302\n/en/* /:splat 200\n/f /.netlify/functions/fn 200\n/locked/fn /.netlify/functions/fn 200\n", "/*\n X-All: 1\n Cache-Control: no-store\n/page\n X-Page: 2\n/locked/*\n Basic-Auth: bob:builder anna:pw\n",
		shelf{"page.html": "page", "404.html": "none", "locked/a.html": "secret"})
	for target, want := range map[string]string{
		"/page": "200 1 2 no-store", "/none": "404 1  no-store", "/r": "302   no-cache", "/f": "200   ",
		"/locked/a": "401   ", "/LOCKED/a": "401   ", "/locked": "401   ", "/.netlify/functions/fn/" + strings.Repeat("a", 9000): "401   ", "/en/locked/a": "401   ",
	} {
		res := ask(echo(), request("GET", target, ""), site)
		h := res.Header
		if got := fmt.Sprint(res.StatusCode, " ", h.Get("X-All"), " ", h.Get("X-Page"), " ", h.Get("Cache-Control")); got != want {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
		if h.Get("Basic-Auth") != "" {
			t.Errorf("%s tells its passwords", target)
		}
	}
	for user, want := range map[string]int{"bob:builder": 200, "anna:pw": 200, "bob:pw": 401, ":": 401, "": 401} {
		for _, path := range []string{"/locked/a", "/locked/fn"} {
			r, f := request("GET", path, ""), echo()
			if name, password, ok := strings.Cut(user, ":"); ok {
				r.SetBasicAuth(name, password)
			}
			if res := ask(f, r, site); res.StatusCode != want || want == 401 && len(f.got) > 0 {
				t.Errorf("%s, %s: %d", user, path, res.StatusCode)
			}
			if len(f.got) > 0 && strings.Contains(string(f.got[0].Event), `"authorization"`) {
				t.Errorf("the function knows the password: %s", f.got[0].Event)
			}
		}
	}
}

// TestUnreadFileHoldsNothing: who takes nothing of a file keeps no connection.
func TestUnreadFileHoldsNothing(t *testing.T) {
	bothVersions(t, func(t *testing.T, http2 bool) {
		done := make(chan struct{})
		s := serve(t, echo(), http2, hasty, func(o *Options) { o.Files = shelf{"big": strings.Repeat("x", 32<<20)} })
		handler := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r); close(done) })
		res, err := s.Client().Get(s.URL + "/big")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		<-done
	})
}

func TestOneConnectionTakesManyFiles(t *testing.T) {
	s := serve(t, echo(), false, func(o *Options) { o.Files = shelf{"a.txt": strings.Repeat("a", 5000), "b.css": "b"} })
	conn := dial(t, s)
	in := bufio.NewReader(conn)
	for _, path := range []string{"/a.txt", "/b.css", "/none", "/a.txt"} {
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(path, err)
		}
		io.Copy(io.Discard, res.Body)
	}
}

func TestBackgroundFunctions(t *testing.T) {
	var kept []weir.Invocation
	background := func(o *Options) {
		o.Configs = map[string]weir.FunctionConfig{"fn": {Background: true, Form: weir.FormV2}}
		o.Accept = func(_ context.Context, inv weir.Invocation) error {
			if strings.Contains(string(inv.Event), "no room") {
				return &weir.Error{Code: weir.TooLarge, Message: "the event is too large"}
			}
			kept = append(kept, inv)
			return nil
		}
	}
	f := echo()
	res := ask(f, request("POST", "/.netlify/functions/fn", strings.Repeat("x", 2*smallBody)), background)
	if res.StatusCode != 202 || text(t, res) != "" || len(kept) != 1 || kept[0].ID != res.Header.Get("X-Nf-Request-Id") || kept[0].Body != nil || len(f.got) > 0 {
		t.Errorf("%d, kept %v", res.StatusCode, kept)
	}
	if res := ask(f, request("POST", "/.netlify/functions/fn", "no room"), background); res.StatusCode != 413 {
		t.Errorf("refused: %d", res.StatusCode)
	}
	if res := ask(f, request("POST", "/.netlify/functions/fn", "x"), background, func(o *Options) { o.Accept = nil }); res.StatusCode != 503 {
		t.Errorf("nobody keeps them: %d", res.StatusCode)
	}
}

// TestLambdaHasToBeAskedFor: a site on a server must not let everybody call its functions with any event.
func TestLambdaHasToBeAskedFor(t *testing.T) {
	f := echo()
	for _, path := range []string{"/2015-03-31/functions/fn/invocations", streamingInvocations} {
		r := httptest.NewRequest("POST", path, strings.NewReader("{}"))
		r.Host = "localhost"
		if res := ask(f, r, func(o *Options) { o.Lambda = false }); res.StatusCode != 405 || len(f.got) > 0 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestPasswordsAreAskedForHoweverAPathIsWritten: what leads to a function past the password of its path is no way round.
func TestPasswordsAreAskedForHoweverAPathIsWritten(t *testing.T) {
	site := ruled(t, "/old/:id /.netlify/functions/fn 200\n", "/user/:id\n Basic-Auth: a:b\n/old/:id\n Basic-Auth: a:b\n/.netlify/functions/fn\n Basic-Auth: a:b\n", nil)
	for _, path := range []string{"/user/7", "/user/a%2Fb", "/user/a%2fb", "/user/a%2Fb/", "/u%73er/7", "/USER/7", "/old/7", "/old/a%2Fb", "/old/%41%2f",
		"/.netlify/functions/fn", "/.netlify/functions%2Ffn", "/.netlify%2ffunctions/fn", "/%2enetlify/functions/fn", "/.netlify/functions/%66n", "/.netlify/functions/fn/"} {
		f := echo()
		ask(f, request("GET", path, ""), site, func(o *Options) { o.Configs = map[string]weir.FunctionConfig{"other": {}} })
		ask(f, request("GET", path, ""), site, func(o *Options) { o.Configs = map[string]weir.FunctionConfig{"fn": {Paths: []string{"/user/:id"}}} })
		if len(f.got) > 0 {
			t.Errorf("%s reaches the function without a password", path)
		}
	}
}

// TestCookiesAndTokensAreReadOnce: not by each of the rules that ask for them, of which there may be 100,000.
func TestCookiesAndTokensAreReadOnce(t *testing.T) {
	const rules = 1000
	var text strings.Builder
	for i := range rules {
		fmt.Fprintf(&text, "/x /y 302 Cookie=none%d\n/x /y 302 Role=none%d\n", i, i)
	}
	verifier, err := NewIdentityVerifier([]byte(strings.Repeat("k", minSecret)))
	if err != nil {
		t.Fatal(err)
	}
	token := sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("k", minSecret)), jwt.MapClaims{"exp": time.Now().Add(time.Hour).Unix()})
	o := Options{Logger: quiet, AllowHost: func(string) bool { return true }, Verifier: verifier}
	ruled(t, text.String(), "", nil)(&o)
	g := New(o)
	r := request("GET", "/x", "", "Cookie: nf_jwt="+token+strings.Repeat("; a=b", 1000))
	if n := testing.AllocsPerRun(1, func() { g.ServeHTTP(httptest.NewRecorder(), r) }); n > 5*rules {
		t.Errorf("%.0f allocations", n)
	}
}
