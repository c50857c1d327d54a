package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/site"
)

// TestAnArtifactHoldsItsPolicies: they are read back as they were built in, and another policy is
// another artifact.
func TestAnArtifactHoldsItsPolicies(t *testing.T) {
	dir := newSite(t, "-- netlify/functions/pay.js --\nexports.handler = async () => {};\n-- netlify/functions/none.js --\nexports.handler = async () => {};\n"+
		"-- weir.toml --\n[functions.pay]\nhttp = [{ allow = \"GET https://a.example/*\", query = {} }]\nlimits = { timeout = \"3s\" }\n")
	ids := map[string]bool{}
	for _, text := range []string{"", "[functions.pay]\nenv = [\"A\"]\n"} {
		if text != "" {
			put(t, filepath.Join(dir, "weir.toml"), text)
		}
		file, err := sitepolicy.ReadFile(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := site.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Build(t.Context(), s, Options{StateDir: t.TempDir(), Policy: file.Of})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		ids[a.ID] = true
		got, err := Policies(a.Dir)
		if err != nil || len(got) != 2 || len(got["none"].Rules) != 0 || len(got["pay"].Rules) != 1 {
			t.Fatalf("%v %v", got, err)
		}
		if r := got["pay"].Rules[0]; text == "" && (r.Kind != policy.HTTP || r.Query == nil || r.Pos.Line != 2 || got["pay"].Limits.Timeout == 0) {
			t.Errorf("the policy came back as %+v", got["pay"])
		}
		if !IsArtifact(a.Dir) || IsArtifact(dir) {
			t.Error("artifacts and sites are not told apart")
		}
		f, err := os.OpenFile(filepath.Join(a.Dir, manifestName), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := Policies(a.Dir); err == nil || !strings.Contains(err.Error(), "is not the manifest") {
			t.Errorf("a manifest that was changed gives %v", err)
		}
	}
	if len(ids) != 2 {
		t.Error("another policy gives the same artifact")
	}
}

func TestAPolicyThatCannotBeHadFailsTheBuild(t *testing.T) {
	s, err := site.Load(newSite(t, "-- netlify/functions/pay.js --\nexports.handler = async () => {};\n"))
	if err != nil {
		t.Fatal(err)
	}
	state, want := t.TempDir(), errors.New("no policy")
	_, err = Build(t.Context(), s, Options{StateDir: state, Policy: func(string, *policy.Policy) (*policy.Policy, error) { return nil, want }})
	if left, _ := os.ReadDir(state); !errors.Is(err, want) || len(left) != 0 {
		t.Errorf("error %v, left behind %v", err, left)
	}
}
