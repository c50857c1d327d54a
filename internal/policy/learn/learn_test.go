package learn

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

var update = flag.Bool("update", false, "write golden files")

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// run makes records as weir dev --learn does.
type run struct {
	set *Set
	n   int
	all []record.Decision
}

func newRun() *run { return &run{set: NewSet()} }

// invocation begins an invocation of a function.
func (r *run) invocation(function string) *inv {
	r.n++
	r.set.Invoked(record.Invocation{Time: start, Function: function, Request: fmt.Sprint("r", r.n), Outcome: "ok"})
	return &inv{r: r, function: function, request: fmt.Sprint("r", r.n)}
}

// importing is the time before the first invocation.
func (r *run) importing(function string) *inv { return &inv{r: r, function: function} }

type inv struct {
	r                 *run
	function, request string
}

func (i *inv) tried(kind, method, target string) *inv {
	return i.record(record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: kind, Method: method, Target: target})
}

func (i *inv) record(d record.Decision) *inv {
	d.Function, d.Request, d.Import = i.function, i.request, i.request == ""
	d.Time = start.Add(time.Duration(len(i.r.all)) * time.Second)
	if r, ok := requestOf(&d); ok && d.Verdict == record.Deny && d.Fix == "" {
		eng, err := policy.Compile(&policy.Policy{Function: i.function, Source: "weir.toml"})
		if err != nil {
			panic(err)
		}
		d.Fix = eng.Explain(&r, eng.Decide(&r)).Fix
	}
	i.r.all = append(i.r.all, d)
	i.r.set.Decided(d)
	return i
}

// files stands for a function's own code: what it names.
type files map[string]string

func (f files) Host(host string) string { return f[host] }
func (f files) Word(name string) bool   { return f[name] != "" }
func (f files) Path(path string) bool   { return f[path] != "" }

// all gives every function the same sources.
func all(s Sources) func(string) Sources { return func(string) Sources { return s } }

func propose(t *testing.T, s *Set, o Options) *Proposal {
	t.Helper()
	p, err := s.Propose(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lines gives the rules of all functions: "charge http GET https://…", with "?" in front of doubtful ones.
func lines(p *Proposal) []string {
	var out []string
	for _, f := range p.Functions {
		for _, r := range f.Rules {
			l := f.Name + " " + r.Key + " " + r.Text
			if !r.Live() {
				l = "? " + l
			}
			out = append(out, l)
		}
	}
	return out
}

func want(t *testing.T, p *Proposal, lns ...string) {
	t.Helper()
	if got := strings.Join(lines(p), "\n"); got != strings.Join(lns, "\n") {
		t.Errorf("proposed:\n%s\nwanted:\n%s", got, strings.Join(lns, "\n"))
	}
}

func TestValues(t *testing.T) {
	words := strings.Fields(`v1 v2.1 v1beta2 customers charges payment_intents listAllUsers users-by-email 2fa s3 oauth2 api graphql html
		HTTPServer index.html sha256 batch rest getById webhooks.json wp-json chat completions audio transcriptions strengths`)
	for _, s := range words {
		if isValue(s, false) {
			t.Errorf("%q is taken for a value", s)
		}
	}
	values := strings.Fields(`42 1234567 cus_NffrFeUfNV2Hib ch_3MmlLrLkdIwHu7ix sk_live_51H8a9xYz 8f14e45fceea167a 9b2e1c4d-2f5a-4c3e-8d7b-1a2b3c4d5e6f
		01JGK2T6W4Q9V8X7Y6Z5A4B3C2 2026-01-02 a1b2c3d4 dGhpcyBpcyBhIHNlY3JldA== AKIAIOSFODNN7EXAMPLE item-12345 T00000000 xKqWzPtRvB
		[STRIPE_API_KEY] %5BSTRIPE_API_KEY%5D bot123456:AAExyz user%40example.com QwErTyUiOpAsDf`)
	for _, s := range values {
		if !isValue(s, false) {
			t.Errorf("%q is taken for a word", s)
		}
	}
	if isValue("2015-03-31", true) {
		t.Error("a date at the start of a path is a version of an API")
	}
}

func TestProposal(t *testing.T) {
	r := newRun()
	for i := range 5 {
		r.invocation("charge").
			tried("http", "POST", "https://api.pay.test/v1/charges").
			tried("http", "GET", fmt.Sprintf("https://api.pay.test/v1/customers/cus_8fX%d2kLpQ", i)).
			tried("http", "GET", "https://api.pay.test/v1/customers/search").
			tried("ws", "", "wss://stream.pay.test/prices").
			tried("tcp", "", "db.pay.test:5432").
			tried("udp", "", "stats.pay.test:8125").
			tried("dns", "", "SRV _mongodb._tcp.db.pay.test").
			tried("write", "", fmt.Sprintf("/tmp/upload-%d", i)).
			tried("read", "", "/srv/prices/eu.csv").
			tried("exec", "", "/usr/bin/convert").
			tried("env", "", "PAY_API_KEY").
			tried("addon", "", "/var/task/sharp.node")
	}
	own := files{"api.pay.test": "functions/charge.js", "stream.pay.test": "functions/charge.js", "stats.pay.test": "lib/stats.js", "PAY_API_KEY": "x", "DATABASE_URL": "x", "/srv/prices/eu.csv": "x"}
	for i := range r.all {
		if r.all[i].Kind == "tcp" || r.all[i].Kind == "dns" {
			r.all[i].Named = "DATABASE_URL"
		}
	}
	s := NewSet()
	for _, d := range r.all {
		s.Decided(d)
	}
	p := propose(t, s, Options{Sources: all(own), Exists: func(string) bool { return true }})
	want(t, p,
		"charge http POST https://api.pay.test/v1/charges",
		"charge http GET https://api.pay.test/v1/customers/*",
		"charge http GET wss://stream.pay.test/prices",
		"charge tcp db.pay.test:5432",
		"charge udp stats.pay.test:8125",
		"charge dns SRV _mongodb._tcp.db.pay.test",
		"charge read /srv/prices/eu.csv",
		"charge write /tmp/**",
		"? charge exec /usr/bin/convert",
		"charge env PAY_API_KEY",
		"charge addons true",
	)
	golden(t, "proposal.toml", p, "", nil)
}

func golden(t *testing.T, name string, p *Proposal, text string, have map[string]*policy.Policy) {
	t.Helper()
	got, err := p.Edit("weir.toml", text, have)
	if err != nil {
		t.Fatal(err)
	}
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(wanted) {
		t.Errorf("%s is otherwise now:\n%s", file, got)
	}
}

// TestOneServiceForAHostAndPort: what was seen as HTTP and as another protocol can't be both.
func TestOneServiceForAHostAndPort(t *testing.T) {
	r := newRun()
	r.invocation("f").tried("http", "GET", "https://api.pay.test/v1").tried("tcp", "", "api.pay.test:443").tried("tcp", "", "db.pay.test:5432").
		tried("http", "GET", "http://old.pay.test/x")
	have := map[string]*policy.Policy{"f": {Source: "weir.toml", Rules: []policy.Rule{{Kind: policy.TCP, Pattern: "old.pay.test:80"}}}}
	want(t, propose(t, r.set, Options{Sources: all(everything{}), Existing: have}),
		"f http GET https://api.pay.test/v1", "? f http GET http://old.pay.test/x", "f tcp db.pay.test:5432", "? f tcp api.pay.test:443")
}
