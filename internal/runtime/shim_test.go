package runtime

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShim runs the shim's own tests, which are JavaScript.
func TestShim(t *testing.T) {
	node, err := FindNode(t.Context(), NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("shim/test/*.test.cjs")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".test.cjs"), func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), node.Path, "--test", "--test-reporter=tap", file).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestContentIsTheShimOnly: no test of it may get into a sandbox.
func TestContentIsTheShimOnly(t *testing.T) {
	content := Content()
	for name, b := range content {
		if !strings.HasPrefix(name, ShimDir+"/") || strings.Contains(name, "test") || len(b) == 0 {
			t.Errorf("%s, %d bytes", name, len(b))
		}
	}
	if content[ShimDir+"/main.cjs"] == nil {
		t.Error("no main.cjs")
	}
}
