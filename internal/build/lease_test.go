package build

import (
	"os"
	"path/filepath"
	"testing"
)

// inStore lists what lies in the store of a state folder.
func inStore(t *testing.T, state string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(state, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAnArtifactLastsAsLongAsSomebodyUsesIt(t *testing.T) {
	dir, state := newSite(t, small), t.TempDir()
	one, two := build(t, dir, state), build(t, dir, state)
	three, err := Open(one.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*Artifact{two, one} {
		a.Close()
		if _, err := os.Stat(filepath.Join(three.Dir, manifestName)); err != nil {
			t.Fatalf("it is gone while it is used: %v", err)
		}
	}
	three.Close()
	if left := inStore(t, state); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := Open(three.Dir); err == nil {
		t.Error("an artifact that is gone can be opened")
	}
}

func TestNextBuildRemovesWhatACrashLeft(t *testing.T) {
	dir, state := newSite(t, small), t.TempDir()
	a := build(t, dir, state)
	a.held.Close() // as the kernel does when the process ends
	store := filepath.Join(state, "artifacts")
	for _, name := range []string{".new-1/functions/a/x.js", ".old-2/artifact/manifest.json", "other/file"} {
		put(t, filepath.Join(store, name), "x")
	}
	put(t, filepath.Join(dir, "functions/a.js"), "exports.handler = async () => 2")
	b := build(t, dir, state)
	left := inStore(t, state)
	if len(left) != 2 || left[0] != b.ID && left[1] != b.ID || left[0] != "other" && left[1] != "other" {
		t.Errorf("left behind: %v, want %s and other", left, b.ID)
	}
}

// TestAnArtifactReplacedMeanwhileIsNotRemoved: who closes an artifact that was damaged and replaced
// must leave the new one alone.
func TestAnArtifactReplacedMeanwhileIsNotRemoved(t *testing.T) {
	dir, state := newSite(t, small), t.TempDir()
	a := build(t, dir, state)
	put(t, filepath.Join(a.Dir, "functions/a/functions/a.js"), "damaged")
	b := build(t, dir, state)
	a.Close()
	if _, err := Open(b.Dir); err != nil {
		t.Error(err)
	}
}
