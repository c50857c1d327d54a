package policy

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reference is a matcher that is slow and plainly right: each rule is one regular expression over
// "METHOD scheme://host:port/path" with the port always written.
type reference struct{ rules []*regexp.Regexp }

func newReference(rules []Rule) *reference {
	ref := &reference{}
	for _, r := range rules {
		pattern := r.Pattern
		if r.Kind == WS {
			pattern = "GET " + pattern
		}
		method, url, _ := strings.Cut(pattern, " ")
		scheme, rest, _ := strings.Cut(url, "://")
		authority, path, hasPath := strings.Cut(rest, "/")
		if !hasPath {
			path = ""
		}
		host, port, _ := strings.Cut(authority, ":")
		var alternatives []string
		for _, s := range map[bool][]string{true: {"http", "https"}, false: {scheme}}[scheme == "*"] {
			p := port
			if p == "" {
				p = fmt.Sprint(defaultPort(s))
			}
			alternatives = append(alternatives, s+"://"+refHost(host)+":"+p)
		}
		ref.rules = append(ref.rules, regexp.MustCompile("^"+method+" (?:"+strings.Join(alternatives, "|")+")"+refPath(path, r.Globs)+"$"))
	}
	return ref
}

func refHost(host string) string {
	return strings.NewReplacer(`\*`, `[^./:]*`, `\?`, `[^./:]`).Replace(strings.Replace(regexp.QuoteMeta(host), `\*\.`, `[^./:]+\.`, btoi(strings.HasPrefix(host, "*."))))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// refPath: one character is a byte or an escape.
func refPath(path string, globs bool) string {
	const char = `(?:%[0-9A-F]{2}|[^/%])`
	segs := strings.Split(path, "/")
	out := ""
	for i, s := range segs {
		switch {
		case s == "**" && i == len(segs)-1:
			out += `(?:/[^/]*)+`
		case s == "**":
			out += `(?:/[^/]*)*`
		case s == "*" && !globs:
			out += "/" + char + "+"
		default:
			out += "/"
			for _, c := range s {
				switch {
				case c == '*':
					out += char + "*"
				case c == '?':
					out += char
				case c == '[' || c == ']' || c == '-':
					out += string(c)
				default:
					out += regexp.QuoteMeta(string(c))
				}
			}
		}
	}
	return out
}

func (ref *reference) first(r *Request) int {
	line := fmt.Sprintf("%s %s://%s:%d%s", r.Method, r.URL.Scheme, r.URL.Host, r.URL.Port, r.URL.Path)
	return slices.IndexFunc(ref.rules, func(x *regexp.Regexp) bool { return x.MatchString(line) })
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomRule(r *rand.Rand) Rule {
	rule := Rule{Kind: HTTP, Globs: r.IntN(4) == 0}
	scheme := pick(r, "https", "https", "*", "*", "http", "wss")
	host := pick(r, "a.example", "a.example", "*.example", "x.a.example", "*.a.example")
	path := pick(r, "", "/")
	for n := 1 + r.IntN(3); n > 0; n-- {
		path = strings.TrimSuffix(path, "/") + "/" + pick(r, "a", "*", "**", "**", "a*", "*b", "a*b", "*a*", "%20", "*%20", "ab")
		if rule.Globs && r.IntN(3) == 0 && !strings.HasSuffix(path, "*") {
			path += pick(r, "?", "[ab]", "[a-b]*")
		}
	}
	if path != "" && r.IntN(5) == 0 && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	if rule.Globs && r.IntN(2) == 0 {
		host = pick(r, "?.example", "x*.example", "*x.a.example", "*.?.example")
	}
	rule.Pattern = pick(r, "GET", "GET", "POST") + " " + scheme + "://" + host + pick(r, "", "", "", "", ":8080") + path
	if scheme[0] == 'w' {
		_, rule.Pattern, _ = strings.Cut(rule.Pattern, " ")
		rule.Kind = WS
	}
	return rule
}

func randomRequest(t *testing.T, r *rand.Rand) Request {
	path := ""
	for n := r.IntN(4); n > 0; n-- {
		path += "/" + pick(r, "a", "a", "b", "ab", "aab", "%20", "a%20", "abab")
	}
	if path == "" || r.IntN(6) == 0 {
		path += "/"
	}
	req, err := newRequest(pick(r, "GET", "GET", "GET", "POST"), pick(r, "https", "https", "https", "http", "ws", "wss"),
		pick(r, "a.example", "a.example", "x.a.example", "xx.example", "y.x.example", "example")+pick(r, "", "", "", "", ":8080"), path+pick(r, "", "?q=1"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestDecideEqualsReference(t *testing.T) {
	const policies, requests = 600, 100
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	allowed := 0
	for range policies {
		p := &Policy{Source: "x"}
		for n := r.IntN(12); n >= 0; n-- {
			p.Rules = append(p.Rules, randomRule(r))
		}
		e, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		ref := newReference(p.Rules)
		for range requests {
			req := randomRequest(t, r)
			d, want := e.Decide(&req), ref.first(&req)
			if d.Rule != want || d.Allow != (want >= 0) {
				t.Fatalf("%s %s by %+v: got %+v, want rule %d", req.Method, req.URL, p.Rules, d, want)
			}
			if d.Allow {
				allowed++
			}
			if x := e.Explain(&req, d); x.String() == "" || strings.Contains(x.String(), "q=1") {
				t.Fatalf("explained as %q", x)
			}
		}
	}
	if share := float64(allowed) / (policies * requests); share < 0.02 || share > 0.9 {
		t.Errorf("%.3f of the requests were allowed: the test says little", share)
	}
}

// Whatever Compile accepts, the line that Explain proposes for a denied request allows it.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"GET https://a.example/v1/*", "GET *://*.a.example:8080/**/x", "POST https://[::1]/a*b", "GET https://a?.example/[a-z]", "GET https://a.example/%c3%a9"} {
		f.Add(s, false, "/v1/x")
		f.Add(s, true, "/v1/%20/x")
	}
	f.Add("db.internal:5432", false, "/")
	f.Add("/srv/**", false, "/srv")
	f.Fuzz(func(t *testing.T, pattern string, globs bool, target string) {
		for k := range Addon {
			rule := Rule{Kind: k, Pattern: pattern, Globs: globs}
			e, err := Compile(&Policy{Source: "x", Rules: []Rule{rule}})
			if err != nil {
				if strings.ContainsAny(err.Error(), "\n\r\x00\x1b") {
					t.Fatalf("%q: a hostile message: %q", pattern, err)
				}
				continue
			}
			req, err := NewHTTP("GET", "https", "a.example", target)
			if err != nil {
				continue
			}
			d := e.Decide(&req)
			if want := k == HTTP && newReference([]Rule{rule}).first(&req) == 0; d.Allow != want && simple(pattern) {
				t.Fatalf("%q on %q: %+v", pattern, req.URL, d)
			}
			x := e.Explain(&req, d)
			if line := x.String(); strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q", line)
			}
			if !d.Allow && x.Fix != "" {
				fixed := compile(t, "http GET "+plain(req.URL))
				if !fixed.Decide(&req).Allow {
					t.Fatalf("the fix %s does not allow %s", x.Fix, req.URL)
				}
			}
		}
	})
}

// simple tells whether the reference reads the pattern as written: no port to normalise, no sets.
func simple(pattern string) bool {
	return regexp.MustCompile(`^GET https://[a-z.]+/[a-z/*]*$`).MatchString(pattern)
}
