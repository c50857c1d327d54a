package sitepolicy

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
)

// A bootstrap file and weir.toml: who monitors, and who is enforced.
func TestModeOfABootstrap(t *testing.T) {
	const fn = "[functions.charge]\nlimits = { timeout = \"2s\" }\n"
	for _, c := range []struct {
		toml string
		own  policy.Mode
		want policy.Mode
	}{
		{"", policy.Enforce, policy.Enforce},
		{"", policy.Monitor, policy.Monitor},
		{fn, policy.Enforce, policy.Enforce},
		{`mode = "monitor"` + "\n" + fn, policy.Enforce, policy.Monitor},
		{`mode = "enforce"` + "\n" + fn, policy.Monitor, policy.Monitor},
		{fn + `mode = "monitor"`, policy.Enforce, policy.Monitor},
	} {
		file, err := ParseFile(FileName, []byte(c.toml))
		if err != nil {
			t.Fatal(err)
		}
		own := &policy.Policy{Intrinsic: true, Source: "charge.js", Mode: c.own, Rules: []policy.Rule{{Kind: policy.TCP, Pattern: "db.internal:5432"}}}
		p, err := file.Of("charge", own)
		if err != nil {
			t.Fatal(err)
		}
		if p.Mode != c.want || len(p.Rules) != 1 || p.Function != "charge" || c.toml != "" && p.Limits.Timeout == 0 {
			t.Errorf("%q with mode %d: %+v", c.toml, c.own, p)
		}
	}
}

// TestTheModeHasAPlace: advice about it names the line that says so, in weir.toml or the bootstrap file.
func TestTheModeHasAPlace(t *testing.T) {
	for text, want := range map[string][2]string{
		"mode = \"monitor\"\n[functions.plain]\n":                             {"weir.toml:1:1", "weir.toml:1:1"},
		"[functions.plain]\nmode = \"monitor\"\n[functions.own]\nlimits = {}": {"weir.toml:2:1", "netlify/functions/own/own.js"},
		"mode = \"monitor\"\n[functions.plain]\nenv = []\nmode = \"monitor\"": {"weir.toml:4:1", "weir.toml:1:1"},
	} {
		s, err := Load(write(t, map[string]string{"weir.toml": text}), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s.Functions {
			i := map[string]int{"plain": 0, "own": 1}[f.Name]
			if got := f.Policy.At("mode").String(); got != want[i] {
				t.Errorf("%q: %s has its mode at %s, want %s", text, f.Name, got, want[i])
			}
		}
	}
	s, err := Load(write(t, map[string]string{"netlify/functions/own/own.js": strings.Replace(bootstrap, ".setHandlerFile", ".enableMonitorMode().setHandlerFile", 1)}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if pos := s.Functions[0].Policy.At("mode"); pos.File != "netlify/functions/own/own.js" || pos.Line != 4 {
		t.Errorf("the bootstrap has its mode at %s", pos)
	}
}
