package routing

import (
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
)

// elsewhere are the answers that differ from Netlify's on purpose, and why. docs/routing.md says the same.
var elsewhere = map[string]struct{ to, why string }{
	"http://site.test/a/x%2fy":        {"/b/x%2fy", "a splat keeps its encoding"},
	"http://site.test/a/..%2f..":      {"", "what can be read in two ways matches nothing"},
	"http://site.test/store?id=a%20b": {"/blog/a%20b?id=a%20b", "a + in a path is a plus"},
	"http://site.test/enc?q=a+b":      {"/r?q=a%20b", "the same, written the one way that fits everywhere"},
	"http://site.test/s2/a&b":         {"/q?x=a%26b", "a value adds no parameters"},
	"http://site.test/s2/a%3Fb":       {"/q?x=a%3Fb", "a splat keeps its encoding"},
}

// TestAnswersAreNetlifys holds what rules make of requests against what Netlify's own packages say
// (testdata/redirector.mjs).
func TestAnswersAreNetlifys(t *testing.T) {
	data, err := os.ReadFile("testdata/redirector.json")
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Name, Rules string
		Cases       []struct {
			URL, Cookie, To string
			Status          int
			Force           bool
		}
	}
	if err := json.Unmarshal(data, &groups); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range groups {
		rules, _ := Parse(Sources{Redirects: Text{"_redirects", g.Rules}})
		for _, c := range g.Cases {
			n++
			got, _ := rules.Match(requestOf(t, c.URL, c.Cookie))
			if other, ok := elsewhere[c.URL]; ok {
				if c.To == other.to {
					t.Errorf("%s: no difference any more", c.URL)
				}
				c.To = other.to
				if c.To == "" {
					c.Status, c.Force = 0, false
				}
			}
			if got.Target != c.To || got.Status != c.Status || got.Force != c.Force {
				t.Errorf("%s %s %s: got %+v, want %s %d %v", g.Name, c.URL, c.Cookie, got, c.To, c.Status, c.Force)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d cases", n)
	}
}

// requestOf makes a request of a URL and cookies.
func requestOf(t testing.TB, target, cookie string) Request {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	cookies := map[string]string{}
	for c := range strings.SplitSeq(cookie, "; ") {
		name, value, _ := strings.Cut(c, "=")
		cookies[name] = value
	}
	return Request{Scheme: u.Scheme, Host: u.Host, Path: u.EscapedPath(), Query: u.RawQuery, Language: cookies["nf_lang"],
		Country: cookies["nf_country"], Cookies: func() map[string]string { return cookies }}
}
