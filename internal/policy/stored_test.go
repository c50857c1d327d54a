package policy

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// whole is a policy in which every field is set.
func whole() *Policy {
	return &Policy{Function: "charge", Source: "weir.toml", Mode: Monitor, Addons: true, Intrinsic: true,
		Rules: []Rule{
			{Kind: HTTP, Pattern: "GET https://a.example/?", Globs: true, Query: []QueryParam{{"q", "*"}}, Budget: &Budget{MaxCalls: 3, MaxBytes: 4, Per: PerMinute}, Pos: weir.Position{File: "weir.toml", Line: 3, Column: 4}},
			{Kind: HTTP, Pattern: "GET https://a.example/x", Query: []QueryParam{}}, // no parameter at all, unlike none
			{Kind: Env, Pattern: "A"},
		},
		Limits:   weir.Limits{Timeout: 1, Memory: 2, CPU: 0.5, Tmp: 4, Processes: 5, Files: 6, Request: 7, Response: 8, Log: 9},
		Running:  weir.Running{Node: 22, Isolation: weir.PerRequest, Concurrency: 2, KeepWarm: 3},
		Settings: map[string]weir.Position{"mode": {File: "weir.toml", Line: 1}}, Sections: map[Kind]string{HTTP: "*", UDP: "a*"}}
}

// TestStoredPoliciesComeBackWhole: policies are kept as JSON, in artifacts and by servers.
func TestStoredPoliciesComeBackWhole(t *testing.T) {
	for typ, v := range map[string]reflect.Value{"Policy": reflect.ValueOf(*whole()), "Rule": reflect.ValueOf(whole().Rules[0]), "Budget": reflect.ValueOf(*whole().Rules[0].Budget),
		"Limits": reflect.ValueOf(whole().Limits), "Running": reflect.ValueOf(whole().Running)} {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Kind" {
				t.Errorf("%s.%s is not set, so nobody knows whether it is kept", typ, name)
			}
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 50 {
		p := whole()
		if i > 0 {
			p = randomPolicy(r)
		}
		data, err := json.Marshal(map[string]*Policy{"charge": p, "none": nil})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]*Policy
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, map[string]*Policy{"charge": p, "none": nil}) {
			t.Fatalf("%+v came back as %+v", p, back["charge"])
		}
	}
}

// TestStoredPoliciesAreCheckedAgain: what no front end gives is refused, wherever it comes from.
func TestStoredPoliciesAreCheckedAgain(t *testing.T) {
	for name, spoil := range map[string]func(*Policy){
		"a mode":          func(p *Policy) { p.Mode = 7 },
		"memory":          func(p *Policy) { p.Limits.Memory = -1 },
		"cpu":             func(p *Policy) { p.Limits.CPU = -0.5 },
		"concurrency":     func(p *Policy) { p.Running.Concurrency = -2 },
		"isolation":       func(p *Policy) { p.Running.Isolation = "none" },
		"a span":          func(p *Policy) { p.Rules[0].Budget.Per = 9 },
		"a negative call": func(p *Policy) { p.Rules[0].Budget.MaxCalls = -1 },
		"the whole host":  func(p *Policy) { p.Rules[2] = Rule{Kind: Read, Pattern: "/**"} },
		"a steering name": func(p *Policy) { p.Rules[2].Pattern = "NODE_OPTIONS" },
		"an odd kind":     func(p *Policy) { p.Rules[2].Kind = Addon },
		"a dot segment":   func(p *Policy) { p.Rules[2] = Rule{Kind: Read, Pattern: "/srv/../etc/**"} },
	} {
		p := whole()
		spoil(p)
		if _, err := Compile(p); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Compile(whole()); err != nil {
		t.Error(err)
	}
}

// FuzzStored: whatever a store gives, it is a policy that holds, or an error.
func FuzzStored(f *testing.F) {
	for _, p := range []*Policy{whole(), {}, {Rules: []Rule{{Kind: TCP, Pattern: "db.internal:5432"}, {Kind: Read, Pattern: "/srv/**"}}}} {
		data, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"Mode":1,"Rules":[{"Kind":"read","Pattern":"/srv/*.json","Globs":true}],"Sections":{"http":"*"},"Limits":{"CPU":1e308}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var p *Policy
		if json.Unmarshal(data, &p) != nil {
			return
		}
		e, err := Compile(p)
		if err != nil {
			if strings.ContainsAny(strings.ReplaceAll(err.Error(), "\n", ""), "\r\x00\x1b") {
				t.Fatalf("a hostile message: %q", err)
			}
			return
		}
		top, err := CompileCeiling(nil)
		if err != nil {
			t.Fatal(err)
		}
		cut, _, err := Cut(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Policy{cut, e.Within(Bound{Engine: top}).Policy(), top.Within(Bound{Engine: e}).Policy()} {
			if p.Mode != Enforce || p.Limits.Memory <= 0 || p.Running.Concurrency < 1 {
				t.Fatalf("%+v", p)
			}
		}
		if grants := e.Within(Bound{Engine: top}).Grants(Exec); grants != nil {
			t.Fatalf("programs of the host by default: %q", grants)
		}
	})
}
