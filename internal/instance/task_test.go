package instance

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLinksOfABundle: packages that pnpm installed are found in a folder that a bundle was linked into.
func TestLinksOfABundle(t *testing.T) {
	bundle := t.TempDir()
	for _, dir := range []string{"node_modules", "store/a"} {
		if err := os.MkdirAll(filepath.Join(bundle, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bundle, "store/a/index.js"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../store/a", filepath.Join(bundle, "node_modules/a")); err != nil {
		t.Fatal(err)
	}
	all, err := newTasks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	to, err := all.make()
	if err != nil {
		t.Fatal(err)
	}
	if err := to.fill(bundle, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(to.dir, "node_modules/a/index.js")); err != nil || string(got) != "a" {
		t.Errorf("%q %v", got, err)
	}
	if target, err := os.Readlink(filepath.Join(to.dir, "node_modules/a")); err != nil || target != "../store/a" {
		t.Errorf("%q %v", target, err)
	}
}
