package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestBuildForElsewhere(t *testing.T) {
	root, err := os.MkdirTemp("", "weir-server-") // t.TempDir is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "site")
	s := served{dir: dir}
	s.write(t, "netlify/functions/hello.js", `exports.handler = async () => ({ statusCode: 200, body: "hi" })`)
	s.write(t, "netlify/functions/bad.js", `exports.handler = (`)
	b, err := Build(t.Context(), DevOptions{Dir: dir, StateDir: filepath.Join(root, "state"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := map[string]bool{}
	for _, f := range b.Uploads.Functions {
		got[f.Name] = f.Err == nil
	}
	if len(got) != 2 || !got["hello"] || got["bad"] {
		t.Errorf("%v", got)
	}
	if hello := b.Uploads.Functions[1]; hello.Why != "" {
		t.Errorf("it is no pack: %s", hello.Why)
	}
	if _, err := Build(t.Context(), DevOptions{Dir: dir + "/none", StateDir: filepath.Join(root, "state"), Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a site that is not there was built")
	}
}
