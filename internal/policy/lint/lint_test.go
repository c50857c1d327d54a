package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

var kinds = map[string]policy.Kind{"http": policy.HTTP, "glob": policy.HTTP, "ws": policy.WS, "tcp": policy.TCP, "udp": policy.UDP, "dns": policy.DNS,
	"read": policy.Read, "write": policy.Write, "exec": policy.Exec, "env": policy.Env}

// compile makes a policy of lines "KIND PATTERN"; "5 http …" has a budget of five calls.
func compile(t *testing.T, lines ...string) *policy.Engine {
	t.Helper()
	p := &policy.Policy{Function: "f", Source: "weir.toml"}
	for i, l := range lines {
		r := policy.Rule{Pos: weir.Position{File: "weir.toml", Line: i + 1, Column: 1}}
		if rest, ok := strings.CutPrefix(l, "5 "); ok {
			l, r.Budget = rest, &policy.Budget{MaxCalls: 5}
		}
		kind, pattern, _ := strings.Cut(l, " ")
		r.Kind, r.Pattern, r.Globs = kinds[kind], pattern, kind == "glob"
		p.Rules = append(p.Rules, r)
	}
	e, err := policy.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// ids gives what is found, as "LINE id".
func ids(fs *Findings) (out []string) {
	for _, f := range fs.List() {
		out = append(out, fmt.Sprintf("%d %s", f.Pos.Line, f.ID))
	}
	return out
}

func TestRulesByThemselves(t *testing.T) {
	for rule, want := range map[string]string{
		"http POST https://api.stripe.com/v1/charges":                 "",
		"http GET https://api.example.com/v1/**":                      "",
		"http GET https://api.weather.gov/**":                         WholeHost,
		"http GET http://api.weather.gov/x":                           PlainHTTP,
		"ws ws://stream.weather.gov/x":                                PlainHTTP,
		"http GET *://api.weather.gov/x":                              AnyScheme,
		"http GET http://localhost:8080/x":                            "",
		"http GET http://127.0.0.1:8080/x":                            "",
		"http GET http://orders.internal/x":                           "",
		"http GET http://orders:8080/x":                               "",
		"http GET https://*.com/x":                                    WideHost,
		"http GET https://*.co.uk/x":                                  WideHost,
		"http GET https://*.weather.gov/x":                            "",
		"http GET https://*.herokuapp.com/x":                          WideHost,
		"glob GET https://x*.herokuapp.com/x":                         WideHost,
		"http GET https://*.amazonaws.com/x":                          Rented,
		"http GET https://shop.herokuapp.com/x":                       "",
		"http PUT https://my-bucket.s3.eu-west-1.amazonaws.com/x/*":   "",
		"http POST https://dynamodb.eu-west-1.amazonaws.com/":         Rented,
		"http POST https://sqs.eu-west-1.amazonaws.com/123456/orders": "",
		"http PUT https://s3.amazonaws.com/my-bucket/*":               "",
		"http PUT https://s3.amazonaws.com/*/x":                       Rented,
		"http GET https://github.com/**":                              Rented + " " + WholeHost,
		"http GET https://github.com/my-org/**":                       "",
		"http POST https://api.github.com/graphql":                    Rented,
		"http GET https://api.github.com/repos/my-org/*/issues":       "",
		"http POST https://hooks.slack.com/services/T1/B2/x":          "",
		"http POST https://hooks.slack.com/*":                         Rented,
		"http POST https://abc.ngrok.io/a/b":                          Rented,
		"http POST https://webhook.site/uuid/x":                       Rented,
		"http GET https://93.184.216.34/x":                            RawAddress,
		"http GET http://[2001:db8::1]/x":                             PlainHTTP + " " + RawAddress,
		"http GET http://169.254.169.254/latest/meta-data/**":         Metadata,
		"http GET http://metadata.google.internal/x":                  Metadata,
		"tcp 10.0.0.1:5432":                                           RawAddress,
		"tcp db.internal:5432":                                        "",
		"tcp api.weather.gov:443":                                     BlindTCP,
		"udp stats.internal:8125":                                     "",
		"tcp *.com:25":                                                WideHost,
		"dns TXT *.example.com":                                       WideDNS,
		"dns SRV _mongodb._tcp.example.com":                           "",
		"read /srv/prices/**":                                         "",
		"read /etc/ssl/openssl.cnf":                                   "",
		"read /etc/**":                                                WideRead,
		"read /etc/passwd":                                            "",
		"read /etc/shadow":                                            WideRead,
		"read /home/**":                                               WideRead,
		"read /home/me/**":                                            WideRead,
		"read /home/me/.ssh/id_rsa":                                   WideRead,
		"read /root/x":                                                WideRead,
		"read /var/**":                                                WideRead,
		"write /tmp/**":                                               "",
		"write /srv/x":                                                WriteOut,
		"exec /usr/bin/convert":                                       "",
		"exec /bin/sh":                                                Shell,
		"exec /usr/bin/python3.12":                                    Shell,
		"exec /usr/bin/env":                                           Shell,
		"env STRIPE_API_KEY":                                          "",
	} {
		var fs Findings
		fs.Policy(compile(t, rule))
		var got []string
		for _, f := range fs.List() {
			got = append(got, f.ID)
			if f.Text == "" || f.Remedy == "" || f.Place != "weir.toml:1:1" || strings.Contains(f.String(), "\n") {
				t.Errorf("%s: %+v", rule, f)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	}
}

func TestRulesWithoutAnEffect(t *testing.T) {
	for _, c := range []struct {
		rules []string
		want  []string
	}{
		{[]string{"http GET https://a.test/x", "http GET https://a.test/x/*"}, nil},
		{[]string{"http GET https://a.test/x/y", "http GET https://a.test/x/*"}, []string{"1 shadowed"}},
		{[]string{"http GET https://a.test/x", "http GET https://a.test/x"}, []string{"2 shadowed"}},
		{[]string{"http GET *://a.test/x", "http GET https://a.test/x", "http GET http://a.test/x"}, []string{"2 shadowed", "3 shadowed"}},
		// It names the host, which a wildcard doesn't: only so may it lead to a private address.
		{[]string{"http GET https://*.a.test/x", "http GET https://b.a.test/x"}, nil},
		{[]string{"read /srv/**", "read /srv/a", "read /tmp/x"}, []string{"2 shadowed", "3 shadowed"}},
		{[]string{"env A", "env A"}, []string{"2 shadowed"}},
		{[]string{"http GET https://a.test/*", "5 http GET https://a.test/x"}, []string{"2 no-budget"}},
		{[]string{"5 http GET https://a.test/x", "http GET https://a.test/*"}, nil},
		{[]string{"http GET https://a.test/x", "5 http GET https://a.test/*", "http GET https://a.test/**"}, nil},
	} {
		var fs Findings
		fs.shadows(compile(t, c.rules...))
		if got := ids(&fs); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.rules, got, c.want)
		}
	}
}

func TestMonitorIsTold(t *testing.T) {
	e, err := policy.Compile(&policy.Policy{Function: "f", Source: "weir.toml", Mode: policy.Monitor})
	if err != nil {
		t.Fatal(err)
	}
	var fs Findings
	fs.Policy(e)
	if got := ids(&fs); !slices.Equal(got, []string{"0 monitor"}) {
		t.Errorf("got %q", got)
	}
}

func TestMonitoringBootstrapIsTold(t *testing.T) {
	e, err := policy.Compile(&policy.Policy{Function: "f", Source: "f.js", Mode: policy.Monitor, Intrinsic: true})
	if err != nil {
		t.Fatal(err)
	}
	var fs Findings
	fs.Policy(e)
	if got := fs.List(); len(got) != 1 || !strings.Contains(got[0].Remedy, "remove .enableMonitorMode()") {
		t.Errorf("got %+v: enforce in weir.toml does not undo what the bootstrap says", got)
	}
}

func TestTheSameAdviceIsToldOnce(t *testing.T) {
	e := compile(t, "exec /bin/sh")
	other := *e.Policy()
	other.Function = "g"
	g, err := policy.Compile(&other)
	if err != nil {
		t.Fatal(err)
	}
	var fs Findings
	fs.Policy(e)
	fs.Policy(g)
	if got := fs.List(); len(got) != 1 || !slices.Equal(got[0].Functions, []string{"f", "g"}) {
		t.Errorf("got %+v", got)
	}
}

func TestUnused(t *testing.T) {
	e := compile(t, "http GET https://a.test/x", "http GET https://a.test/*", "http POST https://a.test/x", "tcp db.test:1", "tcp db.test:2", "env A", "read /srv/a")
	var u Usage
	for _, d := range []record.Decision{
		{Function: "f", Verdict: record.Allow, Kind: "http", Method: "GET", Target: "https://a.test/x"},
		{Function: "f", Verdict: record.Allow, Kind: "http", Method: "POST", Target: "https://a.test/x…", Nearest: `"POST https://a.test/x"`}, // cut: the rule is named
		{Function: "f", Verdict: record.Deny, Mode: record.Monitor, Kind: "http", Method: "GET", Target: "https://a.test/y"},                  // before there was the rule
		{Function: "f", Verdict: record.Allow, Kind: "tcp", Target: "db.test:2"},
		{Function: "other", Verdict: record.Allow, Kind: "tcp", Target: "db.test:1"},
	} {
		u.Decided(d)
	}
	var fs Findings
	fs.Unused(e, &u)
	if got := ids(&fs); !slices.Equal(got, []string{"4 unused"}) {
		t.Errorf("got %q", got)
	}
	fs, u = Findings{}, Usage{}
	if fs.Unused(e, &u); len(fs.List()) != 0 {
		t.Error("something is said of a function that is not in the records")
	}
	u.Invoked(record.Invocation{Function: "f"})
	if fs.Unused(e, &u); len(fs.List()) != 5 {
		t.Errorf("invoked without a call: %q", ids(&fs))
	}
}

// TestTooManyRulesAreTold: where not all is compared, the page of findings says so.
func TestTooManyRulesAreTold(t *testing.T) {
	var lines []string
	for i := range 3000 {
		lines = append(lines, fmt.Sprintf("http GET https://a.test/*x%d", i))
	}
	var fs Findings
	fs.shadows(compile(t, lines...))
	if got := fs.List(); len(got) != 1 || got[0].ID != TooMany || got[0].Pos.Line == 0 {
		t.Errorf("got %d findings: %+v", len(got), got[:min(len(got), 3)])
	}
}
