// Package netlify serves functions as people have them: built by Netlify's own bundler, or in a monorepo that a
// package manager has installed.
package netlify

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/server"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}

// source is the functions, and the lock of the packages that they and the bundler are.
const source = "../../internal/runtime/testdata/netlify"

// packages gives a folder with the packages of the lock in source, which stay for the next time.
func packages(t *testing.T, source, name string) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), name)
	lock, err := os.ReadFile(source + "/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	have, _ := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	_, missing := os.Stat(filepath.Join(dir, "node_modules/.package-lock.json")) // npm writes it last
	if missing == nil && bytes.Equal(lock, have) {
		return dir
	}
	os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		copyFile(t, filepath.Join(source, name), filepath.Join(dir, name))
	}
	if out, err := in(dir, "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error"); err != nil {
		t.Skipf("needs packages from npm, which can't be had: %v\n%s", err, out)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func in(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// zipped builds the functions with one of Netlify's bundlers and gives a site of their archives alone.
func zipped(t *testing.T, bundler string) string {
	t.Helper()
	dir := packages(t, source, "weir-test-zips")
	work, err := os.MkdirTemp(dir, "run-") // below the packages; several runs may build at a time
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	if err := os.CopyFS(filepath.Join(work, "functions"), os.DirFS(source+"/functions")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(work, "functions"), os.DirFS("testdata/functions")); err != nil {
		t.Fatal(err)
	}
	install(t, filepath.Join(work, "node_modules"))
	copyFile(t, "testdata/zip.mjs", filepath.Join(work, "zip.mjs"))
	if out, err := in(work, "node", "zip.mjs", bundler); err != nil {
		t.Fatalf("Netlify's build: %v\n%s", err, out)
	}
	root := open(t)
	site := filepath.Join(root, "site")
	if err := os.CopyFS(filepath.Join(site, "netlify/functions"), os.DirFS(filepath.Join(work, "zips"))); err != nil {
		t.Fatal(err)
	}
	return site
}

// install puts a package into a folder as pnpm does: it and what it needs lie behind links.
func install(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string]string{"linked": "module.exports = 'linked to ' + require('other');", "other": "module.exports = 'another';"} {
		at := filepath.Join(dir, ".pnpm", name+"@1.0.0", "node_modules", name)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, "index.js"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"linked": ".pnpm/linked@1.0.0/node_modules/linked", ".pnpm/linked@1.0.0/node_modules/other": "../../other@1.0.0/node_modules/other"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
}

// open makes a folder that sandboxes may look into: t.TempDir's parent is its owner's alone.
func open(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "weir-netlify-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// serve serves a site until the test ends, and gives its URL.
func serve(t *testing.T, site string) string {
	t.Helper()
	dev, err := server.NewDev(t.Context(), server.DevOptions{
		Dir: site, StateDir: open(t), Listen: "127.0.0.1:0", Recorder: &record.Memory{},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Log: func(instance.Line) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { dev.Serve(ctx) })
	t.Cleanup(func() { cancel(); running.Wait(); dev.Close() })
	return "http://" + dev.Addr()
}

func TestArchivesOfNetlifysBundler(t *testing.T) {
	for _, bundler := range []string{"esbuild", "nft"} {
		t.Run(bundler, func(t *testing.T) {
			url := serve(t, zipped(t, bundler))
			for path, want := range map[string]struct {
				status int
				body   string
			}{
				"/.netlify/functions/legacy":   {200, "callback GET"},
				"/.netlify/functions/plain":    {200, "v1 /.netlify/functions/plain"},
				"/.netlify/functions/streamed": {201, strings.Repeat("x", 200_000)},
				"/.netlify/functions/object":   {200, "object GET"},
				"/.netlify/functions/large":    {200, strings.Repeat("y", 300_000)},
				"/.netlify/functions/nothing":  {204, ""},
				"/.netlify/functions/modern":   {404, "no default URL"},
				"/modern/7":                    {202, `{"path":"/modern/7"`},
				"/typed/7":                     {200, "typed 7"},
				"/.netlify/functions/linked":   {200, "linked to another"},
				"/.netlify/functions/later":    {202, ""},
				"/.netlify/functions/nightly":  {200, "runs by its schedule"},
			} {
				if bundler == "nft" && (strings.HasSuffix(path, "/plain") || strings.HasSuffix(path, "/streamed")) {
					continue // it puts CommonJS into a file .mjs, which no Node.js runs
				}
				res, err := http.Get(url + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != want.status || !strings.Contains(string(body), want.body) {
					t.Errorf("%s: %d %.300s %v", path, res.StatusCode, body, err)
				}
			}
		})
	}
}
