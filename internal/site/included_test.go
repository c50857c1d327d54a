package site

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhatWeirWritesIsLeftOut: records that are kept in the site come into no bundle, however wide the
// globs are.
func TestWhatWeirWritesIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"netlify.toml":         "[functions]\ndirectory = \"functions\"\nincluded_files = [\"**\"]\n",
		"functions/a.js":       "exports.handler = async () => {};",
		"records.jsonl":        "",
		"records.jsonl.000001": "",
		".records.jsonl.lock":  "",
		"log[1]/r.jsonl":       "",
		"log[1]/notes.txt":     "",
		"records.json":         "{}",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.LeaveOut([]string{filepath.Join(dir, "records.jsonl"), filepath.Join(dir, "log[1]/r.jsonl"), "/elsewhere/x", "/nowhere/y"})
	files, _, err := s.Expand(s.Functions[0].Included)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range files {
		got[f.Name] = true
	}
	for name, want := range map[string]bool{"records.jsonl": false, "records.jsonl.000001": false, ".records.jsonl.lock": false,
		"log[1]/r.jsonl": false, "log[1]/notes.txt": true, "records.json": true, "functions/a.js": true} {
		if got[name] != want {
			t.Errorf("%s in the bundle: %v", name, got[name])
		}
	}
}
