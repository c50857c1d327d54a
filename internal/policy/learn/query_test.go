package learn

import (
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// TestAnOptionalQueryIsNotKnown: a rule that takes some query or none decides nothing about a call whose
// query is not on record.
func TestAnOptionalQueryIsNotKnown(t *testing.T) {
	bound := policy.Rule{Kind: policy.HTTP, Pattern: "GET https://api.pay.test/v1/items", Query: []policy.QueryParam{{Name: "page", Value: "*"}}}
	have := &policy.Policy{Function: "pay", Source: "weir.toml", Rules: []policy.Rule{bound}}
	eng, err := policy.Compile(have)
	if err != nil {
		t.Fatal(err)
	}
	replay := NewReplay(func(string) (*policy.Engine, error) { return eng, nil }, "")
	replay.Decided(record.Decision{Verdict: record.Allow, Function: "pay", Kind: "http", Method: "GET", Target: "https://api.pay.test/v1/items"})
	if replay.Unknown != 1 || replay.Same != 0 {
		t.Errorf("%+v", replay)
	}
	r := newRun()
	r.invocation("pay").tried("http", "GET", "https://api.pay.test/v1/items")
	want(t, propose(t, r.set, Options{Sources: all(own), Existing: map[string]*policy.Policy{"pay": have}}),
		"? pay http GET https://api.pay.test/v1/items")
}
