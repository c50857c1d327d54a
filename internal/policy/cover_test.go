package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func all(int) bool { return true }

func TestCovered(t *testing.T) {
	for _, c := range []struct {
		rule string
		by   []string
		want bool
	}{
		{"http GET https://a.example/x", []string{"http GET https://a.example/x"}, true},
		{"http GET https://a.example:443/%c3%a9", []string{"http GET https://A.example/%C3%A9"}, true},
		{"http GET https://a.example/x", []string{"http GET https://a.example/*"}, true},
		{"http GET https://a.example/*", []string{"http GET https://a.example/x"}, false},
		{"http GET https://a.example/*", []string{"http GET https://a.example/**"}, true},
		{"http GET https://a.example/**", []string{"http GET https://a.example/*"}, false},
		{"http GET https://a.example/v1/**", []string{"http GET https://a.example/v1", "http GET https://a.example/*/**"}, true},
		{"http GET https://a.example/v1", []string{"http GET https://a.example/v1/**"}, false},
		{"http GET https://a.example/**", []string{"http GET https://a.example/", "http GET https://a.example/*", "http GET https://a.example/*/**"}, true},
		{"http GET https://a.example/a*b*", []string{"http GET https://a.example/a*"}, true},
		{"http GET https://a.example/a*", []string{"http GET https://a.example/a*b*"}, false},
		{"http GET https://a.example/*x*", []string{"http GET https://a.example/*x", "http GET https://a.example/x*"}, false},
		{"http GET https://a.example/*2", []string{"http GET https://a.example/*%22"}, false},
		{"glob GET https://a.example/?[ab]", []string{"http GET https://a.example/*"}, true},
		{"glob GET https://a.example/[a-c]", []string{"glob GET https://a.example/[ab]", "http GET https://a.example/c"}, true},
		{"glob GET https://a.example/[a-d]", []string{"glob GET https://a.example/[ab]", "http GET https://a.example/c"}, false},
		{"glob GET https://a.example/x/*", []string{"http GET https://a.example/x/*"}, false}, // Intrinsic's * may be nothing
		{"http GET https://a.example/x", []string{"http POST https://a.example/x"}, false},
		{"http GET http://a.example/x", []string{"http GET https://a.example/x"}, false},
		{"http GET *://a.example/x", []string{"http GET https://a.example/x", "http GET http://a.example/x"}, true},
		{"http GET https://a.example/x", []string{"http GET *://a.example/x"}, true},
		{"http GET https://a.example:8443/x", []string{"http GET https://a.example/x"}, false},
		{"ws wss://a.example/x", []string{"http GET https://a.example/x"}, false},
		{"http GET https://*.a.example/x", []string{"http GET https://*.a.example/**"}, true},
		{"http GET https://*.a.example/x", []string{"http GET https://*.example/x"}, false},
		{"glob GET https://x*.a.example/x", []string{"http GET https://*.a.example/x"}, true},
		// Only a rule that names the host leads to a private address.
		{"http GET https://b.a.example/x", []string{"http GET https://*.a.example/x"}, false},
		{"http GET https://b.a.example/x", []string{"http GET https://*.a.example/x", "http POST https://b.a.example/y"}, true},
		{"http GET https://b.a.example/x", []string{"http GET https://*.a.example/x", "udp b.a.example:443"}, false},
		{"tcp b.a.example:5432", []string{"tcp *.a.example:5432"}, false},
		{"tcp *.a.example:5432", []string{"tcp *.a.example:5432"}, true},
		{"tcp db.example:5432", []string{"tcp db.example:5433"}, false},
		{"udp db.example:5432", []string{"tcp db.example:5432"}, false},
		{"dns TXT b.a.example", []string{"dns TXT *.a.example"}, true},
		{"dns TXT b.a.example", []string{"dns SRV b.a.example"}, false},
		{"read /srv/a", []string{"read /srv/**"}, true},
		{"read /srv/**", []string{"read /srv/a"}, false},
		{"read /srv", []string{"read /srv/**"}, true},
		{"read /srva", []string{"read /srv/**"}, false},
		{"read /srv/a", []string{"write /srv/a"}, false},
		{"read /tmp/x", nil, true},
		{"write /tmp/**", nil, false},
		{"read /srv/a.json", []string{"globfile /srv/*.json"}, true},
		{"globfile /srv/*.json", []string{"globfile /srv/*.json"}, true},
		{"globfile /srv/*.json", []string{"globfile /srv/*"}, false}, // true, but careful
		{"globfile /srv/x/*.json", []string{"read /srv/**"}, true},
		{"read /srv/a/**", []string{"globfile /srv/*"}, false},
		{"read /srv", []string{"globfile /srv/*"}, false},
		{"exec /usr/bin/cal", []string{"exec /usr/bin/cal"}, true},
		{"env AB", []string{"env A"}, false},
	} {
		old, ruled := NewCoverage(compile(t, c.by...)), NewCoverage(compile(t, c.rule))
		got, gap := ruled.Covered(0, old, all)
		example := gap.Example
		if got != c.want {
			t.Errorf("%s by %q: %v, example %q", c.rule, c.by, got, example)
		}
		if example != "" {
			if r := request(t, example); !compile(t, c.rule).Decide(r).Allow || compile(t, c.by...).Decide(r).Allow {
				t.Errorf("%s by %q: the example %s shows nothing", c.rule, c.by, example)
			}
		}
	}
}

func TestCoveredByAQuery(t *testing.T) {
	q := func(params ...QueryParam) []QueryParam { return append([]QueryParam{}, params...) }
	a, a1, b := QueryParam{"a", "*"}, QueryParam{"a", "1"}, QueryParam{"b", "*"}
	for _, c := range []struct {
		rule, by []QueryParam
		want     bool
	}{
		{nil, nil, true}, {q(), nil, true}, {nil, q(a), false},
		{q(), q(a), true}, {q(a), q(), false}, {q(a), q(a, b), true}, {q(a, b), q(a), false},
		{q(a1), q(a), true}, {q(a), q(a1), false}, {q(), q(a1), false}, {q(a1, b), q(b, a1), true},
	} {
		make := func(q []QueryParam) *Coverage {
			e, err := Compile(&Policy{Rules: []Rule{{Kind: HTTP, Pattern: "GET https://a.example/x", Query: q}}})
			if err != nil {
				t.Fatal(err)
			}
			return NewCoverage(e)
		}
		by := make(c.by)
		if got, _ := make(c.rule).Covered(0, by, all); got != c.want {
			t.Errorf("query %v by %v: %v", c.rule, c.by, got)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"http GET https://a.example/*x", "http GET https://a.example/y*", true},
		{"http GET https://a.example/x*", "http GET https://a.example/y*", false},
		{"http GET https://*.example/x", "http GET https://a.example/**", true},
		{"http GET https://a.example/x", "http POST https://a.example/x", false},
		{"http GET *://a.example/x", "http GET http://a.example/x", true},
		{"tcp *.example:1", "tcp a.example:1", true},
		{"http GET https://a.example/x", "tcp a.example:1", false},
	} {
		if got := NewCoverage(compile(t, c.a, c.b)).Overlap(0, 1); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// TestCoveredAllowsNothingMore: what a covered rule allows, the other policy allows; and the example of
// one that is not covered is allowed by the one and denied by the other.
func TestCoveredAllowsNothingMore(t *testing.T) {
	const policies, requests = 2000, 200
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	coveredRules, examples, allowed := 0, 0, 0
	for range policies {
		var engines [2]*Engine
		for i := range engines {
			p := &Policy{Source: "x"}
			for n := r.IntN(7); n >= 0; n-- {
				p.Rules = append(p.Rules, randomRule(r))
			}
			var err error
			if engines[i], err = Compile(p); err != nil {
				t.Fatal(err)
			}
		}
		old, candidate := NewCoverage(engines[0]), NewCoverage(engines[1])
		for i, rule := range engines[1].Policy().Rules {
			alone, err := Compile(&Policy{Rules: []Rule{rule}})
			if err != nil {
				t.Fatal(err)
			}
			ok, gap := candidate.Covered(i, old, all)
			example := gap.Example
			if example != "" {
				examples++
				req := request(t, example)
				if !alone.Decide(req).Allow || engines[0].Decide(req).Allow {
					t.Fatalf("%q by %+v: the example %s shows nothing", rule.Pattern, engines[0].Policy().Rules, example)
				}
			}
			if !ok {
				continue
			}
			coveredRules++
			for range requests {
				req := randomRequest(t, r)
				if !alone.Decide(&req).Allow {
					continue
				}
				allowed++
				if !engines[0].Decide(&req).Allow {
					t.Fatalf("%q is said to be covered by %+v, but allows %s %s", rule.Pattern, engines[0].Policy().Rules, req.Method, req.URL)
				}
			}
		}
	}
	if coveredRules < 100 || examples < 1000 || allowed < 100 {
		t.Errorf("%d covered rules, %d examples, %d requests allowed: the test says little", coveredRules, examples, allowed)
	}
}

// TestHostilePatternsAreGivenUp: to compare these takes exponential work. They are compared no further, and
// the answer is the careful one.
func TestHostilePatternsAreGivenUp(t *testing.T) {
	var by []string
	for i := range 60 {
		for _, c := range []string{"a", "b"} {
			by = append(by, fmt.Sprintf("http GET https://a.example/**/%s/%s**", c, strings.Repeat("*/", 14+i)))
		}
	}
	rule := NewCoverage(compile(t, "glob GET https://a.example"+strings.Repeat("/[ab]", 90)))
	start := time.Now()
	if ok, gap := rule.Covered(0, NewCoverage(compile(t, by...)), all); ok || gap.Example != "" {
		t.Errorf("the comparison was not given up: %v %+v", ok, gap)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

// FuzzCovered: whatever patterns Compile accepts, a covered one allows nothing that the others don't.
func FuzzCovered(f *testing.F) {
	f.Add("GET https://a.example/v1/*", "GET https://a.example/**", "GET *://*.example/v1", false, "a.example", "/v1/x")
	f.Add("GET https://a?.example/[a-z]*", "GET https://*.example/?*", "GET https://ab.example/**/x", true, "ab.example", "/z/x")
	f.Add("GET https://a.example/**/%C3%A9*/**", "GET https://a.example/**", "GET https://a.example/*/", false, "a.example", "/x/%C3%A9/")
	f.Add("GET https://a.example/**/", "GET https://a.example/**/**", "GET https://a.example/", true, "a.example", "/")
	f.Fuzz(func(t *testing.T, pattern, by1, by2 string, globs bool, host, target string) {
		rule := Rule{Kind: HTTP, Pattern: pattern, Globs: globs}
		alone, err := Compile(&Policy{Rules: []Rule{rule}})
		if err != nil {
			return
		}
		other, err := Compile(&Policy{Rules: []Rule{{Kind: HTTP, Pattern: by1, Globs: globs}, {Kind: HTTP, Pattern: by2}}})
		if err != nil {
			return
		}
		others := NewCoverage(other)
		ok, gap := NewCoverage(alone).Covered(0, others, all)
		example := gap.Example
		if example != "" {
			method, url, _ := strings.Cut(example, " ")
			scheme, rest, _ := strings.Cut(url, "://")
			authority, path, _ := strings.Cut(rest, "/")
			r, err := NewHTTP(method, scheme, authority, "/"+path)
			if err != nil || !alone.Decide(&r).Allow || other.Decide(&r).Allow {
				t.Fatalf("%q by %q and %q: the example %s shows nothing (%v)", pattern, by1, by2, example, err)
			}
		}
		for _, scheme := range []string{"http", "https"} {
			r, err := NewHTTP(alone.urls[0].method, scheme, host, target)
			if err == nil && ok && alone.Decide(&r).Allow && !other.Decide(&r).Allow {
				t.Fatalf("%q is said to be covered by %q and %q, but allows %s", pattern, by1, by2, r.URL)
			}
		}
	})
}
