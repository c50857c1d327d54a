package learn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// learned compiles the live rules of a proposal, by function.
func learned(t *testing.T, p *Proposal) map[string]*policy.Engine {
	t.Helper()
	out := map[string]*policy.Engine{}
	for _, f := range p.Functions {
		pol := &policy.Policy{Function: f.Name, Source: "weir.toml"}
		for _, r := range f.Rules {
			if r.Live() && r.Key != "addons" {
				pol.Rules = append(pol.Rules, r.rule)
			}
		}
		eng, err := policy.Compile(pol)
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = eng
	}
	return out
}

type everything struct{}

func (everything) Host(string) string { return "functions/f.js" }
func (everything) Word(string) bool   { return true }
func (everything) Path(string) bool   { return true }

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomValue(r *rand.Rand) string {
	switch r.IntN(6) {
	case 0:
		return fmt.Sprint(r.IntN(1_000_000))
	case 1:
		return fmt.Sprintf("cus_%x", r.Uint64())
	case 2:
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()&(1<<48-1))
	case 3:
		return fmt.Sprintf("%x", r.Uint64())
	case 4:
		return fmt.Sprintf("2026-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28))
	}
	return fmt.Sprintf("item-%d", 1000+r.IntN(9000))
}

var apiWords = []string{"customers", "orders", "items", "search", "v1", "invoices"}

func randomCall(r *rand.Rand) record.Decision {
	host := pick(r, "api.pay.test", "files.pay.test", "api.weather.test")
	path := ""
	for range 1 + r.IntN(4) {
		if path != "" && r.IntN(2) == 0 {
			path += "/" + randomValue(r)
		} else {
			path += "/" + pick(r, apiWords...)
		}
	}
	switch r.IntN(10) {
	case 0:
		return record.Decision{Kind: "tcp", Target: "db.pay.test:5432"}
	case 1:
		return record.Decision{Kind: "ws", Target: "wss://" + host + path}
	case 2:
		return record.Decision{Kind: "env", Target: "KEY_" + pick(r, "A", "B")}
	}
	return record.Decision{Kind: "http", Method: pick(r, "GET", "POST"), Target: "https://" + host + path + pick(r, "", "", "/")}
}

// TestLearnedPolicyFits: it allows every call that it was learned from, and no call with another
// method, to another host or port, or of another family of paths.
func TestLearnedPolicyFits(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		run := newRun()
		for range 1 + r.IntN(60) {
			i, again := run.invocation("f"), run.invocation("f") // what one alone does may be a comment
			for range 1 + r.IntN(4) {
				d := randomCall(r)
				d.Verdict, d.Mode = record.Deny, record.Monitor
				i.record(d)
				again.record(d)
			}
		}
		eng := learned(t, propose(t, run.set, Options{Sources: all(everything{})}))["f"]
		decide := func(d record.Decision) bool {
			req, ok := requestOf(&d)
			return ok && eng.Decide(&req).Allow
		}
		for _, d := range run.all {
			if !decide(d) {
				t.Fatalf("seed %d: %s %s %s was learned and is denied", seed, d.Kind, d.Method, d.Target)
			}
			for _, o := range others(d) {
				if decide(o) {
					t.Fatalf("seed %d: %s %s %s is allowed, from %s", seed, o.Kind, o.Method, o.Target, d.Target)
				}
			}
		}
	}
}

// others gives calls that differ from one in what a policy is about.
func others(d record.Decision) []record.Decision {
	with := func(f func(*record.Decision)) record.Decision { o := d; f(&o); return o }
	switch d.Kind {
	case "tcp":
		return []record.Decision{
			with(func(o *record.Decision) { o.Target = "db.pay.test:5433" }),
			with(func(o *record.Decision) { o.Target = "db.evil.test:5432" }),
			with(func(o *record.Decision) { o.Kind = "udp" })}
	case "env":
		return []record.Decision{with(func(o *record.Decision) { o.Target = "KEY" }), with(func(o *record.Decision) { o.Target += "_X" })}
	}
	scheme, rest, _ := strings.Cut(d.Target, "://")
	host, path, _ := strings.Cut(rest, "/")
	at := func(host, path string) record.Decision {
		return with(func(o *record.Decision) { o.Target = scheme + "://" + host + "/" + path })
	}
	out := []record.Decision{at("x."+host, path), at("evil.test", path), at(host+":8443", path), at(host, "admin/"+path), at(host, "admin"),
		at(host, strings.TrimSuffix(path, "/")+"/admin/export/all/of/it"),
		with(func(o *record.Decision) { o.Target = strings.Replace(d.Target, "s://", "://", 1) })}
	if d.Kind == "http" {
		for _, m := range []string{"DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"} {
			out = append(out, with(func(o *record.Decision) { o.Method = m }))
		}
	}
	return out
}

// TestTreesKeepEverything: whatever comes in which order, a path that found room is covered by a pattern.
func TestTreesKeepEverything(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		s, f := NewSet(), &function{}
		tr := &tree{}
		var kept []string
		for range r.IntN(300) {
			path := ""
			for range 1 + r.IntN(4) {
				path += "/" + pick(r, "a", "b", "", "word"+string(rune('a'+r.IntN(20))), randomValue(r))
			}
			if strings.Contains(path, "//") {
				continue
			}
			if s.insert(f, tr, path, r.Uint64()) != nil {
				kept = append(kept, path)
			}
		}
		patterns := tr.patterns()
		for _, path := range kept {
			req, err := policy.NewHTTP("GET", "https", "h.test", path)
			if err != nil {
				t.Fatal(path, err)
			}
			covered := false
			for _, p := range patterns {
				eng, err := policy.Compile(&policy.Policy{Rules: []policy.Rule{{Kind: policy.HTTP, Pattern: "GET https://h.test" + p.path}}})
				if err != nil {
					t.Fatal(p.path, err)
				}
				covered = covered || eng.Decide(&req).Allow
			}
			if !covered {
				t.Fatalf("seed %d: %s is covered by none of %d patterns", seed, path, len(patterns))
			}
		}
		for i, a := range patterns {
			for j, b := range patterns {
				if i != j && covers(a.segs, b.segs) {
					t.Fatalf("seed %d: %s covers %s", seed, a.path, b.path)
				}
			}
		}
	}
}

// TestFloods: what a hostile function tries costs bounded memory, crowds out no other function, and is told.
func TestFloods(t *testing.T) {
	s := NewSet()
	for i := range 50_000 {
		for _, target := range []string{
			fmt.Sprintf("https://h%d.evil.test/", i),
			fmt.Sprintf("https://api.pay.test/%s/%s/%s", letters(i), letters(i/7), letters(i/49)),
		} {
			s.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: "f", Kind: "http", Method: "GET", Target: target, Fix: "x", Request: fmt.Sprint(i)})
		}
		s.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: "f", Kind: "read", Target: fmt.Sprintf("/srv/%d", i), Fix: "x"})
		s.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: fmt.Sprint("f", i), Kind: "env", Target: "A", Fix: "x"})
	}
	if s.nodes > maxAllNodes || len(s.functions) > maxFunctions || s.lost == 0 {
		t.Errorf("%d nodes, %d functions, %d lost", s.nodes, len(s.functions), s.lost)
	}
	p := propose(t, s, Options{Sources: all(own)})
	text, err := p.Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "evil.test"); n == 0 || n > maxDoubts {
		t.Errorf("%d lines about the flood", n)
	}
	if !strings.Contains(text, "more that deserve a second look") || !strings.Contains(text, "found no room") {
		t.Error("what is left out is not told")
	}
}

func letters(n int) string {
	s := "w"
	for range 4 {
		s += string(rune('a' + n%26))
		n /= 26
	}
	return s
}

// TestWhatIsLeftOutIsTold: deep paths, many segments of one host and many files of many functions are
// bounded, for each function and in all, and what finds no room is said where the proposal is read.
func TestWhatIsLeftOutIsTold(t *testing.T) {
	s := NewSet()
	tried := func(function, kind, target string) {
		s.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: function, Kind: kind, Method: "GET", Target: target, Fix: "x"})
	}
	for i := range 600 {
		tried("segments", "http", "https://api.pay.test/"+letters(i))
		for j := range 30 {
			tried(fmt.Sprint("files", j), "read", fmt.Sprintf("/srv/%d", i))
		}
	}
	for range 3 {
		tried("deep", "http", "https://api.pay.test"+strings.Repeat("/a", maxDepth+1))
	}
	tried("deep", "http", "https://api.pay.test/a")
	if s.flat > maxAllFlat {
		t.Errorf("%d files and so on are kept", s.flat)
	}
	p := propose(t, s, Options{Sources: all(everything{})})
	text, err := p.Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# records that found no room: 3 (paths of more than 16 segments)"; !strings.Contains(text, want) {
		t.Errorf("%q is not told", want)
	}
	lost := 0
	for _, f := range p.Functions {
		lost += f.Lost
		if f.Name == "segments" && f.LeftOut() != fmt.Sprintf("records that found no room: %d (too many different things were tried)", 600-(maxPlaceNodes)) {
			t.Errorf("%s: %s", f.Name, f.LeftOut())
		}
	}
	if lost != p.Lost {
		t.Errorf("%d left out of functions, %d in all", lost, p.Lost)
	}
}
