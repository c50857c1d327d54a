package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// approved makes a bound of a policy.
func approved(e *Engine) Bound {
	return Bound{Engine: e, Name: "what was approved before", Remedy: "have the deploy approved"}
}

// capped makes a bound of a ceiling.
func capped(t testing.TB, c *Ceiling) Bound {
	t.Helper()
	e, err := CompileCeiling(c)
	if err != nil {
		t.Fatal(err)
	}
	return Bound{Engine: e, Name: "the organisation's ceiling", Remedy: "ask whoever looks after it"}
}

func TestBothAreAsked(t *testing.T) {
	for _, c := range []struct {
		own, bound []string
		tried      string
		want       bool
	}{
		{[]string{"http GET https://a.example/**"}, []string{"http GET https://a.example/v1/*"}, "GET https://a.example/v1/x", true},
		{[]string{"http GET https://a.example/**"}, []string{"http GET https://a.example/v1/*"}, "GET https://a.example/v2/x", false},
		{[]string{"http GET https://a.example/v1/*"}, []string{"http GET https://a.example/**"}, "GET https://a.example/v2", false},
		{[]string{"http GET https://*.example/x"}, []string{"http GET https://a.example/*"}, "GET https://a.example/x", true},
		{[]string{"http GET https://*.example/x"}, []string{"http GET https://a.example/*"}, "GET https://b.example/x", false},
		{[]string{"http GET https://*.a.example/x"}, []string{"http GET https://*.example/x"}, "GET https://b.a.example/x", false},
		{[]string{"http GET *://a.example/x"}, []string{"http GET https://a.example/x"}, "GET http://a.example/x", false},
		{[]string{"http GET *://a.example/x"}, []string{"http GET https://a.example/x"}, "GET https://a.example/x", true},
		{[]string{"http POST https://a.example/x"}, []string{"http GET https://a.example/x"}, "POST https://a.example/x", false},
		{[]string{"http GET https://A.example:443/x"}, []string{"http GET https://a.example/x"}, "GET https://a.example/x", true},
		{[]string{"http GET https://xn--bcher-kva.example/x"}, []string{"http GET https://xn--bcher-kva.example/x"}, "GET https://xn--bcher-kva.example/x", true},
		{[]string{"http GET https://bucher.example/x"}, []string{"http GET https://xn--bcher-kva.example/x"}, "GET https://bucher.example/x", false},
		{[]string{"ws wss://a.example/x"}, []string{"http GET https://a.example/x"}, "GET wss://a.example/x", false},
		{[]string{"http GET https://a.example/x"}, []string{"ws wss://a.example/x"}, "GET https://a.example/x", false},
		{[]string{"glob GET https://a.example/?"}, []string{"http GET https://a.example/a"}, "GET https://a.example/b", false},
		{[]string{"glob GET https://a.example/*"}, []string{"http GET https://a.example/*"}, "GET https://a.example/", false},
		// What is http here and tcp there is nothing at all.
		{[]string{"tcp a.example:443"}, []string{"http GET https://a.example/**"}, "tcp a.example:443", false},
		{[]string{"tcp a.example:443"}, []string{"http GET https://a.example/**"}, "GET https://a.example/x", false},
		{[]string{"http GET https://a.example/**"}, []string{"tcp a.example:443"}, "GET https://a.example/x", false},
		{[]string{"http GET https://a.example/**"}, []string{"tcp a.example:443"}, "tcp a.example:443", false},
		{[]string{"tcp db.internal:5432"}, []string{"tcp *.internal:5432"}, "tcp db.internal:5432", true},
		{[]string{"tcp *.internal:5432"}, []string{"tcp db.internal:5432"}, "tcp x.internal:5432", false},
		{[]string{"udp db.internal:5432"}, []string{"tcp db.internal:5432"}, "udp db.internal:5432", false},
		{[]string{"dns TXT a.example"}, []string{"dns SRV a.example"}, "dns TXT a.example", false},
		{nil, nil, "dns A a.example", true},
		{[]string{"read /srv/**"}, []string{"read /srv/a"}, "read /srv/a", true},
		{[]string{"read /srv/**"}, []string{"read /srv/a"}, "read /srv/b", false},
		{[]string{"read /srv/**"}, []string{"read /srv/a"}, "read /srv", false},
		{[]string{"read /srv/A"}, []string{"read /srv/a"}, "read /srv/A", false},
		{[]string{"write /srv/a"}, []string{"read /srv/a"}, "write /srv/a", false},
		{nil, nil, "read /tmp/x", true},
		{[]string{"env A"}, []string{"env a"}, "env A", false},
		{[]string{"exec /usr/bin/cal"}, nil, "exec /usr/bin/cal", false},
	} {
		e := compile(t, c.own...).Within(approved(compile(t, c.bound...)))
		if d := e.Decide(request(t, c.tried)); d.Allow != c.want {
			t.Errorf("%s by %q within %q: %+v", c.tried, c.own, c.bound, d)
		}
	}
}

// TestQueriesOfBothHold: a query rule under one without, and the reverse.
func TestQueriesOfBothHold(t *testing.T) {
	free := compile(t, "http GET https://a.example/x")
	fixed, err := Compile(&Policy{Source: "x", Rules: []Rule{{Kind: HTTP, Pattern: "GET https://a.example/x", Query: []QueryParam{{"q", "1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*Engine{free.Within(approved(fixed)), fixed.Within(approved(free))} {
		if !e.Decide(request(t, "GET https://a.example/x?q=1")).Allow || e.Decide(request(t, "GET https://a.example/x?q=2")).Allow || e.Decide(request(t, "GET https://a.example/x")).Allow {
			t.Error("a query passes that one of them refuses, or none does")
		}
	}
}

func TestGrantsAreWhatAllGrant(t *testing.T) {
	for _, c := range []struct {
		own, bound []string
		kind       Kind
		want       string
	}{
		{[]string{"read /srv/**"}, []string{"read /srv/a"}, Read, "[/srv/a] []"},
		{[]string{"read /srv/a", "read /etc/x"}, []string{"read /srv/**"}, Read, "[/srv/a] []"},
		{[]string{"read /srv/**"}, []string{"read /srv/a/**", "read /srv/b", "read /srvx"}, Read, "[/srv/a/** /srv/b] []"},
		{[]string{"read /srv"}, []string{"read /srv/**"}, Read, "[/srv] []"},
		{[]string{"read /srv/**"}, []string{"read /srv"}, Read, "[/srv] []"},
		{[]string{"read /srva/**"}, []string{"read /srv/**"}, Read, "[] []"},
		{[]string{"write /tmp/**"}, []string{"write /tmp/x/**"}, Write, "[/tmp/x/**] []"},
		{[]string{"write /srv/**"}, []string{"read /srv/**"}, Write, "[] []"},
		{[]string{"exec /usr/bin/cal", "exec /usr/bin/id"}, []string{"exec /usr/bin/id"}, Exec, "[/usr/bin/id] []"},
		{[]string{"globfile /srv/*.json"}, []string{"read /srv/**"}, Read, "[] [/srv/*.json]"},
		{[]string{"globfile /srv/*.json"}, []string{"globfile /srv/*.json"}, Read, "[] [/srv/*.json]"},
		{[]string{"globfile /srv/*.json"}, []string{"globfile /srv/a*.json"}, Read, "[] []"},
		{[]string{"globfile /srv/*.json"}, []string{"read /srv/a.json", "read /srv/a.txt"}, Read, "[/srv/a.json] []"},
		{[]string{"globfile /srv/*/x"}, []string{"read /srv/a/**"}, Read, "[] []"},
		{[]string{"read /srv/a.json", "read /srv/a.txt"}, []string{"globfile /srv/*.json"}, Read, "[/srv/a.json] []"},
		{[]string{"read /srv/**"}, []string{"globfile /srv/*.json"}, Read, "[] []"},
		{[]string{"read /srv/**", "read /srv/a"}, []string{"read /srv/a"}, Read, "[/srv/a] []"},
		{[]string{"read /srv/a.json", "globfile /srv/*.json"}, []string{"read /srv/a.json", "read /srv/b.json"}, Read, "[/srv/a.json /srv/b.json] []"},
	} {
		e := compile(t, c.own...).Within(approved(compile(t, c.bound...)))
		globs := []string{}
		for _, g := range e.Globs(c.kind) {
			globs = append(globs, g.Pattern)
		}
		if got := fmt.Sprint(e.Grants(c.kind), " ", globs); got != c.want {
			t.Errorf("%q within %q: %s, want %s", c.own, c.bound, got, c.want)
		}
	}
}

// TestManyGrants: as many rules as a weir.toml holds keep no instance waiting. Compared each with each, they take
// minutes.
func TestManyGrants(t *testing.T) {
	p := &Policy{Source: "x"}
	for i := range 60_000 {
		p.Rules = append(p.Rules, Rule{Kind: Read, Pattern: fmt.Sprint("/srv/", i)}, Rule{Kind: Env, Pattern: fmt.Sprint("V", i)})
	}
	e, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	e = e.Within(approved(e))
	if names, _ := e.Variables(); len(e.Grants(Read)) != 60_000 || len(names) != 60_000 {
		t.Errorf("%d files, %d variables", len(e.Grants(Read)), len(names))
	}
	if Check(Rule{Kind: Read, Pattern: strings.Repeat("/a", 2047) + "/"}) == nil || Check(Rule{Kind: Read, Pattern: strings.Repeat("/a", 2047)}) != nil || Check(Rule{Kind: Exec, Pattern: strings.Repeat("/a", 2048)}) == nil {
		t.Error("a path is taken that Linux does not take, or the reverse")
	}
}

func TestVariablesOfAll(t *testing.T) {
	named, less := compile(t, "env A", "env B"), compile(t, "env B", "env C")
	intrinsic, err := Compile(&Policy{Source: "f.js", Intrinsic: true})
	if err != nil {
		t.Fatal(err)
	}
	open := capped(t, nil)
	for name, c := range map[string]struct {
		engine *Engine
		want   string
	}{
		"two lists":                   {named.Within(approved(less)), "[B] false"},
		"Intrinsic within a list":     {intrinsic.Within(approved(less)), "[B C] false"},
		"a list within Intrinsic":     {named.Within(approved(intrinsic)), "[A B] false"},
		"Intrinsic within Intrinsic":  {intrinsic.Within(approved(intrinsic), open), "[] true"},
		"a list within a ceiling":     {named.Within(open), "[A B] false"},
		"Intrinsic, ceiling and list": {intrinsic.Within(open, approved(named)), "[A B] false"},
		"a closed ceiling":            {intrinsic.Within(capped(t, &Ceiling{Policy: &Policy{}})), "[] false"},
	} {
		names, all := c.engine.Variables()
		if got := fmt.Sprint(names, all); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if !named.Within(approved(intrinsic)).Decide(request(t, "env A")).Allow {
		t.Error("a variable that Intrinsic's function saw before is denied")
	}
}

func TestSettingsAreTheLowest(t *testing.T) {
	own := &Policy{Source: "x", Mode: Monitor, Addons: true, Limits: weir.Limits{Memory: 2 << 30, Timeout: 5e9}, Running: weir.Running{Node: 22, Concurrency: 10, KeepWarm: 3}}
	e, err := Compile(own)
	if err != nil {
		t.Fatal(err)
	}
	nothing := compile(t)
	p := e.Within(approved(nothing)).Policy()
	d := weir.DefaultLimits()
	if p.Mode != Enforce || p.Addons || p.Limits.Memory != d.Memory || p.Limits.Timeout != 5e9 || p.Running != (weir.Running{Node: 22, Concurrency: 1}) {
		t.Errorf("within what was approved: %+v", p)
	}
	p = e.Within(capped(t, nil)).Policy()
	if p.Mode != Enforce || !p.Addons || p.Limits.Memory != 2<<30 || p.Running != own.Running {
		t.Errorf("within the default ceiling: %+v", p)
	}
	strict := &Ceiling{Policy: &Policy{Mode: Monitor, Addons: true, Limits: weir.Limits{Memory: 512 << 20, CPU: 0.5}, Settings: map[string]weir.Position{"keep_warm": {}},
		Running: weir.Running{Isolation: weir.PerRequest, Concurrency: 5}}}
	p = e.Within(capped(t, strict)).Policy()
	if p.Mode != Monitor || p.Limits.Memory != 512<<20 || p.Limits.CPU != 0.5 || p.Limits.Files != d.Files || p.Running != (weir.Running{Node: 22, Isolation: weir.PerRequest, Concurrency: 5}) {
		t.Errorf("within a strict ceiling: %+v", p)
	}
	p = e.Within(capped(t, strict), approved(nothing)).Policy()
	if p.Mode != Enforce || p.Addons || p.Running.Concurrency != 1 {
		t.Errorf("within both: %+v", p)
	}
	if e.Policy() != own || e.Within(approved(nothing)).Decide(request(t, "addon /x")).Allow || !e.Decide(request(t, "addon /x")).Allow {
		t.Error("the engine itself has changed, or native libraries slip through")
	}
}

// TestPrivateAddressesNeedBoth: a rule leads to a private address if all name the host, and the ceiling lists it.
func TestPrivateAddressesNeedBoth(t *testing.T) {
	own := compile(t, "tcp db.internal:5432", "http GET https://api.internal/x", "udp stats.internal:8125", "tcp *.wild.internal:1")
	listed := capped(t, &Ceiling{Any: []Kind{HTTP, WS, TCP, UDP}, Private: rules("tcp db.internal:5432", "tcp *.internal:443", "tcp stats.internal:8125", "tcp *.wild.internal:1")})
	wild := approved(compile(t, "tcp *.internal:5432", "http GET https://*.internal/x", "udp *.internal:8125"))
	for name, c := range map[string]struct {
		engine        *Engine
		tcp, api, udp bool
	}{
		"alone":               {own, true, true, true},
		"listed":              {own.Within(listed), true, true, true},
		"the default ceiling": {own.Within(capped(t, nil)), false, false, false},
		"a wildcard before":   {own.Within(listed, wild), false, false, false},
		"the same before":     {own.Within(listed, approved(own)), true, true, true},
		"listed, not named":   {compile(t).Within(listed), false, false, false},
	} {
		if c.engine.Names("db.internal", 5432) != c.tcp || c.engine.Names("api.internal", 443) != c.api || c.engine.NamesUDP("stats.internal", 8125) != c.udp ||
			c.engine.Names("x.wild.internal", 1) || c.engine.Names("db.internal", 443) {
			t.Errorf("%s leads elsewhere", name)
		}
	}
	if _, err := CompileCeiling(&Ceiling{Private: rules("tcp nowhere")}); err == nil || !strings.Contains(err.Error(), "weir.toml:1") {
		t.Errorf("a private host without a port: %v", err)
	}
}

func TestChargesOfAll(t *testing.T) {
	budget := func(n int) *Engine {
		e, err := Compile(&Policy{Source: "x", Rules: []Rule{{Kind: HTTP, Pattern: "GET https://a.example/other"}, {Kind: HTTP, Pattern: "GET https://a.example/*", Budget: &Budget{MaxCalls: n}}}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	free := compile(t, "http GET https://a.example/**")
	r := request(t, "GET https://a.example/x")
	for name, c := range map[string]struct {
		engine *Engine
		want   string
	}{
		"own":         {budget(3), "0:1:3"},
		"both":        {budget(3).Within(approved(budget(2))), "0:1:3 1:1:2"},
		"the bound's": {free.Within(approved(free), approved(budget(2))), "2:1:2"},
		"nested":      {free.Within(approved(budget(4).Within(approved(budget(2))))), "1:1:4 2:1:2"},
		"none":        {free.Within(approved(free)), ""},
	} {
		got := ""
		for _, ch := range c.engine.Charges(r, c.engine.Decide(r)) {
			got += fmt.Sprintf(" %d:%d:%d", ch.Bound, ch.Rule, ch.Budget.MaxCalls)
		}
		if strings.TrimSpace(got) != c.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := budget(3).Charges(r, Decision{Rule: -1, Nearest: 1}); got != nil {
		t.Errorf("a denied call takes from %v", got)
	}
}

func TestExplainSaysWhichBound(t *testing.T) {
	ceiling := capped(t, &Ceiling{Policy: &Policy{Rules: []Rule{{Kind: HTTP, Pattern: "GET https://a.example/**", Budget: &Budget{MaxCalls: 2, Per: PerMinute}}}}})
	e := compile(t, "http GET https://a.example/x", "http GET https://b.example/x", "http GET https://c.example/x").Within(ceiling, approved(compile(t, "http GET https://a.example/x", "http GET https://b.example/x")))
	for tried, want := range map[string]string{
		"GET https://b.example/x": `GET https://b.example/x is not allowed: it is out of bounds: the organisation's ceiling does not allow it; ask whoever looks after it; the nearest rule is "GET https://b.example/x" (weir.toml:2)`,
		"GET https://d.example/x": `GET https://d.example/x is not allowed: no rule names the host d.example, and the organisation's ceiling does not allow it either; ask whoever looks after it`,
		"GET https://a.example/y": `GET https://a.example/y is not allowed: no rule has this path, and what was approved before does not allow it either; have the deploy approved; the nearest rule is "GET https://a.example/x" (weir.toml:1)`,
		"GET https://a.example/x": `GET https://a.example/x is allowed by "GET https://a.example/x" (weir.toml:1)`,
	} {
		r := request(t, tried)
		if got := e.Explain(r, e.Decide(r)).String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", tried, got, want)
		}
	}
	r := request(t, "GET https://a.example/x")
	if got := e.Explain(r, Decision{Rule: -1, Nearest: 0, Reason: OverBudget, Bound: 1}); got.Reason != "the budget of its rule is used up: that of the organisation's ceiling (2 calls per minute)" || got.Fix != "" {
		t.Errorf("over budget: %+v", got)
	}
	only := compile(t, "http GET https://a.example/x").Within(capped(t, nil))
	r = request(t, "GET https://b.example/x")
	if x := only.Explain(r, only.Decide(r)); x.Fix != `http = ["GET https://b.example/x"]` {
		t.Errorf("within the ceiling there is a fix: %+v", x)
	}
}

// TestWithinItselfNothingChanges: what was approved before runs as before while the deploy that repeats it is held.
func TestWithinItselfNothingChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		p := randomPolicy(r)
		p.Mode, p.Intrinsic = Mode(r.IntN(2)), r.IntN(2) == 0
		p.Limits.Memory, p.Running.KeepWarm = 256<<20, r.IntN(3)
		p.Rules = append(p.Rules, Rule{Kind: Read, Pattern: "/srv/*.json", Globs: true}, Rule{Kind: Write, Pattern: "/a/?/**/x*", Globs: true})
		e, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		same := e.Within(approved(e))
		for range 50 {
			req, url := randomOther(t, r), randomRequest(t, r)
			for _, req := range []*Request{req, &url} {
				d, was := same.Decide(req), e.Decide(req)
				if d.Bound = 0; d != was {
					t.Fatalf("%+v: %+v, was %+v", req, d, was)
				}
			}
			if host, port := req.Host, req.Port; same.Names(host, port) != e.Names(host, port) || same.NamesUDP(host, port) != e.NamesUDP(host, port) {
				t.Fatalf("%s:%d is named by one of them", host, port)
			}
		}
		for k := Read; k <= Exec; k++ {
			if got, was := fmt.Sprint(same.Grants(k), same.Globs(k)), fmt.Sprint(e.Grants(k), e.Globs(k)); !alike(same.Grants(k), e.Grants(k)) || len(same.Globs(k)) != len(e.Globs(k)) {
				t.Fatalf("%s: %s, was %s", k, got, was)
			}
		}
		names, all := same.Variables()
		if was, allWas := e.Variables(); !slices.Equal(names, was) || all != allWas {
			t.Fatalf("variables %v %v, were %v %v", names, all, was, allWas)
		}
		if q := same.Policy(); q.Mode != p.Mode || q.Addons != p.Addons || q.Limits != p.Limits.WithDefaults() || q.Running.KeepWarm != p.Running.KeepWarm {
			t.Fatalf("%+v, was %+v", q, p)
		}
	}
}

// alike tells whether two lists of grants grant the same files.
func alike(a, b []string) bool {
	covers := func(a, b []string) bool {
		return !slices.ContainsFunc(b, func(g string) bool {
			return !tree(setOf(a)).holds(g)
		})
	}
	return covers(a, b) && covers(b, a)
}

// randomPolicy has rules of every kind that are likely to meet those of another.
func randomPolicy(r *rand.Rand) *Policy {
	p := &Policy{Source: "x", Addons: r.IntN(2) == 0}
	for range r.IntN(6) {
		p.Rules = append(p.Rules, randomRule(r))
	}
	path := func() string {
		s := ""
		for range 1 + r.IntN(3) {
			s += "/" + pick(r, "a", "b")
		}
		return s
	}
	for range r.IntN(5) {
		p.Rules = append(p.Rules, Rule{Kind: Read, Pattern: path() + pick(r, "", "/**")}, Rule{Kind: Write, Pattern: path() + pick(r, "", "/**")},
			Rule{Kind: Exec, Pattern: path()}, Rule{Kind: Env, Pattern: pick(r, "A", "B", "C")},
			Rule{Kind: TCP, Pattern: pick(r, "*.db", "a.db", "b.db") + pick(r, ":1", ":2")}, Rule{Kind: UDP, Pattern: pick(r, "*.db", "a.db", "b.db") + pick(r, ":1", ":2")},
			Rule{Kind: DNS, Pattern: pick(r, "TXT", "SRV") + " " + pick(r, "*.db", "a.db")})
	}
	return p
}

func randomOther(t *testing.T, r *rand.Rand) *Request {
	path := ""
	for range 1 + r.IntN(3) {
		path += "/" + pick(r, "a", "b", "c")
	}
	return request(t, pick(r, "read "+path, "write "+path, "exec "+path, "env "+pick(r, "A", "B", "C"), "tcp "+pick(r, "a.db", "b.db", "x.db")+pick(r, ":1", ":2"),
		"udp "+pick(r, "a.db", "x.db")+pick(r, ":1", ":2"), "dns "+pick(r, "TXT ", "SRV ", "MX ")+pick(r, "a.db", "b.db"), "addon /x"))
}

// TestWithinIsTheAndOfAll: an engine within bounds allows what each allows by itself, and its grants for the
// kernel say the same.
func TestWithinIsTheAndOfAll(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	allowed, bounded := 0, 0
	for range 400 {
		var engines []*Engine
		for range 3 {
			e, err := Compile(randomPolicy(r))
			if err != nil {
				t.Fatal(err)
			}
			engines = append(engines, e)
		}
		e := engines[0].Within(approved(engines[1])).Within(approved(engines[2]))
		for range 100 {
			req := randomOther(t, r)
			if r.IntN(2) == 0 {
				url := randomRequest(t, r)
				req = &url
			}
			d, own, all := e.Decide(req), engines[0].Decide(req).Allow, true
			for _, x := range engines {
				all = all && x.Decide(req).Allow
			}
			if d.Allow != all {
				t.Fatalf("%+v: %+v, want %v", req, d, all)
			}
			if all {
				allowed++
			} else if own {
				bounded++
			}
			if (req.Kind == Read || req.Kind == Write || req.Kind == Exec || req.Kind == Env) && granted(e, req) != all {
				t.Fatalf("%s %s: granted by %v is not %v; rules %v", req.Kind, req.Path, e.Grants(req.Kind), all, engines[0].policy.Rules)
			}
			if req.Kind == TCP && e.Names(req.Host, req.Port) && !slices.ContainsFunc(engines, func(x *Engine) bool { return x.Names(req.Host, req.Port) }) {
				t.Fatal("a host is named by nobody")
			}
			if x := e.Explain(req, d); !d.Allow && d.Bound > 0 && x.Fix != "" {
				t.Fatalf("a fix for what is out of bounds: %+v", x)
			}
		}
	}
	if allowed < 500 || bounded < 500 {
		t.Errorf("%d allowed, %d out of bounds: the test says little", allowed, bounded)
	}
}

// granted tells whether the grants hold a path or name.
func granted(e *Engine, r *Request) bool {
	if r.Kind == Env {
		names, _ := e.Variables()
		return slices.Contains(names, r.Path)
	}
	return tree(setOf(e.Grants(r.Kind))).holds(r.Path)
}

// TestEverySettingIsBounded fails when the model of a policy grows: whoever adds a field decides here whether bounds
// lower it.
func TestEverySettingIsBounded(t *testing.T) {
	for _, c := range []struct {
		of    any
		known int
	}{{Policy{}, 10}, {Rule{}, 6}, {Budget{}, 3}, {weir.Running{}, 4}, {weir.Limits{}, 9}, {Ceiling{}, 3}} {
		if typ := reflect.TypeOf(c.of); typ.NumField() != c.known {
			t.Errorf("%s has %d fields: see to Within and Cut", typ, typ.NumField())
		}
	}
}
