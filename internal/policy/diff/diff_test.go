package diff

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/weir"
)

var update = flag.Bool("update", false, "write the golden files anew")

// load gives the policy that a section of weir.toml with these lines gives the function f.
func load(t testing.TB, lines string) map[string]*policy.Policy {
	t.Helper()
	file, err := tomlpolicy.Parse("weir.toml", []byte(lines))
	if err == nil {
		var p *policy.Policy
		if p, err = file.For("f"); err == nil {
			return map[string]*policy.Policy{"f": p}
		}
	}
	t.Fatal(err)
	return nil
}

func section(lines ...string) string { return "[functions.f]\n" + strings.Join(lines, "\n") + "\n" }

// signs gives the changes as "+kind" and "-kind".
func signs(r Result) string {
	var out []string
	for _, c := range r.Changes {
		out = append(out, map[bool]string{true: "+", false: "-"}[c.Gained]+c.Kind)
	}
	return strings.Join(out, " ")
}

func TestWhatIsAGain(t *testing.T) {
	const a = `"GET https://a.example/x"`
	for name, c := range map[string]struct{ before, after, want string }{
		"the same":                      {section(`http = [` + a + `]`), section(`http = [` + a + `]`), ""},
		"reordered":                     {section(`http = [`+a+`, "GET https://b.example/x"]`, `env = ["A", "B"]`), section(`env = ["B", "A"]`, `http = ["GET https://b.example/x", `+a+`]`), ""},
		"moved to a glob":               {section(`http = [` + a + `]`), "[functions.\"*\"]\nhttp = [" + a + "]\n", ""},
		"spelled otherwise":             {section(`http = [` + a + `]`), section(`http = ["GET https://A.example:443/x"]`), ""},
		"split":                         {section(`http = ["GET *://a.example/x"]`), section(`http = ["GET http://a.example/x", ` + a + `]`), ""},
		"joined":                        {section(`http = ["GET http://a.example/x", ` + a + `]`), section(`http = ["GET *://a.example/x"]`), ""},
		"deeper":                        {section(`http = ["GET https://a.example/*"]`), section(`http = ["GET https://a.example/**"]`), "+http"},
		"narrowed":                      {section(`http = ["GET https://a.example/**"]`), section(`http = ["GET https://a.example/*"]`), "-http"},
		"another method":                {section(`http = [` + a + `]`), section(`http = [` + a + `, "POST https://a.example/x"]`), "+http"},
		"http instead of https":         {section(`http = [` + a + `]`), section(`http = ["GET http://a.example/x"]`), "+http -http"},
		"another port":                  {section(`http = [` + a + `]`), section(`http = ["GET https://a.example:8443/x"]`), "+http -http"},
		"a wildcard for the host":       {section(`http = ["GET https://b.a.example/x"]`), section(`http = ["GET https://*.a.example/x"]`), "+http -http"},
		"a host instead of a wildcard":  {section(`http = ["GET https://*.a.example/x"]`), section(`http = ["GET https://b.a.example/x"]`), "+http -http"},
		"the query unbound":             {section(`http = [{ allow = ` + a + `, query = { q = "*" } }]`), section(`http = [` + a + `]`), "+http"},
		"the query bound":               {section(`http = [` + a + `]`), section(`http = [{ allow = ` + a + `, query = { q = "*" } }]`), "-http"},
		"a query value freed":           {section(`http = [{ allow = ` + a + `, query = { q = "1" } }]`), section(`http = [{ allow = ` + a + `, query = { q = "*" } }]`), "+http"},
		"a budget":                      {section(`http = [` + a + `]`), section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }]`), "-http"},
		"no budget":                     {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }]`), section(`http = [` + a + `]`), "+http"},
		"a larger budget":               {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }]`), section(`http = [{ allow = ` + a + `, max_calls = 6, per = "invocation" }]`), "+http"},
		"a smaller budget":              {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }]`), section(`http = [{ allow = ` + a + `, max_calls = 4, per = "invocation" }]`), "-http"},
		"a budget of another span":      {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }]`), section(`http = [{ allow = ` + a + `, max_calls = 5, per = "minute" }]`), "+http -http"},
		"the same budget twice":         {section(`http = [{ allow = "GET https://a.example/*", max_calls = 5, per = "invocation" }]`), section(`http = [{ allow = "GET https://a.example/x", max_calls = 5, per = "invocation" }, { allow = "GET https://a.example/y", max_calls = 5, per = "invocation" }]`), "+http -http"},
		"put before a budget":           {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }, "GET https://a.example/*"]`), section(`http = ["GET https://a.example/*", { allow = ` + a + `, max_calls = 5, per = "invocation" }]`), "+http"},
		"put behind a budget":           {section(`http = ["GET https://a.example/*", { allow = ` + a + `, max_calls = 5, per = "invocation" }]`), section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }, "GET https://a.example/*"]`), "-http"},
		"a budget with a rule behind":   {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }, "GET https://a.example/*"]`), section(`http = [{ allow = ` + a + `, max_calls = 4, per = "invocation" }, "GET https://a.example/*"]`), "-http -http"},
		"budgets of different requests": {section(`http = [{ allow = ` + a + `, max_calls = 5, per = "invocation" }, "GET https://b.example/*"]`), section(`http = ["GET https://b.example/*", { allow = ` + a + `, max_calls = 5, per = "invocation" }]`), ""},
		"tcp":                           {section(`tcp = ["a.example:1"]`), section(`tcp = ["a.example:2"]`), "+tcp -tcp"},
		"udp":                           {section(``), section(`udp = ["a.example:1"]`), "+udp"},
		"dns":                           {section(`dns = ["TXT *.a.example"]`), section(`dns = ["TXT b.a.example"]`), "-dns"},
		"read":                          {section(`read = ["/srv/**"]`), section(`read = ["/srv/a", "/srv/b/**"]`), "-read"},
		"read of /tmp":                  {section(``), section(`read = ["/tmp/x"]`), ""},
		"write":                         {section(`read = ["/srv/**"]`), section(`read = ["/srv/**"]`, `write = ["/srv/a"]`), "+write"},
		"exec":                          {section(``), section(`exec = ["/usr/bin/cal"]`), "+exec"},
		"env":                           {section(`env = ["A"]`), section(`env = ["B"]`), "+env -env"},
		"monitor":                       {section(``), "mode = \"monitor\"\n" + section(``), "+mode"},
		"enforce":                       {"mode = \"monitor\"\n" + section(``), section(`mode = "enforce"`), "-mode"},
		"addons":                        {section(`addons = false`), section(`addons = true`), "+addons"},
		"larger limits":                 {section(`limits = { timeout = "10s" }`), section(`limits = { timeout = "20s", memory = "2GB" }`), "+limit +limit"},
		"isolation given up":            {section(`isolation = "request"`), section(`isolation = "instance"`), "+isolation"},
		"isolation left out":            {section(`isolation = "request"`), section(``), "+isolation"},
		"isolation gained":              {section(`isolation = "instance"`), section(`isolation = "request"`), "-isolation"},
		"more at a time":                {section(`keep_warm = 2`), section(`concurrency = 2`), "+limit -limit"},
		"what is done anyway":           {section(``), section("isolation = \"instance\"", "concurrency = 1", "keep_warm = 0"), ""},
		"the default limit":             {section(`limits = { timeout = "60s", tmp = "64MB" }`), section(``), ""},
		"a limit below the default":     {section(``), section(`limits = { cpu = 0.5 }`), "-limit"},
	} {
		r, err := Compare(load(t, c.before), load(t, c.after))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := signs(r); got != c.want {
			t.Errorf("%s: got %q, want %q (%+v)", name, got, c.want, r.Changes)
		}
	}
}

func TestIntrinsicSeesAllVariables(t *testing.T) {
	own := map[string]*policy.Policy{"f": {Function: "f", Intrinsic: true, Source: "f.js"}}
	for name, c := range map[string]struct {
		before, after map[string]*policy.Policy
		want          string
	}{
		"to Intrinsic's":   {load(t, section(`env = ["A"]`)), own, "+env -env"},
		"from Intrinsic's": {own, load(t, section(`env = ["A"]`)), "-env"},
	} {
		r, err := Compare(c.before, c.after)
		if err != nil {
			t.Fatal(err)
		}
		// A single variable of before is no loss: it is among all of them.
		if got := signs(r); got != strings.TrimSuffix(c.want, " -env") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestFunctionsComeAndGo(t *testing.T) {
	p := load(t, section(`env = ["A"]`))["f"]
	r, err := Compare(map[string]*policy.Policy{"old": p, "same": p}, map[string]*policy.Policy{"new": p, "same": p})
	if err != nil || signs(r) != "+env -env" || !slices.Equal(r.Added, []string{"new"}) || !slices.Equal(r.Removed, []string{"old"}) {
		t.Errorf("got %+v %v", r, err)
	}
}

// TestNothingIsForgotten fails when the model of a policy grows: whoever adds a field decides here
// whether it is a privilege.
func TestNothingIsForgotten(t *testing.T) {
	for _, c := range []struct {
		of    any
		known string
	}{
		{policy.Policy{}, "Function Source Mode Rules Addons Limits Running Settings Sections Intrinsic"},
		{policy.Rule{}, "Kind Pattern Query Globs Budget Pos"},
		{policy.Budget{}, "MaxCalls MaxBytes Per"},
		{weir.Running{}, "Node Isolation Concurrency KeepWarm"},
		{weir.Limits{}, "Timeout Memory CPU Tmp Processes Files Request Response Log"},
	} {
		typ, got := reflect.TypeOf(c.of), ""
		for i := range typ.NumField() {
			got += " " + typ.Field(i).Name
		}
		if got != " "+c.known {
			t.Errorf("%s has the fields%s: is one of them a privilege that Compare does not look at?", typ, got)
		}
	}
}

// TestNoGainAllowsNothingMore: if the result says that nothing was gained, no request is allowed after
// that was not before, and none by a larger budget.
func TestNoGainAllowsNothingMore(t *testing.T) {
	const pairs, requests = 2500, 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	random := func(like *policy.Policy) *policy.Policy {
		p := &policy.Policy{Source: "x"}
		for n := r.IntN(5); n >= 0; n-- {
			rule := policy.Rule{Kind: policy.HTTP, Pattern: pick("GET", "GET", "POST") + " " + pick("https", "https", "*") + "://" +
				pick("a.example", "a.example", "*.example") + "/" + pick("a", "*", "**", "a/*", "*/b", "a/**", "a*")}
			if r.IntN(3) == 0 {
				rule.Budget = &policy.Budget{MaxCalls: 1 + r.IntN(3)}
			}
			if r.IntN(4) == 0 {
				rule.Query = []policy.QueryParam{{Name: "q", Value: pick("*", "1")}}
			}
			if like != nil && r.IntN(3) > 0 {
				rule = like.Rules[r.IntN(len(like.Rules))]
			}
			p.Rules = append(p.Rules, rule)
		}
		return p
	}
	none, allowed := 0, 0
	for range pairs {
		before := random(nil)
		after := random(before)
		result, err := Compare(map[string]*policy.Policy{"f": before}, map[string]*policy.Policy{"f": after})
		if err != nil {
			t.Fatal(err)
		}
		if result.Gains() > 0 {
			continue
		}
		none++
		a, _ := policy.Compile(before)
		b, _ := policy.Compile(after)
		for range requests {
			q, err := policy.NewHTTP(pick("GET", "POST"), pick("https", "http"), pick("a.example", "b.example"), "/"+pick("a", "b", "ab", "a/b", "b/b", "a/b/c", "")+pick("", "?q=1", "?q=2"))
			if err != nil {
				t.Fatal(err)
			}
			is := b.Decide(&q)
			if !is.Allow {
				continue
			}
			allowed++
			was := a.Decide(&q)
			if !was.Allow || !within(after.Rules[is.Rule].Budget, before.Rules[was.Rule].Budget) {
				t.Fatalf("no gain from %+v to %+v, but %s %s was %+v and is %+v", before.Rules, after.Rules, q.Method, q.URL, was, is)
			}
		}
	}
	if none < 30 || allowed < 200 {
		t.Errorf("%d pairs without a gain, %d requests allowed: the test says little", none, allowed)
	}
}

func example(t *testing.T) Result {
	t.Helper()
	before := load(t, section(`http = ["GET https://a.example/*", "GET https://*.b.example/x"]`, `limits = { timeout = "10s" }`, `env = ["OLD"]`))
	after := load(t, section(`http = ["GET https://a.example/**", "GET https://c.b.example/x", { allow = "POST https://a.example/a*_b", max_calls = 5, per = "invocation" }]`, `limits = { timeout = "20s" }`))
	after["new"] = &policy.Policy{Function: "new", Mode: policy.Monitor}
	r, err := Compare(before, after)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestForms(t *testing.T) {
	r := example(t)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text": func(b *bytes.Buffer) error { return r.Text(b) }, "json": func(b *bytes.Buffer) error { return r.JSON(b) },
		"md": func(b *bytes.Buffer) error { return r.Markdown(b) }, "sarif": func(b *bytes.Buffer) error { return r.SARIF(b, "sites/shop") },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "example."+name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s:\n%s\nwant:\n%s", file, b.Bytes(), want)
		}
	}
}

// TestSARIFHasWhatIsRequired: what SARIF 2.1.0 requires (sections 3.13, 3.14, 3.19, 3.27), and what code
// scanning asks for beyond it: a place for each result and a description of each rule.
func TestSARIFHasWhatIsRequired(t *testing.T) {
	for _, r := range []Result{example(t), {}} {
		var b bytes.Buffer
		if err := r.SARIF(&b, "."); err != nil {
			t.Fatal(err)
		}
		var log struct {
			Schema  string `json:"$schema"`
			Version string
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string
						Rules []struct {
							ID               string
							ShortDescription struct{ Text string }
						}
					}
				}
				Results []struct {
					RuleID              string
					RuleIndex           int
					Level               string
					Message             struct{ Text string }
					PartialFingerprints map[string]string
					Locations           []struct {
						PhysicalLocation struct {
							ArtifactLocation struct{ URI string }
							Region           *struct{ StartLine, StartColumn int }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || !strings.Contains(log.Schema, "sarif-2.1.0") || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name == "" || log.Runs[0].Results == nil {
			t.Fatalf("not a log: %s", b.Bytes())
		}
		run := log.Runs[0]
		if len(run.Results) != r.Gains() {
			t.Errorf("%d results for %d gains", len(run.Results), r.Gains())
		}
		for _, res := range run.Results {
			rule := run.Tool.Driver.Rules[res.RuleIndex]
			if rule.ID != res.RuleID || rule.ShortDescription.Text == "" || res.Message.Text == "" || res.Level != "warning" || len(res.PartialFingerprints) == 0 ||
				len(res.Locations) != 1 || res.Locations[0].PhysicalLocation.ArtifactLocation.URI != "weir.toml" {
				t.Errorf("result %+v", res)
			}
		}
	}
}

func TestManyRules(t *testing.T) {
	random := func(path string) map[string]*policy.Policy {
		p := &policy.Policy{Function: "f", Source: "x"}
		for i := range 1000 {
			p.Rules = append(p.Rules, policy.Rule{Kind: policy.HTTP, Pattern: fmt.Sprintf("GET https://h%d.example/%s/%d/*", i%100, path, i)})
		}
		return map[string]*policy.Policy{"f": p}
	}
	start := time.Now()
	r, err := Compare(random("a"), random("b"))
	if err != nil || r.Gains() != 1000 || r.Losses() != 1000 {
		t.Fatalf("%d gained, %d lost, %v", r.Gains(), r.Losses(), err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %s", took)
	}
}

// TestTooManyRulesAreGains: what is not compared counts as gained, with the reason; what stays as it was
// does not.
func TestTooManyRulesAreGains(t *testing.T) {
	p := &policy.Policy{Function: "f", Source: "weir.toml"}
	for i := range 3000 {
		p.Rules = append(p.Rules, policy.Rule{Kind: policy.HTTP, Pattern: fmt.Sprintf("GET https://a.test/*x%d", i)})
	}
	after := *p
	after.Rules = nil
	for i := range p.Rules {
		r := p.Rules[i]
		if i > 0 {
			r.Pattern += "y"
		}
		after.Rules = append(after.Rules, r)
	}
	r, err := Compare(map[string]*policy.Policy{"f": p}, map[string]*policy.Policy{"f": &after})
	if err != nil {
		t.Fatal(err)
	}
	why := ""
	for _, c := range r.Changes {
		if c.Gained {
			why = c.Why
		}
	}
	if r.Gains() != 2999 || !strings.Contains(why, "too many rules") {
		t.Errorf("%d gains, %q", r.Gains(), why)
	}
}
