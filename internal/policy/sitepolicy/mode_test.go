package sitepolicy

import (
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
