package routing

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestFaultsAreToldByLineAndTheOtherRulesCount(t *testing.T) {
	rules, warnings := Parse(Sources{
		Redirects: Text{"_redirects", "# all kinds of faults\n/nodest\n/mail mailto:x\n/st /x 999\n/st2 /x abc\n/.netlify/x /q\n/q?x=1 /y\n//h/x /zz\n" +
			"/d/../e /x\n/s /t 200 Sign=KEY\n/c /y 302 Foo=x\n/cc /y 302 Country\n/two/*/x/* /y\n/cr /y\\x\n/h //evil.test/\n/v https://:p/ 302\n" +
			"/w/:p https://:p.test/ 200\n/u https://name:pw@host.test/\n/pct /100%\n/forward 200\n\n/good /better\n"},
		Headers: Text{"_headers", "X-Early: 1\n/*\n  Content-Length: 5\n  nonsense\n  Bad Name: x\n  X-Good: yes\n  X-None:\n"},
		Config: Text{"netlify.toml", "[build]\npublish = \"x\"\n[[redirects]]\nto = \"/x\"\n[[redirects]]\nfrom = \"/n\"\nto = 3\n[[redirects]]\nfrom = \"/p\"\nto = \"https://a.test/\"\n" +
			"status = 200\nheaders = {Host = \"b.test\"}\n[[redirects]]\nfrom = \"/better2\"\nto = \"/x\"\nstate = 200\n[[redirects]]\nfrom=\"/x\"\nto=\"/a\\r\\nb\"\n" +
			"[[headers]]\nfor = \"/a\"\n[headers.values]\nX-A = 5\n[[headers]]\nvalues = {}\n"},
	})
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w[:strings.Index(w, ": ")])
		if !strings.Contains(w, "; ") {
			t.Errorf("no remedy: %s", w)
		}
	}
	want := []string{}
	for i := 2; i <= 20; i++ {
		want = append(want, fmt.Sprintf("_redirects:%d", i))
	}
	want = append(want, "_headers:1", "_headers:3", "_headers:4", "_headers:5", "_headers:7", "netlify.toml:3", "netlify.toml:5", "netlify.toml:8",
		"netlify.toml:13", "netlify.toml:17", "netlify.toml:20", "netlify.toml:24")
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant %q", strings.Join(warnings, "\n"), want)
	}
	for _, path := range []string{"/good", "/better2"} {
		if a, ok := rules.Match(Request{Scheme: "http", Host: "site.test", Path: path}); !ok {
			t.Errorf("%s: %+v", path, a)
		}
	}
	if h := rules.HeadersFor("/anything"); !slices.Equal(h, []Header{{"X-Good", "yes"}}) {
		t.Errorf("headers %v", h)
	}
}

func TestTextsOfStrangersInWarnings(t *testing.T) {
	_, warnings := Parse(Sources{Redirects: Text{"_redirects", "/x \x1b[31mred\x07 301\n/y " + strings.Repeat("z", 5000) + "\n"}})
	for _, w := range warnings {
		if strings.ContainsAny(w, "\x1b\x07") || len(w) > 600 {
			t.Errorf("%q", w)
		}
	}
	if len(warnings) != 2 {
		t.Errorf("%q", warnings)
	}
}

func TestNetlifyTOML(t *testing.T) {
	rules, warnings := Parse(Sources{
		Redirects: Text{"_redirects", "/first /file\n"},
		Config: Text{"netlify.toml", `
[[redirects]]
from = "/first"
to = "/config"
[[redirects]]
origin = "/q"
destination = "/q/:id"
params = {id = ":id"}
status = "302"
force = true
[[redirects]]
from = "/c"
to = "/cc"
conditions = {Country = ["de", "FR"], language = "en,fr"}
[[redirects]]
from = "/api/*"
to = "https://api.test/:splat"
status = 200
headers = {X-From = "weir"}
[[headers]]
for = "/*"
[headers.values]
X-One = "config"
cache-control = '''
max-age=0,
no-cache'''
[[headers]]
for = "/docs/*"
values = {X-List = ["a", "b"], X-One = "docs"}
`},
		Headers: Text{"_headers", "/*\n X-One: file\n X-Two: file\n Link: a\n Link: b\n"},
	})
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	for url, want := range map[string]string{
		"http://s.test/first":    "1 301 false /file map[]",
		"http://s.test/q?id=a/b": "1 302 true /q/a%2Fb?id=a/b map[]",
		"http://s.test/api/x?y":  "3 200 false https://api.test/x?y map[X-From:weir]",
		"http://s.test/none":     "0 0 false  map[]",
	} {
		if a, _ := rules.Match(requestOf(t, url, "")); fmt.Sprintf("%d %d %v %s %v", a.Kind, a.Status, a.Force, a.Target, a.Headers) != want {
			t.Errorf("%s: %v", url, a)
		}
	}
	if a, ok := rules.Match(requestOf(t, "http://s.test/c", "nf_country=fr; nf_lang=fr-CA")); !ok || a.Target != "/cc" {
		t.Errorf("conditions: %v", a)
	}
	for path, want := range map[string]string{
		"/x":       "[{X-One config} {X-Two file} {Link a, b} {cache-control max-age=0, no-cache}]",
		"/DOCS/a/": "[{X-One docs} {X-Two file} {Link a, b} {cache-control max-age=0, no-cache} {X-List a, b}]",
	} {
		if got := fmt.Sprint(rules.HeadersFor(path)); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestPathsOfHeaders(t *testing.T) {
	for path, paths := range map[string][2]string{ // those that match, and those that don't
		"/*":              {"/ /a /a/b/", ""},
		"/a":              {"/a /A /a/", "/ab /a/b /b"},
		"/docs/*":         {"/docs /docs/ /docs/a/b /docsx", "/doc /x/docs"},
		"/*.js":           {"/a.js /b/c.js /A.JS", "/a.jsx /ajs"},
		"/a/:x/c":         {"/a/b/c /a/b/c/", "/a/c /a/b/b/c /a//c"},
		"/a/*/c":          {"/a/b/c /a/c /a/b/b/c", "/a/b/d /a"},
		"/a*b/c*d":        {"/ab/cd /axb/cyd /a/b/c/d", "/a/c"},
		"/:one":           {"/a", "/ /a/b"},
		"/%C3%BC(x)+[y].": {"", "/x"},
		"/p(x)+[y].z":     {"/p(x)+[y].z", "/p(x)+[y]az"},
	} {
		rules, _ := Parse(Sources{Headers: Text{"_headers", path + "\n X-A: b\n"}})
		for _, p := range strings.Fields(paths[0]) {
			if len(rules.HeadersFor(p)) == 0 {
				t.Errorf("%s does not match %s", path, p)
			}
		}
		for _, p := range strings.Fields(paths[1]) {
			if len(rules.HeadersFor(p)) > 0 {
				t.Errorf("%s matches %s", path, p)
			}
		}
	}
}

// TestValuesCanNotChangeWhereATargetLeads: what comes from a request stays in the part of a URL that it stands in.
func TestValuesCanNotChangeWhereATargetLeads(t *testing.T) {
	rules, warnings := Parse(Sources{Redirects: Text{"_redirects", `
/go/* /:splat
/out/* https://new.test/:splat
/sub/:name/x https://:name.example.test/
/up/* https://up.test/files/:splat 200
/dl f=:f /files/:f 200
/get f=:f https://up.test/get?file=:f&safe=1 200
/search/* /s?q=:splat&safe=1
`}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	for request, want := range map[string]string{
		"/go//evil.test/x":                    "/evil.test/x",
		"/go/%2Fevil.test/x":                  "/%2Fevil.test/x",
		"/go/%5Cevil.test":                    "",
		"/go/%5C%5Cevil.test":                 "",
		"/go///evil.test":                     "/evil.test",
		"/go/%0d%0aSet-Cookie:%20a=b":         "",
		"/go/%09/x":                           "",
		"/go/https://evil.test":               "/https://evil.test",
		"/go/@evil.test":                      "/@evil.test",
		"/out//evil.test":                     "https://new.test//evil.test",
		"/out/@evil.test":                     "https://new.test/@evil.test",
		"/sub/evil.test%2f/x":                 "",
		"/sub/evil.test%23/x":                 "",
		"/sub/a@evil/x":                       "",
		"/sub/good/x":                         "https://good.example.test/",
		"/up/../../secret":                    "",
		"/up/%2e%2e/secret":                   "",
		"/up/..%2fsecret":                     "",
		"/up/a/./b":                           "",
		"/up/a%00b":                           "",
		"/dl?f=../../etc/passwd":              "",
		"/dl?f=..%2f..%2fetc":                 "",
		"/dl?f=a%0d%0ab":                      "",
		"/dl?f=x%3Fy%23z":                     "/files/x%3Fy%23z?f=x%3Fy%23z",
		"/get?f=a%26safe=0":                   "https://up.test/get?file=a%26safe%3D0&safe=1",
		"/get?f=%23":                          "https://up.test/get?file=%23&safe=1",
		"/search/a&safe=0":                    "/s?q=a%26safe%3D0&safe=1",
		"/go/" + strings.Repeat("a", 9<<10):   "",
		"/go/" + strings.Repeat("/", 5000):    "/",
		"/go/x?next=%0d%0aX:y&z=\"<>":         "/x?next=%0d%0aX:y&z=%22%3C%3E",
		"/up/x?a=b%0d%0a":                     "https://up.test/files/x?a=b%0d%0a",
		"*":                                   "",
		"/go/\u00fc":                          "/\u00fc",
		"/up/" + strings.Repeat("%2e/", 1000): "",
	} {
		path, query, _ := strings.Cut(request, "?")
		a, _ := rules.Match(Request{Scheme: "http", Host: "site.test", Path: path, Query: query})
		if a.Target != want {
			t.Errorf("%.80s: got %q, want %q", request, a.Target, want)
		}
	}
}

func TestRulesForRolesKeepOutWhoHasNone(t *testing.T) {
	rules, _ := Parse(Sources{Redirects: Text{"_redirects", "/a/* 200! Role=admin,editor\n/b/* 200! Role=admin\n/b/* /login 302\n"}})
	match := func(path string, roles ...string) string {
		a, ok := rules.Match(Request{Scheme: "http", Host: "s.test", Path: path, Roles: func() []string { return roles }})
		return fmt.Sprintf("%v %d %d %v %s", ok, a.Kind, a.Status, a.Force, a.Target)
	}
	for got, want := range map[string]string{
		match("/a/x"):                    "true 4 404 true",
		match("/a/x", "user"):            "true 4 404 true",
		match("/a/x", "user", "editor"):  "true 2 200 true /a/x",
		match("/b/x"):                    "true 1 302 true /login",
		match("/b/x", "admin"):           "true 2 200 true /b/x",
		match("/%61/x"):                  "true 4 404 true ",
		match("/c/x", "admin", "editor"): "false 0 0 false",
	} {
		if strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if a, _ := rules.Match(Request{Scheme: "http", Host: "s.test", Path: "/a/x"}); a.Kind != NotFound {
		t.Errorf("without roles: %v", a)
	}
}

func TestPlainPaths(t *testing.T) {
	for path, want := range map[string]bool{"/": true, "/a/b/": true, "/%61": true, "/a.b/..c": true, "": false, "a": false, "//a": false, "/a//b": false,
		"/a/../b": false, "/a/%2e%2E/b": false, "/a/.": false, "/a%2fb": false, "/a%5cb": false, "/a%00": false, "/%zz": false, "/" + strings.Repeat("a", 9000): false} {
		if Plain(path) != want {
			t.Errorf("%.40s: %v", path, !want)
		}
	}
}

// TestListsAreBounded: a huge list is told of, and costs a request no more than it may.
func TestListsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range MaxRedirects - 5000 {
		fmt.Fprintf(&b, "/old/%d /new/%d\n", i, i)
	}
	for i := range MaxPatterns + 7 {
		fmt.Fprintf(&b, "/p/:a/%d/* /q\n", i)
	}
	b.WriteString(strings.Repeat("/broken\n", 500))
	var h strings.Builder
	for i := range MaxHeaders + 5 {
		fmt.Fprintf(&h, "/%d\n X-A: b\n", i)
	}
	rules, warnings := Parse(Sources{Redirects: Text{"_redirects", b.String()}, Headers: Text{"_headers", h.String()}})
	if n := len(rules.redirects.all); n > MaxRedirects || rules.redirects.patterns > MaxPatterns || len(rules.headers) != MaxHeaders {
		t.Errorf("%d rules, %d patterns, %d headers", n, rules.redirects.patterns, len(rules.headers))
	}
	if len(warnings) != maxWarnings+1 {
		t.Errorf("%d warnings", len(warnings))
	}
	a, _ := rules.Match(Request{Scheme: "http", Host: "s.test", Path: "/old/90000"})
	if a.Target != "/new/90000" {
		t.Errorf("%v", a)
	}
	_, warnings = Parse(Sources{Redirects: Text{"_redirects", strings.Repeat("/a /b\n", MaxText/6+1)}, Config: Text{"netlify.toml", "[redirects." + strings.Repeat("a.", 100) + "a]\n"}})
	if len(warnings) != 2 {
		t.Errorf("%q", warnings)
	}
}

// TestSmallTextsDoNotGrowLarge: what a few bytes of a hostile file become is bounded before it is read.
func TestSmallTextsDoNotGrowLarge(t *testing.T) {
	for name, s := range map[string]Sources{
		"one line":    {Redirects: Text{"_redirects", strings.Repeat("x ", MaxText/2)}},
		"one header":  {Headers: Text{"_headers", "/" + strings.Repeat("x", MaxText-1)}},
		"one list":    {Config: Text{"netlify.toml", "redirects = [" + strings.Repeat("1,", MaxText/2-10) + "]"}},
		"many tables": {Config: Text{"netlify.toml", strings.Repeat("[[redirects]]\n", MaxText/14)}},
		"a long key":  {Config: Text{"netlify.toml", "[redirects." + strings.Repeat("a.", MaxText/2-10) + "a]"}},
		"many keys":   {Config: Text{"netlify.toml", "[[redirects]]\n" + strings.Repeat("a=1\n", MaxText/4-4)}},
		"nested":      {Config: Text{"netlify.toml", "redirects=" + strings.Repeat("[", MaxText/2-10) + strings.Repeat("]", MaxText/2-10)}},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, warnings := Parse(s)
		runtime.ReadMemStats(&after)
		if len(warnings) != 1 || after.TotalAlloc-before.TotalAlloc > 64<<20 {
			t.Errorf("%s: %d MB, %.200q", name, (after.TotalAlloc-before.TotalAlloc)>>20, warnings)
		}
	}
}

func TestAnAliasOfTheConfigurationIsNoList(t *testing.T) {
	for text, want := range map[string]string{
		"redirects = 3":        "netlify.toml:1: redirects is no list of tables",
		"[redirects]\nfrom=1":  "netlify.toml:1: redirects is no list of tables",
		"redirects = [1]":      "netlify.toml:1: an entry of redirects is no table",
		"[[redirects]\nfrom=1": "netlify.toml:1:12: this is not valid TOML",
	} {
		_, warnings := Parse(Sources{Config: Text{"netlify.toml", text}})
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0], want) {
			t.Errorf("%q: %q", text, warnings)
		}
	}
}

// FuzzParse: no text breaks the reading, and what a rule gives can be sent: no rule leads to another host than it
// names, and nothing has line ends.
func FuzzParse(f *testing.F) {
	f.Add("/a/* /b/:splat 302 Country=us", "/*\n X-A: b", "[[redirects]]\nfrom = \"/x/:y\"\nto = \"https://z.test/:y\"\nstatus = 200", "/a/x", "q=1")
	f.Add("/go/* /:splat\n/s a=:b /c/:b 200!", "/a/:b/*.js\n Link: x", "[[headers]]\nfor=\"/*\"\nvalues={A=\"b\"}", "/go//evil.test", "a=..%2f")
	f.Add("http://h.test/* https://:splat.x/\n/*/x/* 200", "", "redirects = [{from=\"/a\",to=\"/b\"}]", "/%2e%2e/\\", "")
	f.Fuzz(func(t *testing.T, redirects, headers, config, path, query string) {
		rules, _ := Parse(Sources{Redirects: Text{"_redirects", redirects}, Headers: Text{"_headers", headers}, Config: Text{"netlify.toml", config}})
		for _, h := range rules.HeadersFor(path) {
			if !validName(h.Name) || strings.ContainsAny(h.Value, "\r\n\x00") {
				t.Errorf("header %q", h)
			}
		}
		a, ok := rules.Match(Request{Scheme: "http", Host: "h.test", Path: path, Query: query})
		if !ok || a.Kind == NotFound {
			return
		}
		if strings.ContainsAny(a.Target, "\r\n\x00 \\") || a.Status < 200 || a.Status > 599 {
			t.Errorf("%+v", a)
		}
		if !isURL(a.Target) && (!strings.HasPrefix(a.Target, "/") || strings.HasPrefix(a.Target, "//")) {
			t.Errorf("%+v", a)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	var text strings.Builder
	for i := range 90_000 {
		fmt.Fprintf(&text, "/old/%d /new/%d\n", i, i)
	}
	for i := range 9_999 {
		fmt.Fprintf(&text, "/p/:a/%d/* /q\n", i)
	}
	text.WriteString("/* /index.html 200\n")
	rules, _ := Parse(Sources{Redirects: Text{"_redirects", text.String()}})
	for _, path := range []string{"/old/89999", "/nothing/here", "/p/x/none/y"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				rules.Match(Request{Scheme: "http", Host: "s.test", Path: path})
			}
		})
	}
}

// TestRolesAreAskedForWhateverTheTarget: that a rule can't lead where it should is no reason to give its file to those
// whom it keeps out.
func TestRolesAreAskedForWhateverTheTarget(t *testing.T) {
	rules, warnings := Parse(Sources{Redirects: Text{"_redirects", "/:lang/secret https://:lang.site.test/ 302! Role=a\n/again/* /again/:splat 302! Role=a\n"}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	for _, path := range []string{"/en/secret", "/x_y/secret", "/again/x"} {
		for _, role := range []string{"a", "b"} {
			a, ok := rules.Match(Request{Scheme: "http", Host: "s.test", Path: path, Roles: func() []string { return []string{role} }})
			if role == "b" && (!ok || a.Kind != NotFound || !a.Force) {
				t.Errorf("%s is not kept from who lacks the role: %+v", path, a)
			}
			if role == "a" && path != "/en/secret" && ok {
				t.Errorf("%s leads who has the role to %+v", path, a)
			}
		}
	}
}

// TestStarsInPathsOfHeadersAreBounded: what stands behind them is looked for all over a request's path.
func TestStarsInPathsOfHeadersAreBounded(t *testing.T) {
	const length = 1000
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "/*%s%d\n X-A: b\n", strings.Repeat("a", length), i)
	}
	text.WriteString("/last/*\n X-B: c\n")
	rules, warnings := Parse(Sources{Headers: Text{"_headers", text.String()}})
	told := slices.ContainsFunc(warnings, func(w string) bool {
		return strings.Contains(w, "_headers:33: ") && strings.Contains(w, "behind the stars")
	})
	if n := len(rules.headers); !told || n != MaxSought/(length+tokenCost+2)+1 {
		t.Errorf("%d paths, %.1000q", n, warnings)
	}
	if h := rules.HeadersFor("/last/x"); len(h) != 1 {
		t.Errorf("a path with a star at its end: %v", h)
	}
}

// TestCostlyRulesEnd: what a request costs is bounded, however hostile rules and request are; it gets nothing then.
func TestCostlyRulesEnd(t *testing.T) {
	repeat := func(n int, line string) string { return strings.Repeat(line+"\n", n) }
	long := strings.Repeat("+", 8000)
	for name, c := range map[string]struct{ rules, path, query string }{
		"parameters":   {repeat(300, "/x "+strings.Repeat("a=:b ", 600)+"/x 302"), "/x", "a=" + long},
		"a target":     {repeat(1000, "/x a=:b /x?"+strings.Repeat(":b", 1500)+" 302"), "/x", "a=" + long},
		"splats":       {repeat(9000, "/a/* /a/:splat 302"), "/a/" + strings.Repeat("b", 8000), ""},
		"placeholders": {repeat(2000, strings.Repeat("/:a", 400)+"/none /y"), strings.Repeat("/a", 401), ""},
		"roles":        {repeat(20_000, "/x /y 302 Role="+strings.Repeat("a,", 20)), "/x", ""},
	} {
		rules, _ := Parse(Sources{Redirects: Text{"_redirects", c.rules}})
		roles := func() []string { return slices.Repeat([]string{strings.Repeat("b", 1000)}, 10_000) }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, ok := rules.Match(Request{Scheme: "http", Host: "s.test", Path: c.path, Query: c.query, Roles: roles})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 8*maxWork || ok && a.Kind != NotFound && len(a.Target) > maxTarget+maxPath {
			t.Errorf("%s: %d MB, %v", name, n>>20, a.Kind)
		}
	}
}

// TestTagsOfLanguagesAreShort: no rule compares what is no tag.
func TestTagsOfLanguagesAreShort(t *testing.T) {
	rules, _ := Parse(Sources{Redirects: Text{"_redirects", strings.Repeat("/x /y 302 Language=de\n", 10_000)}})
	q := Request{Scheme: "http", Host: "s.test", Path: "/x", Language: strings.Repeat("D", 60_000)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rules.Match(q)
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%d MB", (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// TestHeadersAreBounded: those of one path, too.
func TestHeadersAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("/*\n")
	for i := range 2 * MaxValues {
		fmt.Fprintf(&text, " X-%d: a\n", i)
	}
	rules, warnings := Parse(Sources{Headers: Text{"_headers", text.String()}})
	if n := len(rules.HeadersFor("/x")); n != MaxValues || len(warnings) != 1 {
		t.Errorf("%d headers, %q", n, warnings)
	}
}

// TestGuardsThatAreLeftOut: whoever applies rules without one would show everybody what it guards, so they say so.
func TestGuardsThatAreLeftOut(t *testing.T) {
	headers := func(text string) Sources { return Sources{Headers: Text{Name: "_headers", Text: text}} }
	config := func(text string) Sources { return Sources{Config: Text{Name: "netlify.toml", Text: text}} }
	table := "[[headers]]\nfor = \"/a/*\"\n"
	many := strings.Repeat("/a\n  X-A: 1\n", MaxHeaders)
	for name, s := range map[string]Sources{
		"no path":           headers("Basic-Auth: a:b\n"),
		"no value":          headers("/a/*\n  Basic-Auth:\n"),
		"a control byte":    headers("/a/*\n  basic-auth: a:b\x01\n"),
		"a long line":       headers("/a/*\n  Basic-Auth: a:" + strings.Repeat("b", maxLine) + "\n"),
		"too many stars":    headers("/*/*/*/*/*\n  Basic-Auth: a:b\n"),
		"too many paths":    headers(many + "/b/*\n  Basic-Auth: a:b\n"),
		"too many headers":  headers(strings.Repeat("/a\n  X-A: 1\n  X-B: 1\n", MaxValues/2) + "/a\n  Basic-Auth: a:b\n"),
		"no path, as TOML":  config("[[headers]]\n[headers.values]\nBasic-Auth = \"a:b\"\n"),
		"a number, as TOML": config(table + "[headers.values]\nBasic-Auth = \"a:b\"\nX-A = 1\n"),
		"no value, as TOML": config(table + "[headers.values]\nBasic-Auth = \"\"\n"),
		"one table":         config("[headers]\nfor = \"/a/*\"\n[headers.values]\nBasic-Auth = \"a:b\"\n"),
		"a rule for a role": {Redirects: Text{"_redirects", "/a/* /a/:splat 200! Role=admin Foo=x\n"}},
		"one too many":      {Redirects: Text{"_redirects", strings.Repeat("/a/* /b\n", MaxPatterns) + "/b/* /b/:splat 200! Role=admin\n"}},
		"one as TOML":       config("[[redirects]]\nfrom = \"/a/*\"\nto = 1\nconditions = {Role = [\"admin\"]}\n"),
		"one and no TOML":   config("[[redirects]]\nfrom = \"/a/*\"\nconditions = {Role = [\"admin\"]}\nX\n"),
		"no TOML":           config(table + "[headers.values]\nBasic-Auth = \"a:b\"\nX\n"),
	} {
		rules, _ := Parse(s)
		if err := rules.Unguarded(); weir.ErrorCode(err) != weir.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]Sources{
		"a password":        headers("/a/*\n  Basic-Auth: a:b\n"),
		"one as TOML":       config(table + "[headers.values]\nBasic-Auth = \"a:b\"\n"),
		"a role":            {Redirects: Text{"_redirects", "/a/* /a/:splat 200! Role=admin\n/b/* /c 200 Foo=x\n"}},
		"another header":    headers("X-A: 1\n" + many + "/b/*\n  X-A: 1\n"),
		"no TOML, and none": config("x"),
	} {
		rules, _ := Parse(s)
		if err := rules.Unguarded(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
