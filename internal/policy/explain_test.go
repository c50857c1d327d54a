package policy

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

func TestExplain(t *testing.T) {
	toml := compile(t, "http POST https://api.stripe.com/v1/charges", "read /srv/prices/**", "tcp db.internal:5432")
	none, err := Compile(&Policy{Function: "charge"})
	if err != nil {
		t.Fatal(err)
	}
	odd, err := Compile(&Policy{Function: "a.b", Source: "weir.toml"})
	if err != nil {
		t.Fatal(err)
	}
	script, err := Compile(&Policy{Source: "functions/charge.js", Intrinsic: true, Rules: rules("glob POST https://api.stripe.com/v1/charges")})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		engine *Engine
		tried  string
		want   string
	}{
		{toml, "POST https://api.stripe.com/v1/refunds?card=4242", `POST https://api.stripe.com/v1/refunds is not allowed: no rule has this path; the nearest rule is "POST https://api.stripe.com/v1/charges" (weir.toml:1); to allow it, add to [functions.charge] in weir.toml: http = ["POST https://api.stripe.com/v1/refunds"]`},
		{toml, "POST https://api.stripe.com/v1/charges?card=4242", `POST https://api.stripe.com/v1/charges is allowed by "POST https://api.stripe.com/v1/charges" (weir.toml:1)`},
		{toml, "GET https://evil.test:8443/x", `GET https://evil.test:8443/x is not allowed: no rule names the host evil.test; to allow it, add to [functions.charge] in weir.toml: http = ["GET https://evil.test:8443/x"]`},
		{toml, "GET wss://evil.test/x", `wss://evil.test/x is not allowed: no rule names the host evil.test; to allow it, add to [functions.charge] in weir.toml: http = ["GET wss://evil.test/x"]`},
		{toml, "tcp [::1]:22", `tcp://[::1]:22 is not allowed: no rule names it; to allow it, add to [functions.charge] in weir.toml: tcp = ["[::1]:22"]`},
		{toml, "udp [::1]:514", `udp://[::1]:514 is not allowed: no rule names it; to allow it, add to [functions.charge] in weir.toml: udp = ["[::1]:514"]`},
		{toml, "udp a.example:53", `udp://a.example:53 is not allowed: no rule names it`},
		{toml, "dns TXT a.example.", `DNS TXT a.example is not allowed: no rule names it; to allow it, add to [functions.charge] in weir.toml: dns = ["TXT a.example"]`},
		{toml, "dns ANY a.example", `DNS ANY a.example is not allowed: no rule names it`},
		{toml, "dns A a.example", `DNS A a.example is allowed by the sandbox itself`},
		{toml, "read /etc/passwd", `reading /etc/passwd is not allowed: no rule names it; to allow it, add to [functions.charge] in weir.toml: read = ["/etc/passwd"]`},
		{toml, "read /var/task/x", `reading /var/task/x is allowed by the sandbox itself`},
		{toml, "write /tmp/a/b", `writing /tmp/a/b is not allowed: no rule names it; to allow it, add to [functions.charge] in weir.toml: write = ["/tmp/**"]`},
		{toml, "write /var/task/x", `writing /var/task/x is not allowed: no rule names it`},
		{toml, "exec uname", `starting uname is not allowed: programs are allowed by their absolute path, and no rule names one of this name; to allow it, add to [functions.charge] in weir.toml: exec = ["/usr/bin/uname"]`},
		{toml, "exec /tmp/payload", `starting /tmp/payload is not allowed: no rule names it`},
		{toml, "env NODE_OPTIONS", `variable NODE_OPTIONS is not allowed: no rule names it`},
		{toml, "addon /var/task/x.node", `loading /var/task/x.node is not allowed: native libraries are not allowed; to allow it, add to [functions.charge] in weir.toml: addons = true`},
		{none, "GET https://a.example/", `GET https://a.example/ is not allowed: the function has no policy, so it may do nothing; to allow it, add to [functions.charge] in weir.toml: http = ["GET https://a.example/"]`},
		{odd, "GET https://a.example/", `GET https://a.example/ is not allowed: no rule names the host a.example; to allow it, add to [functions."a.b"] in weir.toml: http = ["GET https://a.example/"]`},
		{script, "POST https://api.stripe.com/v1/refunds", `POST https://api.stripe.com/v1/refunds is not allowed: no rule has this path; the nearest rule is "POST https://api.stripe.com/v1/charges" (weir.toml:1); to allow it, add to functions/charge.js: policy.outboundHttp.allowPost('https://api.stripe.com/v1/refunds')`},
		{script, "GET https://a.example/it's", `GET https://a.example/it's is not allowed: no rule names the host a.example; to allow it, add to functions/charge.js: policy.outboundHttp.allowGet('https://a.example/it\'s')`},
		{script, "GET wss://a.example/", `wss://a.example/ is not allowed: no rule names the host a.example; to allow it, add to functions/charge.js: policy.outboundHttp.allowGet('wss://a.example/')`},
		{script, "tcp db:5432", `tcp://db:5432 is not allowed: no rule names it; to allow it, add to functions/charge.js: policy.outboundNet.allowTcp('db', 5432)`},
		{script, "udp stats:8125", `udp://stats:8125 is not allowed: no rule names it; to allow it, add to functions/charge.js: policy.outboundNet.allowUdp('stats', 8125)`},
		{script, "dns TXT a.example", `DNS TXT a.example is not allowed: no rule names it`},
		{script, "write /tmp/x", `writing /tmp/x is not allowed: no rule names it; to allow it, add to functions/charge.js: policy.fs.allowWrite('/tmp/**')`},
		{script, "exec /usr/bin/cal", `starting /usr/bin/cal is not allowed: no rule names it; to allow it, add to functions/charge.js: policy.childProcess.allowSpawningPath('/usr/bin/cal')`},
		{script, "PROPFIND https://a.example/", `PROPFIND https://a.example/ is not allowed: no rule names the host a.example`},
	} {
		r := request(t, c.tried)
		if got := c.engine.Explain(r, c.engine.Decide(r)).String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.tried, got, c.want)
		}
	}
}

func TestExplainBudget(t *testing.T) {
	rule := Rule{Kind: HTTP, Pattern: "POST https://a.example/x", Budget: &Budget{MaxCalls: 10, MaxBytes: 64 << 10, Per: PerMinute}, Pos: weir.Position{File: "weir.toml", Line: 3}}
	e, err := Compile(&Policy{Source: "weir.toml", Function: "charge", Rules: []Rule{rule}})
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "POST https://a.example/x")
	d := e.Decide(r)
	if !d.Allow || d.Rule != 0 {
		t.Fatalf("got %+v", d)
	}
	got := e.Explain(r, Decision{Rule: -1, Nearest: d.Rule, Reason: OverBudget}).String()
	if want := `POST https://a.example/x is not allowed: the budget of its rule is used up (10 calls, 64KB per minute); the nearest rule is "POST https://a.example/x" (weir.toml:3)`; got != want {
		t.Errorf("got %s", got)
	}
	for _, bad := range []Rule{
		{Kind: TCP, Pattern: "a:1", Budget: &Budget{MaxCalls: 1}}, {Kind: HTTP, Pattern: "GET https://a/", Budget: &Budget{}},
		{Kind: HTTP, Pattern: "GET https://a/", Budget: &Budget{MaxCalls: -1}}, {Kind: HTTP, Pattern: "GET https://a/", Budget: &Budget{MaxBytes: 1, Per: 2}},
	} {
		if Check(bad) == nil {
			t.Errorf("%+v passed", bad.Budget)
		}
	}
}

// What a hostile function chose never breaks a log's line, and never comes back as a rule that
// allows more than was tried.
func TestExplainHostile(t *testing.T) {
	e := compile(t)
	for _, r := range []Request{
		{Kind: Read, Path: "/etc/x\ninjected"}, {Kind: Exec, Path: "/bin/\x1b[31m"}, {Kind: Write, Path: "/srv/\u202e"}, {Kind: Read, Path: "/" + strings.Repeat("a", 5000)},
		{Kind: Env, Path: "A\nB"}, *request(t, "exec a\r\nb"),
	} {
		x := e.Explain(&r, e.Decide(&r))
		for _, s := range []string{x.Tried, x.Reason, x.Fix, x.String()} {
			if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) || len(s) > 3000 {
				t.Errorf("%q: %q", r.Path, s)
			}
		}
	}
	for _, s := range []string{"GET https://a.example/**", "GET https://a.example/v1/*", "GET https://a.example/a*b", "CONNECTX https://a.example/*", "get https://a.example/", "read /srv/**", "read /srv/*", "exec /bin/*", "exec *"} {
		r := request(t, s)
		if x := e.Explain(r, e.Decide(r)); x.Fix != "" {
			t.Errorf("%s: %s", s, x.Fix)
		}
	}
}
