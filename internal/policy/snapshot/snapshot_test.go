package snapshot

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/diff"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const bootstrap = `const IntrinsicLambda = require('@intrinsic/lambda');
module.exports = new IntrinsicLambda().configurePolicies(p => {}).setHandlerFile(__dirname + '/handler.js').run();
`

// TestAMonitoringSiteIsAGainOverAFile: a weir.toml by itself says nothing of bootstraps, and must not
// borrow the mode of the site that it is compared with.
func TestAMonitoringSiteIsAGainOverAFile(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "netlify/functions/own/own.js"), bootstrap)
	put(t, filepath.Join(dir, "netlify/functions/own/handler.js"), "")
	put(t, filepath.Join(dir, "weir.toml"), "mode = \"monitor\"\n")
	file := put(t, filepath.Join(t.TempDir(), "old.toml"), "")
	before, err := Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, _, err := Pair(before, after)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := diff.Compare(a, b); err != nil || r.Gains() != 1 || r.Changes[0].Kind != "mode" {
		t.Errorf("got %+v %v", r, err)
	}
}

// TestAGainForFunctionsInTwoGlobsIsSeen: neither glob by itself gains anything.
func TestAGainForFunctionsInTwoGlobsIsSeen(t *testing.T) {
	dir := t.TempDir()
	before, err := Open(put(t, filepath.Join(dir, "a.toml"), "[functions.\"ab*\"]\nenv = [\"A\"]\n[functions.\"*c\"]\nenv = [\"A\", \"B\"]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Open(put(t, filepath.Join(dir, "b.toml"), "[functions.\"ab*\"]\nread = []\n[functions.\"*c\"]\nenv = [\"A\", \"B\"]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, _, err := Pair(before, after)
	if err != nil {
		t.Fatal(err)
	}
	r, err := diff.Compare(a, b)
	if err != nil || r.Gains() != 1 || r.Changes[len(r.Changes)-1].Function != "ab*" {
		t.Fatalf("got %+v %v", r, err)
	}
	i := slices.IndexFunc(r.Changes, func(c diff.Change) bool { return c.Gained })
	if c := r.Changes[i]; c.What != "B" || c.Function != "*c and ab*" {
		t.Errorf("gained %+v", c)
	}
}

func TestPoliciesOfASite(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "netlify/functions/a.js"), "")
	put(t, filepath.Join(dir, "weir.toml"), "[functions.a]\nenv = [\"A\"]\n")
	s, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.policies["a"]; len(s.policies) != 1 || len(p.Rules) != 1 || p.Rules[0].Kind != policy.Env || s.Dir != dir {
		t.Errorf("got %+v", s)
	}
}

// TestUnpackStaysInside: what an archive holds goes nowhere else, and links don't count.
func TestUnpackStaysInside(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "weir.toml", Typeflag: tar.TypeReg, Size: 1},
		{Name: "../out.txt", Typeflag: tar.TypeReg, Size: 1},
		{Name: "/abs.txt", Typeflag: tar.TypeReg, Size: 1},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		{Name: "link/x", Typeflag: tar.TypeReg, Size: 1},
		{Name: "node_modules/x/index.js", Typeflag: tar.TypeReg, Size: 1},
	} {
		h.Mode = 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "in")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unpack(&b, dir); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.Walk(parent, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			got = append(got, strings.TrimPrefix(path, parent+"/"))
		}
		return err
	})
	if err != nil || !slices.Equal(got, []string{"in/link/x", "in/weir.toml"}) {
		t.Errorf("got %q %v", got, err)
	}
}

func TestUnpackIsBounded(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "big", Typeflag: tar.TypeReg, Size: maxTree + 1, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unpack(&b, dir); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind %v", left)
	}
}
