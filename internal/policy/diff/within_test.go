package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/weir-run/weir/internal/policy"
)

// cut gives what a ceiling leaves of a policy.
func cut(t *testing.T, lines string, c *policy.Ceiling) map[string]*policy.Policy {
	t.Helper()
	p, _, err := policy.Cut(load(t, lines)["f"], c)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*policy.Policy{"f": p}
}

// TestWhatNobodyMayHaveIsNoGain: both sides are cut by the ceiling before they are compared.
func TestWhatNobodyMayHaveIsNoGain(t *testing.T) {
	closed := &policy.Ceiling{Policy: &policy.Policy{Source: "ceiling.toml", Limits: load(t, section(`limits = { memory = "512MB" }`))["f"].Limits,
		Rules: []policy.Rule{{Kind: policy.HTTP, Pattern: "GET https://a.example/**"}, {Kind: policy.Read, Pattern: "/srv/**"}}}}
	standard := policy.DefaultCeiling()
	for name, c := range map[string]struct {
		ceiling       *policy.Ceiling
		before, after string
		want          string
	}{
		"beyond":               {closed, section(``), section(`http = ["GET https://b.example/x"]`, `env = ["A"]`, `exec = ["/usr/bin/cal"]`), ""},
		"within":               {closed, section(``), section(`http = ["GET https://a.example/x"]`, `read = ["/srv/a"]`), "+http +read"},
		"partly":               {closed, section(``), section(`http = ["GET *://a.example/x"]`), "+http"},
		"lost":                 {closed, section(`http = ["GET https://b.example/x"]`, `read = ["/srv/a"]`), section(``), "-read"},
		"monitor":              {closed, section(``), section(`mode = "monitor"`, `addons = true`), ""},
		"limits beyond":        {closed, section(`limits = { memory = "512MB" }`), section(`limits = { memory = "4GB", timeout = "2m" }`), "+limit"},
		"the default ceiling":  {standard, section(``), section(`http = ["GET https://b.example/x"]`, `exec = ["/usr/bin/cal"]`, `mode = "monitor"`, `addons = true`), "+http +addons"},
		"the same, both times": {standard, section(`exec = ["/usr/bin/cal"]`, `tcp = ["db.internal:5432"]`), section(`exec = ["/usr/bin/cal"]`, `tcp = ["db.internal:5432"]`), ""},
	} {
		r, err := Compare(cut(t, c.before, c.ceiling), cut(t, c.after, c.ceiling))
		if err != nil {
			t.Fatal(err)
		}
		if got := signs(r); got != c.want {
			t.Errorf("%s: got %q, want %q (%+v)", name, got, c.want, r.Changes)
		}
	}
}

// TestFunctionsWithoutAPolicyGainNothing: they get nothing, so there is nothing to approve.
func TestFunctionsWithoutAPolicyGainNothing(t *testing.T) {
	after := map[string]*policy.Policy{"a": {Function: "a"}, "b": {}}
	r, err := Compare(nil, after)
	if err != nil || r.Gains() != 0 || len(r.Added) != 2 {
		t.Errorf("%+v %v", r, err)
	}
	embedded, err := json.Marshal(map[string]any{"diff": r})
	if err != nil {
		t.Fatal(err)
	}
	var alone bytes.Buffer
	if err := r.JSON(&alone); err != nil {
		t.Fatal(err)
	}
	var object, whole map[string]any
	if err := errors.Join(json.Unmarshal(alone.Bytes(), &object), json.Unmarshal(embedded, &whole)); err != nil {
		t.Fatal(err)
	}
	if object["gained"] != 0.0 || !reflect.DeepEqual(whole["diff"], any(object)) {
		t.Errorf("embedded %s, alone %s", embedded, alone.Bytes())
	}
}
