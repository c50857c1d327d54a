package route

import (
	"maps"
	"strings"
	"testing"
)

// What URLPattern of Node.js 24 answers, with Netlify's optional "/" at the end.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          map[string]string // nil: no match
	}{
		{"/a", "/a", map[string]string{}},
		{"/a", "/a/", map[string]string{}},
		{"/a", "/A", nil},
		{"/a", "/ab", nil},
		{"/a.b", "/axb", nil},
		{"/ü", "/%C3%BC", map[string]string{}},
		{"/a/:id", "/a/7", map[string]string{"id": "7"}},
		{"/a/:id", "/a/7/", map[string]string{"id": "7"}},
		{"/a/:id", "/a/b%2Fc", map[string]string{"id": "b%2Fc"}},
		{"/a/:id", "/a/", nil},
		{"/a/:id", "/a/b/c", nil},
		{"/a/:id?", "/a", map[string]string{}},
		{"/a/:id?", "/a/7", map[string]string{"id": "7"}},
		{"/a/:rest+", "/a/b/c", map[string]string{"rest": "b/c"}},
		{"/a/:rest+", "/a", nil},
		{"/a/:rest*", "/a", map[string]string{}},
		{"/a/*", "/a/b/c", map[string]string{"0": "b/c"}},
		{"/a/*", "/a/", map[string]string{"0": ""}},
		{"/a/*", "/a", nil},
		{"/*", "/", map[string]string{"0": ""}},
		{"/*/x/*", "/a/x/b", map[string]string{"0": "a", "1": "b"}},
		{"/:a-:b", "/1-2", map[string]string{"a": "1", "b": "2"}},
		{`/:id(\d+)`, "/42", map[string]string{"id": "42"}},
		{`/:id(\d+)`, "/x", nil},
		{`/(a|b)`, "/b", map[string]string{"0": "b"}},
		{"/a{/b}?", "/a", map[string]string{}},
		{"/a{/b}?", "/a/b", map[string]string{}},
		{"/a{/b}+", "/a/b/b", map[string]string{}},
		{"/file{.:ext}?", "/file.txt", map[string]string{"ext": "txt"}},
		{"/file{.:ext}?", "/file", map[string]string{}},
		{`/a\:b`, "/a:b", map[string]string{}},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if c.want != nil && !strings.HasPrefix(c.path, p.Prefix()) || p.Cost() == 0 {
			t.Errorf("%s: prefix %q, cost %d", c.pattern, p.Prefix(), p.Cost())
		}
		if got, ok := p.Match(c.path); ok != (c.want != nil) || ok && !maps.Equal(got, c.want) {
			t.Errorf("%s on %s: %v %v", c.pattern, c.path, got, ok)
		}
	}
}

func TestWhatIsNoPattern(t *testing.T) {
	for _, p := range []string{"", "a", "/:", "/:1", "/(", "/()", "/(a", "/(?:a)", "/((a))", "/(?=a)b", "/(a(?=b))", "/{", "/}", "/{a", "/{{a}}", "/a?", "/+",
		"/:a/:a", `/\`, "/(a)|(b)(", "/([)", "/" + strings.Repeat("a", maxPattern), "/{:a:b}", "/(a{1001})", "/" + strings.Repeat("(a)", maxNames+1)} {
		if got, err := Parse(p); err == nil {
			t.Errorf("%q is taken as %s", p, got.expr)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/:id?", "/{a}*", `/(\d+)/*`, "/a{/:b(x)}+", `/\(`} {
		f.Add(s, "/a/b")
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := Parse(pattern)
		if err != nil {
			return
		}
		params, ok := p.Match(path)
		if ok && !strings.HasPrefix(path, p.Prefix()) {
			t.Errorf("%q matches %q, which does not begin with %q", pattern, path, p.Prefix())
		}
		for name, value := range params {
			if !ok || !strings.Contains(path, value) {
				t.Errorf("%q on %q: %s is %q", pattern, path, name, value)
			}
		}
	})
}

// A pattern of a few bytes that repeats others a thousand times took minutes to be matched with one long path,
// and longer with a longer one.
func TestMatchingTakesNoTimeToSpeakOf(t *testing.T) {
	for _, p := range []string{
		"/" + strings.Repeat("([a-z]{0,999})", 60),
		`/(\pL{999})` + strings.Repeat(`(\pL{999})`, 80),
		"/" + strings.Repeat("((?:.?){99}){0,9}", 40),
	} {
		if _, err := Parse(p); err == nil {
			t.Errorf("%.40s… is taken", p)
		}
	}
	largest, err := Parse("/" + strings.Repeat("(.*)", maxNames))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := largest.Match("/" + strings.Repeat("a", maxPath)); ok {
		t.Error("a path that is too long was matched")
	}
}

func TestPrefix(t *testing.T) {
	for pattern, want := range map[string]string{"/a/b": "/a/b", "/a/:id": "/a", "/a/*": "/a", "/a-:id": "/a-", "/ü{/a}?": "/%C3%BC", "/:a/b": "", "/(a)": "", `/a\:b/*`: "/a:b"} {
		p, err := Parse(pattern)
		if err != nil || p.Prefix() != want {
			t.Errorf("%s: %q %v", pattern, p.Prefix(), err)
		}
	}
}
