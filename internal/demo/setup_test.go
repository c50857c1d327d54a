package demo

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/weir-run/weir/internal/weir"
)

func combined(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

// fakeNPM puts an npm in front of the PATH that does what the script says.
func fakeNPM(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

var smallSite = fstest.MapFS{"package.json": {Data: []byte(`{"name":"x","version":"1.0.0"}`)}}

// empty fails unless nothing is left of a set-up that failed.
func empty(t *testing.T, state string) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(state, "demo"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s is left", e.Name())
	}
}

func TestSetUpWithoutNPM(t *testing.T) {
	t.Setenv("PATH", "")
	state := t.TempDir()
	_, err := setUp(context.Background(), state, smallSite, new(bytes.Buffer))
	if weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "the demo needs npm") || !strings.Contains(err.Error(), "install Node.js") {
		t.Errorf("error: %v", err)
	}
	empty(t, state)
	if _, err := Run(context.Background(), Options{StateDir: state, Progress: new(bytes.Buffer)}); err == nil || !strings.Contains(err.Error(), "the demo needs node") {
		t.Errorf("error without node: %v", err)
	}
}

func TestSetUpWithABrokenLock(t *testing.T) {
	state := t.TempDir()
	broken := fstest.MapFS{
		"package.json":      {Data: []byte(`{"name":"x","version":"1.0.0","dependencies":{"stripe":"23.1.0"}}`)},
		"package-lock.json": {Data: []byte(`{"name":"x","version":"1.0.0","lockfileVersion":3,"packages":{}}`)},
	}
	_, err := setUp(context.Background(), state, broken, new(bytes.Buffer))
	if err == nil || !strings.Contains(err.Error(), "npm ci failed") || !strings.Contains(err.Error(), "run weir demo again") {
		t.Errorf("error: %v", err)
	}
	empty(t, state)
}

func TestSetUpWithoutARegistry(t *testing.T) {
	t.Setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1/")
	t.Setenv("NPM_CONFIG_CACHE", t.TempDir())
	t.Setenv("NPM_CONFIG_FETCH_RETRIES", "0")
	state := t.TempDir()
	_, err := setUp(context.Background(), state, embedded(), new(bytes.Buffer))
	if weir.ErrorCode(err) != weir.Unavailable || !strings.Contains(err.Error(), "can't reach its registry") || !strings.Contains(err.Error(), "npm config set registry") {
		t.Errorf("error: %v", err)
	}
	empty(t, state)
}

func TestSetUpBrokenOff(t *testing.T) {
	fakeNPM(t, "exit 0")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	state := t.TempDir()
	if _, err := setUp(ctx, state, smallSite, new(bytes.Buffer)); err == nil {
		t.Error("a set-up that was broken off counts")
	}
	empty(t, state)
}

func TestSetUpHappensOnce(t *testing.T) {
	state := t.TempDir()
	fakeNPM(t, "mkdir node_modules && echo x >node_modules/x")
	dirs := make([]string, 4)
	errs := make([]error, len(dirs))
	var wg sync.WaitGroup
	for i := range dirs {
		wg.Go(func() { dirs[i], errs[i] = setUp(context.Background(), state, smallSite, new(bytes.Buffer)) })
	}
	wg.Wait()
	for i, dir := range dirs {
		if errs[i] != nil || dir != dirs[0] {
			t.Errorf("set-up %d: %s, %v", i, dir, errs[i])
		}
	}
	if entries, err := os.ReadDir(filepath.Join(state, "demo")); err != nil || len(entries) != 1 {
		t.Errorf("in the store: %v, %v", entries, err)
	}
	fakeNPM(t, "exit 1")
	if again, err := setUp(context.Background(), state, smallSite, new(bytes.Buffer)); err != nil || again != dirs[0] {
		t.Errorf("the second time: %s, %v", again, err)
	}
	other := fstest.MapFS{"package.json": {Data: []byte(`{"name":"y","version":"1.0.0"}`)}}
	if _, err := setUp(context.Background(), state, other, new(bytes.Buffer)); err == nil {
		t.Error("another content was not set up anew")
	}
}

func TestSetUpIsReadableByAll(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	fakeNPM(t, "mkdir node_modules && echo x >node_modules/x")
	state := filepath.Join(t.TempDir(), "a", "state")
	dir, err := setUp(context.Background(), state, smallSite, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		state: 0o755, filepath.Dir(dir): 0o755, dir: 0o755, filepath.Join(dir, "node_modules"): 0o755,
		filepath.Join(dir, "package.json"): 0o644, filepath.Join(dir, "node_modules", "x"): 0o644,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode().Perm(), err)
		}
	}
}
