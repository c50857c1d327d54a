package learn

// One hijacked invocation: what it tries widens nothing that others may.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// oneHost is a site whose own files name one host, and no port.
type oneHost struct{ files }

func (oneHost) Host(h string) string {
	if h == "api.pay.test" {
		return "functions/pay.js"
	}
	return ""
}

// TestWordsOfOneInvocationAreNoVariety: each word of its is a rule of its own; those of many become "*".
func TestWordsOfOneInvocationAreNoVariety(t *testing.T) {
	r := newRun()
	r.invocation("f").tried("http", "GET", "https://api.pay.test/v1/orders")
	i := r.invocation("f")
	for n := range 40 {
		i.tried("http", "GET", "https://api.pay.test/v1/"+letters(n))
	}
	p := propose(t, r.set, Options{Sources: all(oneHost{})})
	if n := len(p.Functions[0].Rules); n != 41 {
		t.Errorf("%d rules: %v", n, lines(p))
	}
	for n := range 11 {
		r.invocation("f").tried("http", "GET", "https://api.pay.test/v1/new"+letters(n))
	}
	want(t, propose(t, r.set, Options{Sources: all(oneHost{})}), "f http GET https://api.pay.test/v1/*")
}

// TestOneInvocationWidensNothing: whatever it tries, wherever among the others, a rule that is new with
// it is about its own calls, and allows none that others made.
func TestOneInvocationWidensNothing(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		honest, both, own := newRun(), newRun(), newRun()
		at := r.IntN(12)
		for n := range 12 {
			call := honestCall(r)
			honest.invocation("f").record(call)
			both.invocation("f").record(call)
			if n != at {
				continue
			}
			i, alone := both.invocation("f"), own.invocation("f")
			for range r.IntN(60) {
				d := hostileCall(r)
				i.record(d)
				alone.record(d)
			}
		}
		before := liveRules(propose(t, honest.set, Options{Sources: all(oneHost{})}))
		of := lines(propose(t, own.set, Options{Sources: all(oneHost{})}))
		for text, rule := range liveRules(propose(t, both.set, Options{Sources: all(oneHost{})})) {
			if _, was := before[text]; was {
				continue
			}
			if !slices.Contains(of, "f "+text) {
				t.Fatalf("seed %d: %s is new, and not what the invocation did", seed, text)
			}
			if rule.Kind == policy.Addon {
				t.Fatalf("seed %d: native libraries", seed)
			}
			eng, err := policy.Compile(&policy.Policy{Rules: []policy.Rule{rule}})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range honest.all {
				if req, _ := requestOf(&d); eng.Decide(&req).Allow {
					t.Fatalf("seed %d: %s is new, and covers %s %s", seed, text, d.Method, d.Target)
				}
			}
		}
	}
}

func honestCall(r *rand.Rand) record.Decision {
	d := record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: "http", Method: pick(r, "GET", "POST")}
	d.Target = "https://api.pay.test/" + pick(r, "orders/open", "orders/closed", "v1/items/red", "v1/items/blue", "v1/items/green", "v1/items/red/parts", "customers/"+randomValue(r))
	return d
}

func hostileCall(r *rand.Rand) record.Decision {
	d := record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: "http", Method: pick(r, "GET", "POST", "DELETE")}
	switch r.IntN(8) {
	case 0:
		return record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: "addon", Target: "/var/task/x.node"}
	case 1:
		d.Target = "http://api.pay.test/" + pick(r, "orders/open", "v1")
	case 2:
		d.Target = "https://api.pay.test:8443/orders/open"
	default:
		d.Target = "https://api.pay.test/" + pick(r, "", "orders/", "v1/", "v1/items/", "customers/") +
			pick(r, randomValue(r), letters(r.IntN(1000)), letters(r.IntN(1000))+"/"+letters(r.IntN(1000)), randomValue(r)+"/"+randomValue(r))
	}
	return d
}

// liveRules gives the live rules of the one function there is, by key and text.
func liveRules(p *Proposal) map[string]policy.Rule {
	out := map[string]policy.Rule{}
	for _, f := range p.Functions {
		for _, r := range f.Rules {
			if r.Live() {
				out[r.Key+" "+r.Text] = r.rule
			}
		}
	}
	return out
}

// TestOneInvocationWidensNoPolicy: the rules that are there stay as narrow, whether they bind the path
// or the query.
func TestOneInvocationWidensNoPolicy(t *testing.T) {
	for _, bound := range []policy.Rule{
		{Kind: policy.HTTP, Pattern: "GET https://api.pay.test/v1/charges/search"},
		{Kind: policy.HTTP, Pattern: "GET https://api.pay.test/v1/charges/search", Query: []policy.QueryParam{{Name: "page", Value: "1"}}},
	} {
		have := &policy.Policy{Function: "f", Source: "weir.toml", Rules: []policy.Rule{bound}}
		r := newRun()
		r.invocation("f").tried("http", "GET", "https://api.pay.test/v1/charges/12345")
		want(t, propose(t, r.set, Options{Sources: all(oneHost{}), Existing: map[string]*policy.Policy{"f": have}}),
			"? f http GET https://api.pay.test/v1/charges/*")
	}
}

// TestOddPortsOfOneInvocation: that the site names a host says nothing about what is spoken with it.
func TestOddPortsOfOneInvocation(t *testing.T) {
	r := newRun()
	for range 3 {
		r.invocation("f").tried("tcp", "", "api.pay.test:15432").tried("http", "GET", "http://api.pay.test/v1")
	}
	r.invocation("f").tried("tcp", "", "api.pay.test:22").tried("tcp", "", "api.pay.test:25060").tried("http", "GET", "http://api.pay.test/v2").
		tried("addon", "", "/var/task/x.node")
	want(t, propose(t, r.set, Options{Sources: all(oneHost{files{"25060": "functions/pay.js"}})}), "f http GET http://api.pay.test/v1",
		"? f http GET http://api.pay.test/v2", "f tcp api.pay.test:15432", "f tcp api.pay.test:25060", "? f tcp api.pay.test:22", "? f addons true")
}

// TestImportsAreOneInvocation: what was tried outside of any invocation is of one making, too.
func TestImportsAreOneInvocation(t *testing.T) {
	r := newRun()
	for n := range 40 {
		r.importing("f").tried("http", "GET", "https://api.pay.test/v1/"+letters(n))
	}
	if p := propose(t, r.set, Options{Sources: all(oneHost{})}); len(p.Functions[0].Rules) != 40 {
		t.Error(fmt.Sprint(lines(p)))
	}
}
