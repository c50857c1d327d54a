package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/weir-run/weir/internal/policy"
)

// TestWhatNobodyMayHaveIsNoGain: both sides are cut by the ceiling before they are compared.
func TestWhatNobodyMayHaveIsNoGain(t *testing.T) {
	closed := func(string) (*policy.Ceiling, error) {
		return &policy.Ceiling{Policy: &policy.Policy{Source: "ceiling.toml", Limits: load(t, section(`limits = { memory = "512MB" }`))["f"].Limits,
			Rules: []policy.Rule{{Kind: policy.HTTP, Pattern: "GET https://a.example/**"}, {Kind: policy.Read, Pattern: "/srv/**"}}}}, nil
	}
	standard := func(string) (*policy.Ceiling, error) { return policy.DefaultCeiling(), nil }
	for name, c := range map[string]struct {
		ceiling       func(string) (*policy.Ceiling, error)
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
		r, err := CompareWithin(load(t, c.before), load(t, c.after), c.ceiling)
		if err != nil {
			t.Fatal(err)
		}
		if got := signs(r); got != c.want {
			t.Errorf("%s: got %q, want %q (%+v)", name, got, c.want, r.Changes)
		}
	}
	broken := func(string) (*policy.Ceiling, error) { return nil, errors.New("unreadable") }
	if _, err := CompareWithin(nil, load(t, section(``)), broken); err == nil {
		t.Error("a ceiling that can't be had is taken for none")
	}
}

// TestFunctionsWithoutAPolicyGainNothing: they get nothing, so there is nothing to approve.
func TestFunctionsWithoutAPolicyGainNothing(t *testing.T) {
	after := map[string]*policy.Policy{"a": {Function: "a"}, "b": nil}
	r, err := CompareWithin(nil, after, func(string) (*policy.Ceiling, error) { return nil, nil })
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
