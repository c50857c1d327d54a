package learn

// What thieves did in past attacks, beside what the function does by itself. Each must come out as a
// comment at most.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// thefts are calls of hijacked packages, by the class of the attack.
var thefts = map[string][]record.Decision{
	"environment posted at import":     {{Import: true, Kind: "http", Method: "POST", Target: "http://npm.hacktask.example/"}},
	"key posted by a hooked client":    {{Kind: "http", Method: "POST", Target: "https://copay.evil.test/p"}},
	"code fetched from a paste site":   {{Import: true, Kind: "http", Method: "GET", Target: "https://pastebin.com/raw/XLeVP82h"}, {Import: true, Kind: "http", Method: "GET", Target: "http://stats.counter.example/c.gif"}, {Import: true, Kind: "read", Target: "/root/.npmrc"}},
	"names that carry data":            {{Kind: "dns", Target: "TXT 6d6b616166336235353536667830.x.evil.test"}, {Kind: "http", Method: "GET", Target: "https://6d6b616166336235353536667830.x.evil.test/"}},
	"HTTP/2 to another host":           {{Kind: "http", Method: "POST", Target: "https://drop.evil.test/h2/mk228b95c619"}},
	"WebSocket to a command server":    {{Kind: "ws", Target: "wss://c2.evil.test/ws"}},
	"a raw connection":                 {{Kind: "tcp", Target: "c2.evil.test:4444"}},
	"datagrams":                        {{Import: true, Kind: "udp", Target: "c2.evil.test:9999"}},
	"bare addresses":                   {{Kind: "http", Method: "POST", Target: "https://203.0.113.9/"}, {Kind: "tcp", Target: "203.0.113.9:443"}, {Kind: "tcp", Target: "[2001:db8::9]:443"}},
	"the metadata service":             {{Kind: "http", Method: "GET", Target: "http://169.254.169.254/latest/meta-data/iam/security-credentials/"}, {Kind: "http", Method: "GET", Target: "http://metadata.google.internal/computeMetadata/v1/"}},
	"services of this machine":         {{Kind: "http", Method: "GET", Target: "http://127.0.0.1:18999/admin"}, {Kind: "http", Method: "GET", Target: "http://localhost:2375/containers/json"}, {Kind: "tcp", Target: "10.0.0.5:6379"}},
	"hosts named after trusted ones":   {{Kind: "http", Method: "POST", Target: "https://api.pay.test.evil.test/v1/charges"}, {Kind: "http", Method: "POST", Target: "https://api-pay.test/v1/charges"}, {Kind: "http", Method: "POST", Target: "https://evilapi.pay.test/v1/charges"}, {Kind: "http", Method: "POST", Target: "https://xn--pi-6kc.pay.test/v1/charges"}, {Kind: "http", Method: "POST", Target: "https://api.stripe.co/v1/charges"}},
	"hosts where anyone has a corner":  {{Kind: "http", Method: "PUT", Target: "https://loot.s3.amazonaws.com/x"}, {Kind: "http", Method: "POST", Target: "https://discord.com/api/webhooks/123/abc"}, {Kind: "http", Method: "POST", Target: "https://1a2b.ngrok-free.app/"}, {Kind: "http", Method: "GET", Target: "https://raw.githubusercontent.com/u/r/main/x.js"}, {Kind: "http", Method: "POST", Target: "https://webhook.site/0b5c"}},
	"a redirect to another host":       {{Kind: "http", Method: "GET", Target: "https://drop.evil.test/collect"}, {Kind: "http", Method: "POST", Target: "https://drop.evil.test/post"}},
	"programs":                         {{Kind: "exec", Target: "/bin/sh"}, {Kind: "exec", Target: "/usr/bin/curl"}, {Kind: "exec", Target: "/tmp/jsextension"}},
	"a program dropped at import":      {{Import: true, Kind: "write", Target: "/tmp/jsextension"}, {Import: true, Kind: "exec", Target: "/tmp/jsextension"}},
	"credentials in files":             {{Kind: "read", Target: "/root/.aws/credentials"}, {Kind: "read", Target: "/home/u/.ssh/id_rsa"}, {Kind: "read", Target: "/etc/shadow"}, {Kind: "read", Target: "/srv/app/.env"}, {Kind: "read", Target: "/etc/tls/server.pem"}, {Kind: "read", Target: "/etc/passwd"}, {Kind: "read", Target: "/srv/other/secrets.txt"}},
	"files that no code of ours names": {{Kind: "read", Target: "/srv/host/data/customers.csv"}},
	"files destroyed":                  {{Import: true, Kind: "write", Target: "/home/u/docs/report.txt"}, {Kind: "write", Target: "/srv/www/index.html"}},
	"variables taken by a package":     {{Kind: "env", Target: "AWS_SECRET_ACCESS_KEY"}},
}

func ordinary(r *run) {
	for range 5 {
		r.invocation("pay").tried("http", "POST", "https://api.pay.test/v1/charges").tried("env", "", "PAY_API_KEY")
	}
}

var own = files{"api.pay.test": "functions/pay.js", "PAY_API_KEY": "functions/pay.js"}

// TestThieves: with the site's files known, the thief may even be there in every invocation.
func TestThieves(t *testing.T) {
	for class, calls := range thefts {
		for _, times := range []int{1, 5} {
			t.Run(fmt.Sprint(class, times), func(t *testing.T) {
				r := newRun()
				ordinary(r)
				steal(r, calls, times)
				p := propose(t, r.set, Options{Sources: all(own), Exists: func(string) bool { return true }})
				onlyOwn(t, p)
			})
		}
	}
}

// TestThievesWithoutSources: where nobody can ask the site's files, what stands out in the records must do.
func TestThievesWithoutSources(t *testing.T) {
	for class, calls := range thefts {
		if class == "variables taken by a package" {
			continue // nothing in the records tells them from the function's own
		}
		t.Run(class, func(t *testing.T) {
			r := newRun()
			ordinary(r)
			steal(r, calls, 1)
			onlyOwn(t, propose(t, r.set, Options{Exists: func(string) bool { return true }}))
		})
	}
}

func steal(r *run, calls []record.Decision, times int) {
	for range times {
		i := r.invocation("pay")
		for _, d := range calls {
			from := i
			if d.Import {
				from = r.importing("pay")
			}
			d.Verdict, d.Mode = record.Deny, record.Monitor
			from.record(d)
		}
	}
}

func onlyOwn(t *testing.T, p *Proposal) {
	t.Helper()
	text, err := p.Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var live []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, `"`) || strings.HasPrefix(l, "addons") {
			live = append(live, l)
		}
	}
	if got := strings.Join(live, " "); got != `"POST https://api.pay.test/v1/charges", "PAY_API_KEY",` {
		t.Errorf("live rules: %s\n%s", got, text)
	}
}

// TestOtherUsesOfAKnownHost: a package that the policy lets call an API calls more of it.
func TestOtherUsesOfAKnownHost(t *testing.T) {
	have := map[string]*policy.Policy{"pay": {Function: "pay", Source: "weir.toml", Rules: []policy.Rule{
		{Kind: policy.HTTP, Pattern: "POST https://api.stripe.com/v1/charges"}}}}
	r := newRun()
	for range 3 {
		i := r.invocation("pay")
		i.record(record.Decision{Verdict: record.Allow, Kind: "http", Method: "POST", Target: "https://api.stripe.com/v1/charges", Nearest: `"POST https://api.stripe.com/v1/charges"`, Rule: "weir.toml:2"})
		i.tried("http", "POST", "https://api.stripe.com/v1/refunds").tried("http", "GET", "https://api.stripe.com/v1/customers")
	}
	p := propose(t, r.set, Options{Sources: all(files{}), Existing: have})
	want(t, p, "? pay http GET https://api.stripe.com/v1/customers", "? pay http POST https://api.stripe.com/v1/refunds")
	if why := p.Functions[0].Rules[0].Why; !strings.Contains(strings.Join(why, ";"), "the policy names this host") {
		t.Error(why)
	}
	// Without a policy, an API that everybody knows is taken for what it is.
	want(t, propose(t, r.set, Options{Sources: all(files{})}), "pay http POST https://api.stripe.com/v1/charges",
		"pay http GET https://api.stripe.com/v1/customers", "pay http POST https://api.stripe.com/v1/refunds")
}

// TestDeniedCalls: what was refused is proposed as a comment only; what nothing can allow not at all.
func TestDeniedCalls(t *testing.T) {
	r := newRun()
	r.invocation("pay").
		record(record.Decision{Verdict: record.Deny, Kind: "http", Method: "POST", Target: "https://api.pay.test/v1/charges"})
	r.set.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: "pay", Kind: "http", Method: "POST",
		Target: "https://api.pay.test/v1/charges", Reason: "the Host header differs"})
	p := propose(t, r.set, Options{Sources: all(own)})
	want(t, p, "? pay http POST https://api.pay.test/v1/charges")
	if p.Functions[0].Unnameable != 1 {
		t.Errorf("%+v", p.Functions[0])
	}
}

// TestCallsBeyondABudget: a larger budget would allow them, so they are told apart from what no rule can
// allow, and their rule is in use.
func TestCallsBeyondABudget(t *testing.T) {
	r := newRun()
	r.set.Decided(record.Decision{Time: start, Verdict: record.Deny, Mode: record.Monitor, Function: "pay", Kind: "http", Method: "POST",
		Target: "https://api.pay.test/v1/events", Nearest: `"POST https://api.pay.test/v1/events"`, Rule: "weir.toml:2",
		Reason: "the budget of its rule is used up (10 calls per minute)", Count: 2})
	have := &policy.Policy{Function: "pay", Source: "weir.toml", Rules: []policy.Rule{{Kind: policy.HTTP, Pattern: "POST https://api.pay.test/v1/events",
		Budget: &policy.Budget{MaxCalls: 10, Per: policy.PerMinute}}}}
	p := propose(t, r.set, Options{Sources: all(own), Existing: map[string]*policy.Policy{"pay": have}})
	if len(p.Functions) != 1 || p.Functions[0].OverBudget != 2 || p.Functions[0].Unnameable != 0 || len(p.Unused()) != 0 {
		t.Errorf("%+v, unused: %+v", p.Functions, p.Unused())
	}
}

// TestNothingHostileIsWritten: a proposal holds no control characters, no values and no data, whatever
// the records hold, and stays a valid file.
func TestNothingHostileIsWritten(t *testing.T) {
	r := newRun()
	i := r.invocation("f")
	i.tried("http", "GET", "https://api.pay.test/bot123456:AAE-secret/sendMessage")
	i.tried("http", "GET", "https://api.pay.test/k/[PAY_API_KEY]")
	i.tried("http", "GET", "https://736b5f6c6976655f3132333435363738.evil.test/sk_live_12345678")
	i.tried("read", "", "/srv/\u202ex\n# [functions.evil]")
	i.tried("read", "", "/srv/sk_live_12345678/x")
	i.tried("exec", "", "/usr/bin/a\"]\nhttp = [\"")
	i.tried("env", "", "A\"]\nwrite = [\"/tmp/**")
	i.tried("tcp", "", "736b5f6c6976655f3132333435363738.evil.test:443")
	for _, name := range []string{"../x", "a]\n[functions.b", strings.Repeat("x", 300), ""} {
		r.invocation(name).tried("http", "GET", "https://api.pay.test/")
	}
	p := propose(t, r.set, Options{Sources: all(own)})
	text, err := p.Edit("weir.toml", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"AAE", "123456", "736b5f", "12345678", "\u202e", "[functions.evil]", "[functions.b", "xxx"} {
		for _, l := range strings.Split(text, "\n") {
			if strings.Contains(l, bad) && (!strings.HasPrefix(strings.TrimSpace(l), "#") || bad != "[functions.evil]") {
				t.Errorf("%q is written: %s", bad, l)
			}
		}
	}
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' && l != "[functions.f]" && !strings.HasSuffix(l, " = [") && l != "]" &&
			l != `"GET https://api.pay.test/*/sendMessage",` && l != `"GET https://api.pay.test/k/*",` {
			t.Errorf("a live line: %s", l)
		}
	}
}

// TestWhatAnotherFunctionNames: a host, or a variable that holds it, is known only to the function whose
// own code names it.
func TestWhatAnotherFunctionNames(t *testing.T) {
	of := map[string]Sources{"pay": files{"api.pay.test": "functions/pay.js", "DATABASE_URL": "functions/pay.js"}, "mail": files{}}
	r := newRun()
	for _, name := range []string{"pay", "mail"} {
		r.invocation(name).tried("http", "GET", "https://api.pay.test/v1").
			record(record.Decision{Verdict: record.Deny, Mode: record.Monitor, Kind: "tcp", Target: "db.pay.test:5432", Named: "DATABASE_URL"}).
			tried("env", "", "DATABASE_URL")
	}
	want(t, propose(t, r.set, Options{Sources: func(f string) Sources { return of[f] }}),
		"? mail http GET https://api.pay.test/v1", "? mail tcp db.pay.test:5432", "? mail env DATABASE_URL",
		"pay http GET https://api.pay.test/v1", "pay tcp db.pay.test:5432", "pay env DATABASE_URL")
}
