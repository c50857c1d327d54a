package build

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/site"
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
	three, err := openDir(one.Dir)
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
	if _, err := openDir(three.Dir); err == nil {
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
	if _, err := openDir(b.Dir); err != nil {
		t.Error(err)
	}
}

// TestAnArtifactReplacedWhileItIsCheckedIsKept: a build that is still reading an artifact when another
// replaces it must leave the new one alone, whatever it read, and hold that one. The manifest is a
// FIFO, by which the test knows that the build has come to it, and says what it reads.
func TestAnArtifactReplacedWhileItIsCheckedIsKept(t *testing.T) {
	for name, damaged := range map[string]bool{"found damaged": true, "found whole": false} {
		t.Run(name, func(t *testing.T) {
			dir, state := newSite(t, small), t.TempDir()
			old := build(t, dir, state) // in use, or the next build would remove it
			defer old.Close()
			manifest := filepath.Join(old.Dir, manifestName)
			says, err := os.ReadFile(manifest)
			if err != nil {
				t.Fatal(err)
			}
			if damaged {
				says = nil
			}
			os.Remove(manifest)
			if err := unix.Mkfifo(manifest, 0o644); err != nil {
				t.Fatal(err)
			}
			slow := buildLater(t, dir, state)
			fifo, err := os.OpenFile(manifest, os.O_WRONLY, 0) // returns once the build reads it
			if err != nil {
				t.Fatal(err)
			}
			if err := discard(old.Dir); err != nil { // as a build does that found it damaged before
				t.Fatal(err)
			}
			b := build(t, dir, state)
			fifo.Write(says)
			fifo.Close()
			a := <-slow
			if a == nil {
				t.Fatal("the slow build failed")
			}
			if !isAt(b.held, b.Dir) {
				t.Error("the new artifact was replaced while it was used")
			}
			b.Close()
			if again, err := openDir(a.Dir); err != nil {
				t.Errorf("it is gone while it is used: %v", err)
			} else {
				again.Close()
			}
			a.Close()
			if left := inStore(t, state); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// buildLater builds at the same time as the test goes on; the result is nil if that failed.
func buildLater(t *testing.T, dir, state string) <-chan *Artifact {
	t.Helper()
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan *Artifact, 1)
	go func() {
		a, err := Build(context.Background(), s, Options{StateDir: state})
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	return done
}
