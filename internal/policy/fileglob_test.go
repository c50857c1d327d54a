package policy

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"time"
)

func TestFileGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string // paths, by spaces
	}{
		{"/srv/*.json", "/srv/a.json /srv/.json /srv/.a.json", "/srv/a.jsonx /srv/a/b.json /srv /srv/ajson"},
		{"/srv/**/*.jpg", "/srv/a.jpg /srv/x/a.jpg /srv/x/y/.jpg", "/srv/a.gif /a.jpg /srv"},
		{"/srv/*/x", "/srv/a/x /srv/.b/x", "/srv/x /srv/a/b/x"},
		{"/srv/?[ab][0-9]", "/srv/.a0 /srv/éb9", "/srv/a0 /srv/aac /srv/aa10 /srv/%41a0"},
		{"/srv/*/**", "/srv/a/b /srv/a/b/c", "/srv/a /srv"},
		{"/srv/**/x/**/y", "/srv/x/y /srv/a/x/b/y /srv/x/x/y", "/srv/x /srv/y"},
		{"/srv/a-*-z", "/srv/a--z /srv/a-b-z", "/srv/a-z /srv/a-b-"},
	} {
		e, err := Compile(&Policy{Rules: []Rule{{Kind: Read, Pattern: c.pattern, Globs: true}}})
		if err != nil {
			t.Fatal(err)
		}
		for want, paths := range map[bool]string{true: c.yes, false: c.no} {
			for _, p := range strings.Fields(paths) {
				r, err := NewFile(Read, p)
				if err != nil {
					t.Fatal(err)
				}
				if got := e.Decide(&r); got.Allow != want {
					t.Errorf("%s, %s: %v", c.pattern, p, got.Allow)
				}
				if w, _ := NewFile(Write, p); e.Decide(&w).Allow {
					t.Errorf("%s lets %s be written", c.pattern, p)
				}
			}
		}
		if len(e.Grants(Read)) > 0 {
			t.Errorf("%s is granted as %q", c.pattern, e.Grants(Read))
		}
	}
}

func TestFileGlobsAreHeldToTheBoundsOfOtherRules(t *testing.T) {
	for _, pattern := range []string{"/**/x", "/*", "/*/x", "/proc/*", "/dev/?", "/srv/../etc/*", "srv/*", "/srv/a**", "/srv/[^a]",
		"/srv/[!a]", "/srv/[a", "/srv/\\*", "/srv/{a,b}*", "/srv//*"} {
		for _, k := range []Kind{Read, Write} {
			if err := Check(Rule{Kind: k, Pattern: pattern, Globs: true}); err == nil {
				t.Errorf("%s passed", pattern)
			}
		}
	}
	for _, pattern := range []string{"/var/task/*"} {
		if err := Check(Rule{Kind: Write, Pattern: pattern, Globs: true}); err == nil {
			t.Errorf("%s passed", pattern)
		}
	}
	if err := Check(Rule{Kind: Read, Pattern: "/srv/*.json"}); err == nil {
		t.Error("weir.toml got Intrinsic's globs")
	}
}

func TestGlobsSayWhereToLook(t *testing.T) {
	e, err := Compile(&Policy{Rules: []Rule{
		{Kind: Read, Pattern: "/srv/a/*.json", Globs: true},
		{Kind: Read, Pattern: "/srv/**/*.txt", Globs: true},
		{Kind: Read, Pattern: "/srv/*/b/?", Globs: true},
		{Kind: Read, Pattern: "/var/task/*.json", Globs: true},
		{Kind: Read, Pattern: "/srv/whole/**", Globs: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Glob{{Pattern: "/srv/a/*.json", Dir: "/srv/a", Depth: 1}, {Pattern: "/srv/**/*.txt", Dir: "/srv"}, {Pattern: "/srv/*/b/?", Dir: "/srv", Depth: 3}}
	got := e.Globs(Read)
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if g := got[i]; g.Pattern != want[i].Pattern || g.Dir != want[i].Dir || g.Depth != want[i].Depth {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// A hostile path must not stall a decision.
func TestFileGlobIsBounded(t *testing.T) {
	e, err := Compile(&Policy{Rules: []Rule{{Kind: Read, Globs: true, Pattern: "/srv" + strings.Repeat("/**/*a*a*a*b", 20)}}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := NewFile(Read, "/srv"+strings.Repeat("/"+strings.Repeat("a", 200), 20))
	start := time.Now()
	e.Decide(&r)
	if d := time.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}

// fits is what Match means, written for the reader.
func fits(segments, names []string) bool {
	switch {
	case len(segments) == 0:
		return len(names) == 0
	case segments[0] == "**" && len(segments) == 1:
		return len(names) > 0
	case segments[0] == "**":
		for i := range len(names) + 1 {
			if fits(segments[1:], names[i:]) {
				return true
			}
		}
		return false
	case len(names) == 0:
		return false
	}
	ok, _ := path.Match(segments[0], names[0])
	return ok && fits(segments[1:], names[1:])
}

func TestFileGlobsMatchWhatTheyMean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) []string {
		out := make([]string, 1+r.IntN(5))
		for i := range out {
			out[i] = from[r.IntN(len(from))]
		}
		return out
	}
	matched := 0
	for range 20000 {
		pattern := append([]string{"srv"}, pick([]string{"**", "**", "*", "a", "b", "a*", "?", "[ab]", "*b"})...)
		name := append([]string{"srv"}, pick([]string{"a", "b", "ab", "c", ".a", "é"})...)
		whole := "/" + strings.Join(pattern, "/")
		if !isFileGlob(whole) {
			continue
		}
		g, err := parseFileGlob(&Rule{Kind: Read, Pattern: whole, Globs: true})
		if err != nil {
			t.Fatal(err)
		}
		got, want := g.Match("/"+strings.Join(name, "/")), fits(pattern, name)
		if got != want {
			t.Fatalf("%s, /%s: %v, want %v", whole, strings.Join(name, "/"), got, want)
		}
		if got {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d matches: the test says little", matched)
	}
}
