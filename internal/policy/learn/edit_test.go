package learn

import (
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/record"
)

func policies(t *testing.T, text string, functions ...string) map[string]*policy.Policy {
	t.Helper()
	f, err := tomlpolicy.Parse("weir.toml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	out := map[string]*policy.Policy{}
	for _, name := range functions {
		p, err := f.For(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Source != "" {
			out[name] = p
		}
	}
	return out
}

// TestEdit: a file of a person's is added to where it stands, and keeps its words; what a wider section
// gives stays; what nobody used is remarked; and to learn again changes nothing.
func TestEdit(t *testing.T) {
	const written = `# our policy
mode = "enforce"

[functions."*"]
env = ["LOG_LEVEL"] # for all
http = ["GET https://flags.pay.test/v1", { allow = "GET https://api.pay.test/v1/events", query = { limit = "10" }, max_calls = 3, per = "minute" }]

[functions.charge] # the heart
http = [
  "POST https://api.pay.test/v1/charges", # needed
  'GET https://api.pay.test/v1/[old]' ,   # a ] and a "
]
tcp = ["db.pay.test:5432"]
write = [ ]

[functions.quiet]
env = ["A"]
`
	text := strings.Replace(written, "[old]", "old", 1)
	names := []string{"charge", "report", "quiet"}
	have := policies(t, text, names...)
	learnIt := func(have map[string]*policy.Policy) *Proposal {
		r := newRun()
		i := r.invocation("charge")
		i.record(record.Decision{Verdict: record.Allow, Kind: "http", Method: "POST", Target: "https://api.pay.test/v1/charges", Nearest: `"POST https://api.pay.test/v1/charges"`, Rule: "weir.toml:10"})
		i.tried("http", "GET", "https://api.pay.test/v1/charges/ch_8fX2kLpQ").tried("write", "", "/tmp/x").tried("env", "", "KEY").tried("exec", "", "/bin/sh").
			tried("udp", "", "stats.pay.test:8125")
		r.invocation("report").tried("http", "GET", "https://api.pay.test/v1/reports")
		r.set.Invoked(record.Invocation{Time: start.Add(40 * 24 * time.Hour), Function: "charge", Request: "last"})
		return propose(t, r.set, Options{Sources: all(everything{}), Existing: have})
	}
	p := learnIt(have)
	golden(t, "edited.toml", p, text, have)
	got, err := p.Edit("weir.toml", text, have)
	if err != nil {
		t.Fatal(err)
	}
	again := policies(t, got, names...)
	p = learnIt(again)
	for _, l := range lines(p) {
		if l != "? charge exec /bin/sh" {
			t.Errorf("learned again: %s", l)
		}
	}
	// The second time, what was repeated from the wider section is remarked, too. From then on nothing changes.
	twice, err := p.Edit("weir.toml", got, again)
	if err != nil {
		t.Fatal(err)
	}
	have2 := policies(t, twice, names...)
	thrice, err := learnIt(have2).Edit("weir.toml", twice, have2)
	if err != nil {
		t.Fatal(err)
	}
	if thrice != twice {
		t.Errorf("to learn again changes the file:\n%s", thrice)
	}
	for _, name := range names[:2] {
		for _, want := range have[name].Rules {
			found := false
			for _, r := range again[name].Rules {
				found = found || r.Kind == want.Kind && r.Pattern == want.Pattern && len(r.Query) == len(want.Query) && (r.Budget == nil) == (want.Budget == nil)
			}
			if !found {
				t.Errorf("%s lost %s", name, want.Pattern)
			}
		}
	}
	if again["report"].Rules[len(again["report"].Rules)-1].Pattern == "" || len(again["quiet"].Rules) != len(have["quiet"].Rules) {
		t.Errorf("%+v", again)
	}
}

// TestForms: however lists are written, what is added is there afterwards and nothing else.
func TestForms(t *testing.T) {
	for _, list := range []string{
		`[]`, `[ ]`, "[\n]", "[\n  # nothing yet\n]", `["GET https://a.test/"]`, `["GET https://a.test/",]`, `[ 'GET https://a.test/' , ]`,
		"[\n  \"GET https://a.test/\"\n]", "[\n  \"GET https://a.test/\" # with ] and \" and ,\n]", "[\n  \"GET https://a.test/\", # x\n  ]", "[ \"GET https://a.test/\"\n  , \"GET https://b.test/\" ]",
		`[{ allow = "GET https://a.test/", query = { a = "]" } }]`, "[\n  { allow = \"GET https://a.test/\" }] # end",
	} {
		text := "[functions.f]\nhttp = " + list + "\nenv = [\"A\"]\n\n[functions.g]\nhttp = [\"GET https://g.test/\"]\n"
		have := policies(t, text, "f", "g")
		r := newRun()
		r.invocation("f").tried("http", "GET", "https://new.test/x").tried("exec", "", "/bin/sh")
		p := propose(t, r.set, Options{Sources: all(everything{}), Existing: have})
		got, err := p.Edit("weir.toml", text, have)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		after := policies(t, got, "f", "g")
		if n := len(have["f"].Rules); len(after["f"].Rules) != n+1 || len(after["g"].Rules) != 1 {
			t.Errorf("%s became\n%s", list, got)
		}
	}
}

// TestFormsThatCannotBeAddedTo are answered with what to do.
func TestFormsThatCannotBeAddedTo(t *testing.T) {
	for _, text := range []string{
		"[functions]\nf = { env = [\"A\"] }\n", "functions.f.env = [\"A\"]\n", "[functions]\nf.env = [\"A\"]\n",
	} {
		have := policies(t, text, "f")
		r := newRun()
		r.invocation("f").tried("http", "GET", "https://new.test/x")
		p := propose(t, r.set, Options{Sources: all(everything{}), Existing: have})
		if _, err := p.Edit("weir.toml", text, have); err == nil || !strings.Contains(err.Error(), "[functions.f]") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestIntrinsic: a function with a bootstrap of its own gets no rules in weir.toml.
func TestIntrinsic(t *testing.T) {
	r := newRun()
	r.invocation("f").record(record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: "http", Method: "GET", Target: "https://api.pay.test/x",
		Fix: "policy.outboundHttp.allowGet('https://api.pay.test/x')"})
	text, err := propose(t, r.set, Options{Sources: all(everything{})}).Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(policies(t, text, "f")) != 0 || !strings.Contains(text, "Intrinsic bootstrap") || !strings.Contains(text, "GET https://api.pay.test/x") {
		t.Error(text)
	}
}
