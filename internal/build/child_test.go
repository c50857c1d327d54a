package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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
