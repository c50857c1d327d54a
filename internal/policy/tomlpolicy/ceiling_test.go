package tomlpolicy

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/weir-run/weir/internal/policy"
)

const ceilingFile = `
private = ["db.internal:5432"]

[functions."*"]
http = [
  "* https://api.stripe.com/**",
  { allow = "GET https://*.example.com/**", max_calls = 100, per = "minute" },
]
tcp = ["*.internal:5432"]
read = ["/srv/prices/**"]
write = ["/tmp/**", "/srv/out/**"]
exec = ["/usr/bin/convert"]
env = ["STRIPE_API_KEY", "LOG_LEVEL"]
addons = false
concurrency = 10
keep_warm = 2
limits = { memory = "512MB", timeout = "30s" }

[functions."crawler-*"]
http = "any"
mode = "monitor"
`

func ceilingOf(t testing.TB, text, function string) *policy.Ceiling {
	t.Helper()
	file, err := ParseCeiling("ceiling.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c, err := file.For(function)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func policyOf(t testing.TB, text, function string) *policy.Policy {
	t.Helper()
	return policyIn(t, "weir.toml", text, function)
}

func policyIn(t testing.TB, name, text, function string) *policy.Policy {
	t.Helper()
	file, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := file.For(function)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCutSaysWhatIsBeyond: each line of a weir.toml is granted, in part or not at all, and the developer hears which.
func TestCutSaysWhatIsBeyond(t *testing.T) {
	const remedy = "; remove it, or ask whoever looks after the ceiling"
	for _, c := range []struct{ ceiling, line, warning string }{
		{ceilingFile, `http = ["POST https://api.stripe.com/v1/charges"]`, ""},
		{ceilingFile, `http = ["PATCH https://api.stripe.com/"]`, ""},
		{ceilingFile, `http = ["POST *://api.stripe.com/v1"]`, `http "POST *://api.stripe.com/v1" is partly beyond the organisation's ceiling; not allowed is, for example, POST http://api.stripe.com/v1`},
		{ceilingFile, `http = ["GET https://evil.test/"]`, `http "GET https://evil.test/" is beyond the organisation's ceiling, so it allows nothing`},
		{ceilingFile, `http = ["wss://api.stripe.com/x"]`, `ws "wss://api.stripe.com/x" is beyond the organisation's ceiling, so it allows nothing`},
		{ceilingFile, `http = ["GET https://a.example.com/x"]`, `http "GET https://a.example.com/x" may be used less than it says: the ceiling gives 100 calls per minute`},
		{ceilingFile, `http = [{ allow = "GET https://a.example.com/x", max_calls = 100, per = "minute" }]`, ""},
		{ceilingFile, `http = [{ allow = "GET https://a.example.com/x", max_calls = 1, per = "invocation" }]`, `http "GET https://a.example.com/x" may be used less than it says: the ceiling gives 100 calls per minute`},
		{ceilingFile, `tcp = ["db.internal:5432"]`, ""},
		{ceilingFile, `tcp = ["10.0.0.5:5432"]`, `tcp "10.0.0.5:5432" is beyond the organisation's ceiling, so it allows nothing`},
		{"", `tcp = ["10.0.0.5:5432"]`, `tcp "10.0.0.5:5432" names 10.0.0.5, an address that the ceiling does not list as private, so it can't be reached`},
		{"private = [\"10.0.0.5:5432\"]", `tcp = ["10.0.0.5:5432"]`, ""},
		{"", `http = ["GET http://localhost:3000/x"]`, `http "GET http://localhost:3000/x" names localhost, an address that the ceiling does not list as private, so it can't be reached`},
		{"", `http = ["GET https://anything.test/**"]`, ""},
		{"", `write = ["/tmp/**"]`, ""},
		{"", `read = ["/etc/ssl/openssl.cnf"]`, `read "/etc/ssl/openssl.cnf" is beyond the organisation's ceiling, so it allows nothing`},
		{"", `exec = ["/usr/bin/convert"]`, `exec "/usr/bin/convert" is beyond the organisation's ceiling, so it allows nothing`},
		{"", `mode = "monitor"`, `mode is beyond the organisation's ceiling; it is enforce`},
		{"", `addons = true`, ""},
		{"", `env = ["ANYTHING"]`, ""},
		{ceilingFile, `read = ["/srv/prices/a", "/tmp/x"]`, ""},
		{ceilingFile, `read = ["/srv/**"]`, `read "/srv/**" is partly or wholly beyond the organisation's ceiling`},
		{ceilingFile, `env = ["LOG_LEVEL"]`, ""},
		{ceilingFile, `env = ["log_level"]`, `env "log_level" is beyond the organisation's ceiling, so it allows nothing`},
		{ceilingFile, `exec = ["/usr/bin/id"]`, `exec "/usr/bin/id" is beyond the organisation's ceiling, so it allows nothing`},
		{ceilingFile, `udp = ["stats.example.com:8125"]`, ""},
		{ceilingFile, `addons = true`, `addons is beyond the organisation's ceiling; it is false`},
		{ceilingFile, `concurrency = 20`, `concurrency is beyond the organisation's ceiling; it is 10`},
		{ceilingFile, `keep_warm = 3`, `keep_warm is beyond the organisation's ceiling; it is 2`},
		{ceilingFile, `limits = { memory = "1GB" }`, `limits.memory is beyond the organisation's ceiling; it is 512MB`},
		{ceilingFile, `limits = { timeout = "31s" }`, `limits.timeout is beyond the organisation's ceiling; it is 30s`},
		{ceilingFile, `limits = { cpu = 8 }`, ""},
	} {
		p := policyOf(t, "[functions.charge]\n"+c.line+"\n", "charge")
		cut, beyond, err := policy.Cut(p, ceilingOf(t, c.ceiling, "charge"))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, w := range beyond {
			got = append(got, w.Error())
		}
		if c.warning == "" {
			if len(got) > 0 || len(cut.Rules) != len(p.Rules) {
				t.Errorf("%s: %q, left %v", c.line, got, cut.Rules)
			}
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], "weir.toml:2:") || !strings.HasSuffix(got[0], ": "+c.warning+remedy) {
			t.Errorf("%s:\n got %q\nwant %q", c.line, got, c.warning)
		}
		if gone := strings.Contains(c.warning, "allows nothing"); gone != (len(cut.Rules) == 0 && len(p.Rules) > 0) {
			t.Errorf("%s: left %v", c.line, cut.Rules)
		}
	}
}

func TestCeilingsBySection(t *testing.T) {
	crawler := ceilingOf(t, ceilingFile, "crawler-1")
	if got := fmt.Sprint(crawler.Any); got != "[http udp dns ws]" || crawler.Policy.Mode != policy.Monitor || len(crawler.Private) != 1 {
		t.Errorf("crawler: %s, %+v", got, crawler)
	}
	charge := ceilingOf(t, ceilingFile, "charge")
	if got := fmt.Sprint(charge.Any); got != "[udp dns]" || charge.Policy.Mode != policy.Enforce || len(charge.Policy.Rules) != 15 {
		t.Errorf("charge: %s, %d rules", got, len(charge.Policy.Rules))
	}
	if empty := ceilingOf(t, "", "charge"); fmt.Sprint(empty.Any) != "[http tcp udp dns env ws]" || !empty.Policy.Addons || len(empty.Policy.Rules) != 1 {
		t.Errorf("an empty file: %+v", empty)
	}
}

// TestLinksOfOthersAreKnown: whoever may write a directory may leave a link there for a rule of somebody else.
func TestLinksOfOthersAreKnown(t *testing.T) {
	file, err := ParseCeiling("ceiling.toml", []byte(ceilingFile+"write = [\"/srv/crawled/**\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(file.Writable()); got != "[/srv/crawled/** /srv/out/** /tmp/**]" {
		t.Error(got)
	}
}

func TestBadCeilings(t *testing.T) {
	for text, want := range map[string]string{
		"private = [\"db.internal\"]":           `ceiling.toml:1:12: the port of "db.internal" is missing`,
		"privat = []":                           `did you mean "private"?`,
		"[functions.a]\nread = \"any\"":         "ceiling.toml:2:8: read can't be left open; name the paths",
		"[functions.a]\nhttp = \"all\"":         "expected a list",
		"[functions.a]\nruntime = \"nodejs22\"": "the version of Node.js is no privilege",
		"[functions.a]\nhttp = [{ allow = \"* https://a.test/\", max_calls = 1, per = \"minute\" }]":                "has no budget",
		"[functions.a]\nhttp = [\"* a.test/\"]":                                                                     "the URL has no scheme",
		"[functions.a]\nprivate = []":                                                                               `unknown key "private"`,
		"[functions.\"*\"]\nhttp = [\"GET https://a.test/\"]\ntcp = [\"a.test:443\"]":                               "either the one or the other",
		"[functions.\"a*\"]\nenv = [\"A\"]\n[functions.\"*a\"]\nenv = [\"B\"]\n[functions.\"*b\"]\nenv = [\"B\"]":   "",
		"[functions.\"*a\"]\nenv = [\"A\"]\n[functions.\"*b*\"]\nenv = [\"B\"]\n[functions.\"*c*\"]\nenv = [\"C\"]": "equally specific",
	} {
		_, err := ParseCeiling("ceiling.toml", []byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s:\n%v, want %s", text, err, want)
		}
	}
	for _, word := range []string{"private = []", "[functions.a]\nhttp = \"any\"", "[functions.a]\nhttp = [\"* https://a.test/\"]"} {
		if _, err := Parse("weir.toml", []byte(word)); err == nil {
			t.Errorf("%q is taken in a weir.toml", word)
		}
	}
}

// TestCeilingOfTheDocs: the page about ceilings says what Weir says.
func TestCeilingOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/approval.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range regexp.MustCompile(`(?m)^\S.*$`).Split(string(page), -1) {
		if part = strings.ReplaceAll(strings.Trim(part, "\n"), "\n    ", "\n"); strings.HasPrefix(part, "    ") {
			blocks = append(blocks, part[4:])
		}
	}
	_, beyond, err := policy.Cut(policyIn(t, "_weir.toml", blocks[1], "charge"), ceilingOf(t, blocks[0], "charge"))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, w := range beyond {
		got += " " + w.Error()
	}
	if want := strings.Join(strings.Fields(blocks[2]), " "); strings.TrimSpace(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// FuzzCeiling: whatever the files say, what a policy allows within a ceiling both allow, and what is cut from it is
// nothing that it could do within the ceiling.
func FuzzCeiling(f *testing.F) {
	f.Add(ceilingFile, "[functions.charge]\nhttp = [\"POST https://api.stripe.com/**\"]\ntcp = [\"db.internal:5432\"]\nread = [\"/srv/**\"]\n", "/v1/charges", "/srv/prices/a")
	f.Add("", "[functions.\"*\"]\nhttp = [\"GET https://*.example.com/**\", \"wss://api.stripe.com/*\"]\nwrite = [\"/tmp/**\"]\nmode = \"monitor\"\n", "/x", "/tmp/x")
	f.Add("[functions.\"*\"]\nhttp = [{ allow = \"GET https://api.stripe.com/*\", query = { q = \"1\" } }]\n", "[functions.\"*\"]\nhttp = [{ allow = \"GET *://api.stripe.com/**\", query = { q = \"*\" } }]\n", "/x?q=1", "/etc/x")
	f.Fuzz(func(t *testing.T, ceilingText, text, target, path string) {
		file, err := ParseCeiling("ceiling.toml", []byte(ceilingText))
		if err != nil {
			if strings.ContainsFunc(strings.ReplaceAll(err.Error(), "\n", ""), unicode.IsControl) {
				t.Fatalf("a hostile message: %q", err)
			}
			return
		}
		ceiling, err := file.For("charge")
		if err != nil {
			t.Fatalf("passed ParseCeiling: %v", err)
		}
		top, err := policy.CompileCeiling(ceiling)
		if err != nil {
			t.Fatalf("passed ParseCeiling: %v", err)
		}
		site, err := Parse("weir.toml", []byte(text))
		if err != nil {
			return
		}
		p, err := site.For("charge")
		if err != nil {
			return
		}
		own, err := policy.Compile(p)
		if err != nil {
			return
		}
		cut, beyond, err := policy.Cut(p, ceiling)
		if err != nil {
			t.Fatal(err)
		}
		if len(cut.Rules) < len(p.Rules) && len(beyond) == 0 {
			t.Fatal("something is cut without a word")
		}
		less, err := policy.Compile(cut)
		if err != nil {
			t.Fatal(err)
		}
		bound := policy.Bound{Engine: top, Name: "the ceiling"}
		within, cutWithin := own.Within(bound), less.Within(bound)
		for _, r := range questions(target, path) {
			a, b, c := own.Decide(&r).Allow, top.Decide(&r).Allow, within.Decide(&r).Allow
			if c != (a && b) || cutWithin.Decide(&r).Allow != c {
				t.Fatalf("%+v: %v and %v give %v, cut %v", r, a, b, c, cutWithin.Decide(&r).Allow)
			}
		}
		if cut.Mode == policy.Monitor && ceiling.Policy.Mode != policy.Monitor {
			t.Fatal("the mode slips through")
		}
	})
}

// questions are requests that policies of the fuzz target may be about.
func questions(target, path string) (out []policy.Request) {
	for _, host := range []string{"api.stripe.com", "a.example.com", "db.internal"} {
		for _, scheme := range []string{"https", "http", "wss"} {
			if r, err := policy.NewHTTP("GET", scheme, host, target); err == nil {
				out = append(out, r)
			}
		}
		if r, err := policy.NewTCP(host, 5432); err == nil {
			out = append(out, r)
		}
	}
	for _, k := range []policy.Kind{policy.Read, policy.Write, policy.Exec} {
		if r, err := policy.NewFile(k, path); err == nil {
			out = append(out, r)
		}
	}
	return append(out, policy.Request{Kind: policy.Env, Path: "LOG_LEVEL"}, policy.Request{Kind: policy.Addon, Path: "/x"})
}
