package expect

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/ask"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
)

func engine(t *testing.T, p policy.Policy) *policy.Engine {
	t.Helper()
	e, err := policy.Compile(&p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func parse(t *testing.T, text string) []tomlpolicy.Expectation {
	t.Helper()
	list, err := tomlpolicy.ParseExpectations("weir.test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRun(t *testing.T) {
	functions := []*policy.Engine{
		engine(t, policy.Policy{Function: "charge", Source: "weir.toml", Rules: []policy.Rule{{Kind: policy.Env, Pattern: "KEY"}}}),
		engine(t, policy.Policy{Function: "chart", Source: "weir.toml", Mode: policy.Monitor}),
	}
	got, err := Run(parse(t, "[functions.\"ch*\"]\nallow = [\"env KEY\"]\n[functions.chart]\ndeny = [\"exec /bin/sh\"]\n"), functions)
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v %v", got, err)
	}
	for i, want := range []struct {
		function, decision string
		ok                 bool
	}{{"charge", ask.Allow, true}, {"chart", ask.Deny, false}, {"chart", ask.Deny, true}} {
		if o := got[i]; o.Function != want.function || o.Decision != want.decision || o.OK != want.ok || o.Pos.Line == 0 {
			t.Errorf("outcome %d: %+v", i, o)
		}
	}
	if got[2].Mode != "monitor" {
		t.Errorf("monitor mode is not told: %+v", got[2])
	}
}

// TestWhatWouldHoldOfAnythingIsAnError: a section about no function, and a line that asks nothing.
func TestWhatWouldHoldOfAnythingIsAnError(t *testing.T) {
	functions := []*policy.Engine{engine(t, policy.Policy{Function: "charge"}), engine(t, policy.Policy{Function: "chart"})}
	_, err := Run(parse(t, "[functions.chrage]\ndeny = [\"exec /bin/sh\"]\n[functions.\"*\"]\ndeny = [\"/bin/sh\"]\n"), functions)
	if err == nil || !strings.Contains(err.Error(), "weir.test.toml:2:9: [functions.chrage] is about no function") || strings.Count(err.Error(), "weir.test.toml:4:9") != 1 {
		t.Errorf("got %v", err)
	}
}
