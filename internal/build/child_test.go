package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/site"
)

// TestSourcesThatKillTheBundler: what can't be bundled at all ends neither this process nor the
// build of the other functions.
func TestSourcesThatKillTheBundler(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
-- functions/fine.js --
exports.handler = async () => 'fine';
-- functions/nested.js --
require('deep');
exports.handler = async () => 'nested';
-- functions/huge.js --
-- node_modules/deep/package.json --
{"name": "deep", "version": "1.0.0"}
`)
	deep := "module.exports=" + strings.Repeat("[", 3e6) + strings.Repeat("]", 3e6)
	if err := os.WriteFile(filepath.Join(dir, "node_modules/deep/index.js"), []byte(deep), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "functions/huge.js"), 8<<30); err != nil { // sparse
		t.Fatal(err)
	}
	want := map[string]string{"fine": "", "nested": "can't be bundled", "huge": "too large"}
	for _, f := range build(t, dir, t.TempDir()).Functions {
		switch w := want[f.Bundle.Function]; {
		case w == "" && f.Err != nil:
			t.Errorf("%s: %v", f.Bundle.Function, f.Err)
		case w != "" && (f.Err == nil || !strings.Contains(f.Err.Error(), w)):
			t.Errorf("%s: %v, want %s", f.Bundle.Function, f.Err, w)
		}
	}
}

// TestFunctionsThatHangTheBundler: each is given up, and many don't hold up a build for minutes each.
func TestFunctionsThatHangTheBundler(t *testing.T) {
	dir := newSite(t, plainSite+"-- functions/f.ts --\nexport const handler = 1\n")
	if err := unix.Mkfifo(filepath.Join(dir, "tsconfig.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	done, err := runChild(t.Context(), job{Dir: s.Dir, Names: []string{"f"}}, listed(s, ""), time.Second)
	if len(done) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v %v", done, err)
	}
	for n := 1; n <= 30; n++ {
		if all := timeAlone(n) * time.Duration(n); all > maxTime {
			t.Errorf("%d functions have %v", n, all)
		}
	}
	if timeAlone(1000) < minTime {
		t.Error("a function has no time")
	}
}
