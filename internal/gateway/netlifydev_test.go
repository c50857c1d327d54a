package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

// otherwise are the answers that differ from those of netlify dev on purpose. docs/routing.md says the same.
var otherwise = map[string]struct{ body, why string }{
	"/fnq/5?y=2":        {`{"path":"/fnq/5","q":{"x":"5","y":"2"},"raw":"x=5\u0026y=2","url":"/fnq/5?x=5\u0026y=2"}`, "a function sees both queries, whichever way it asks"},
	"/fn2/7?a=b":        {`custom /fn2/7?a=b {"id":"7"}`, "the path that a rewrite leads to has parameters"},
	"/encoded/%20a%2Fb": {"Redirecting to /e/%20a%2Fb", "a splat keeps its encoding"},
	"/_redirects":       {"none", "configuration is not given"},
	"/_headers":         {"none", "configuration is not given"},
}

// devSite is what the functions of the site of testdata/netlifydev do.
type devSite struct{}

func (devSite) Lookup(string) (weir.Limits, error) { return weir.DefaultLimits(), nil }

func (devSite) Invoke(_ context.Context, inv weir.Invocation) (weir.Result, error) {
	var e struct {
		Path, RawURL, RawQuery string
		Query                  map[string]string `json:"queryStringParameters"`
		Params                 map[string]string `json:"pathParameters"`
	}
	if err := json.Unmarshal(inv.Event, &e); err != nil {
		return weir.Result{}, err
	}
	u := strings.TrimPrefix(e.RawURL, "http://localhost")
	body, _ := json.Marshal(map[string]any{"path": e.Path, "url": u, "raw": e.RawQuery, "q": e.Query})
	if inv.Function == "custom" {
		params, _ := json.Marshal(e.Params)
		body = fmt.Appendf(nil, "custom %s %s", u, params)
	}
	payload, err := json.Marshal(map[string]any{"statusCode": 200, "headers": map[string]string{"x-fn": "1"}, "body": string(body)})
	return weir.Result{Payload: payload}, err
}

// TestAnswersAreThoseOfNetlifyDev holds a site's answers against what the real one said (testdata/netlifydev/ask.mjs).
func TestAnswersAreThoseOfNetlifyDev(t *testing.T) {
	site, err := txtar.ParseFile("testdata/netlifydev/site.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var sources routing.Sources
	files := shelf{}
	for _, f := range site.Files {
		text := routing.Text{Name: f.Name, Text: string(f.Data)}
		switch f.Name {
		case "netlify.toml":
			sources.Config = text
		case "dist/_redirects":
			sources.Redirects = text
		case "dist/_headers":
			sources.Headers = text
		}
		files[strings.TrimPrefix(f.Name, "dist/")] = text.Text
	}
	rules, _ := routing.Parse(sources)
	data, err := os.ReadFile("testdata/netlifydev/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][4]any
	if err := json.Unmarshal(data, &answers); err != nil {
		t.Fatal(err)
	}
	for asked, want := range answers {
		got := askDev(t, asked, func(o *Options) {
			o.Rules, o.Files, o.Functions = rules, files, devSite{}
			o.Configs = map[string]weir.FunctionConfig{"hello": {}, "custom": {Paths: []string{"/custom/:id", "/c2/*"}}}
		})
		body, same := otherwise[asked]
		if same {
			if got[2] == reordered(want[2].(string)) {
				t.Errorf("%s: no difference any more (%s)", asked, body.why)
			}
			if got[2] != body.body {
				t.Errorf("%s: got %s, want %s", asked, got[2], body.body)
			}
			continue
		}
		if fmt.Sprint(got[:3]) != fmt.Sprint([]any{want[0], want[1], reordered(want[2].(string))}) || got[3] != "" && got[3] != ownHeaders(want[3].(string), asked) {
			t.Errorf("%s: got %v, want %v", asked, got, want)
		}
	}
	if len(answers) < 60 {
		t.Errorf("only %d answers", len(answers))
	}
}

// askDev asks "METHOD PATH COOKIE" and gives status, target, body and, but for a function's answer, the site's headers.
func askDev(t *testing.T, asked string, site func(*Options)) [4]any {
	t.Helper()
	method, rest := "GET", asked
	if !strings.HasPrefix(asked, "/") {
		method, rest, _ = strings.Cut(asked, " ")
	}
	path, cookies, _ := strings.Cut(rest, " ")
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatal(err)
	}
	r := request(method, "/", "", "Cookie: "+cookies)
	r.URL = u
	w := answerTo(r, site)
	h := w.Header()
	var headers []string
	if h.Get("X-Nf-Request-Id") == "" {
		for _, name := range []string{"X-Toml", "X-Both", "X-File", "X-Blog"} {
			value := h.Get(name)
			if value == "" {
				value = "-"
			}
			headers = append(headers, value)
		}
	}
	return [4]any{float64(w.Code), h.Get("Location"), strings.TrimSpace(w.Body.String()), strings.Join(headers, " | ")}
}

// ownHeaders gives the four headers of the site out of what netlify dev sent. It sets those of the file's path, which
// is another than the client's in one case.
func ownHeaders(sent, asked string) string {
	parts := strings.Split(sent, " | ")[:4]
	if asked == "/rw-dir" {
		parts[3] = "-"
	}
	return strings.Join(parts, " | ")
}

// reordered gives JSON with its keys in order, and any other text as it is.
func reordered(text string) string {
	var v map[string]any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, _ := json.Marshal(v)
	return string(b)
}
