package sitepolicy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const bootstrap = `const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda()
  .configurePolicies(p => { p.outboundHttp.allowGet('https://a.example/x') })
  .setHandlerFile(__dirname + '/handler.js').run();
`

// write makes a site of two functions: own has a bootstrap, plain has none.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"netlify/functions/own/own.js": bootstrap, "netlify/functions/own/handler.js": "", "netlify/functions/plain.js": ""}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBothFrontEndsAreAsked(t *testing.T) {
	s, err := Load(write(t, map[string]string{"weir.toml": "[functions.\"*\"]\nlimits = { timeout = \"3s\" }\nruntime = \"nodejs22\"\n[functions.plain]\nenv = [\"A\"]\n[functions.plane]\n"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Functions) != 2 || len(s.Unmatched) != 1 || !strings.Contains(s.Unmatched[0].Error(), "did you mean plain?") {
		t.Fatalf("functions %v, unmatched %v", s.Functions, s.Unmatched)
	}
	own, plain := s.Functions[0].Engine.Policy(), s.Functions[1].Engine.Policy()
	if !own.Intrinsic || len(own.Rules) != 1 || own.Source != "netlify/functions/own/own.js" || own.Rules[0].Pos.String() != "netlify/functions/own/own.js:3:52" || own.Limits.Timeout != 3*time.Second || own.Running.Node != 22 {
		t.Errorf("own has %+v", own)
	}
	if plain.Intrinsic || len(plain.Rules) != 1 || plain.Source != FileName {
		t.Errorf("plain has %+v", plain)
	}
}

func TestNoFileGivesNothing(t *testing.T) {
	s, err := Load(write(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Functions[1].Policy; len(p.Rules) != 0 || p.Source != "" {
		t.Errorf("got %+v", p)
	}
}

// TestABrokenBootstrapIsItsFunctionsFault: the others' policies are read.
func TestABrokenBootstrapIsItsFunctionsFault(t *testing.T) {
	s, err := Load(write(t, map[string]string{"netlify/functions/own/own.js": strings.Replace(bootstrap, "allowGet", "allowGot", 1)}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Functions[0].Err; weir.ErrorCode(e) != weir.Invalid || !strings.HasPrefix(e.Error(), "netlify/functions/own/own.js:3:") {
		t.Errorf("got %v", e)
	}
	if s.Functions[1].Engine == nil {
		t.Error("the other function has no policy")
	}
}

func TestFaultsAreErrorsWithAPlace(t *testing.T) {
	for text, want := range map[string]string{
		"[functions.own]\nenv = [\"A\"]\n":                                                  "weir.toml:2:8: own has a policy of its own in netlify/functions/own/own.js",
		"[functions.own]\naddons = true\n":                                                  "weir.toml:2:1: own has a policy of its own",
		"[functions.plain]\nenv = [\"A\", \"PATH\"]\n":                                      "weir.toml:2:13: PATH is reserved",
		"[functions.plain]\nhttp = [\"GET https://a.example/\"]\ntcp = [\"a.example:443\"]": "weir.toml:3:8: \"a.example:443\" names",
	} {
		_, err := Load(write(t, map[string]string{"weir.toml": text}), nil)
		if weir.ErrorCode(err) != weir.Invalid || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q gives %v", text, err)
		}
	}
	dir := write(t, nil)
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, nil); err == nil || !strings.Contains(err.Error(), "weir.toml: is not a regular file") {
		t.Errorf("a folder gives %v", err)
	}
}
