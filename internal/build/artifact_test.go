package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/site"
)

const small = `
-- netlify.toml --
[functions]
directory = "functions"
included_files = ["data/*"]
-- data/run.sh --
echo
-- functions/a.js --
const p = require('p');
exports.handler = async () => p;
-- functions/b.ts --
export const handler = async (): Promise<string> => __filename;
-- node_modules/p/package.json --
{}
-- node_modules/p/index.js --
module.exports = __dirname;
`

func TestSameInputGivesTheSameIDAnywhere(t *testing.T) {
	one := newSite(t, small)
	root, _ := filepath.EvalSymlinks(t.TempDir())
	two := filepath.Join(root, "elsewhere/and/deeper")
	for _, f := range txtar.Parse([]byte(small)).Files {
		put(t, filepath.Join(two, f.Name), string(f.Data))
	}
	first, second := build(t, one, t.TempDir()), build(t, two, t.TempDir())
	if first.ID != second.ID {
		t.Errorf("IDs differ: %s, %s", first.ID, second.ID)
	}
	if where := holds(t, first, one); where != "" {
		t.Errorf("the site's path is in %s", where)
	}
	put(t, filepath.Join(two, "functions/a.js"), "exports.handler = async () => 2")
	if build(t, two, t.TempDir()).ID == first.ID {
		t.Error("another content has the same ID")
	}
	if err := os.Chmod(filepath.Join(one, "data/run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if build(t, one, t.TempDir()).ID == first.ID {
		t.Error("an executable file has the ID of one that is not")
	}
}

func TestDamagedArtifactsAreFoundAndReplaced(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"changed":     func(d string) error { return os.WriteFile(d+"/functions/a/data/run.sh", []byte("rm"), 0o644) },
		"removed":     func(d string) error { return os.Remove(d + "/functions/a/data/run.sh") },
		"added":       func(d string) error { return os.WriteFile(d+"/functions/a/x.js", nil, 0o644) },
		"mode":        func(d string) error { return os.Chmod(d+"/functions/a/data/run.sh", 0o755) },
		"manifest":    func(d string) error { return os.WriteFile(d+"/manifest.json", []byte("{}"), 0o644) },
		"no manifest": func(d string) error { return os.Remove(d + "/manifest.json") },
		"link": func(d string) error {
			os.Remove(d + "/functions/a/data/run.sh")
			return os.Symlink("/dev/null", d+"/functions/a/data/run.sh")
		},
		"no functions": func(d string) error { return os.RemoveAll(d + "/functions") },
	} {
		t.Run(name, func(t *testing.T) {
			dir, state := newSite(t, small), t.TempDir()
			a := build(t, dir, state)
			if err := damage(a.Dir); err != nil {
				t.Fatal(err)
			}
			if _, err := openDir(a.Dir); err == nil {
				t.Error("a damaged artifact is taken")
			}
			again := build(t, dir, state)
			if again.Dir != a.Dir {
				t.Errorf("the artifact moved from %s to %s", a.Dir, again.Dir)
			}
			if _, err := openDir(again.Dir); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(state + "/artifacts/.*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestOpenGivesTheBundles(t *testing.T) {
	a := build(t, newSite(t, small), t.TempDir())
	b, err := openDir(a.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range b.Functions {
		if want := a.Functions[i].Bundle; f.Bundle.Dir != want.Dir || f.Bundle.Entry != want.Entry || f.Bundle.Export != "handler" {
			t.Errorf("got %+v, want %+v", f.Bundle, want)
		}
	}
}

func TestBuildsAtTheSameTimeAgree(t *testing.T) {
	dir, state := newSite(t, small), t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := site.Load(dir)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := Build(context.Background(), s, Options{StateDir: state}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if all, _ := os.ReadDir(filepath.Join(state, "artifacts")); len(all) != 1 {
		t.Errorf("%d artifacts, want 1", len(all))
	}
}

func TestFilesAreReadableByTheSandboxsUser(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	dir := newSite(t, small)
	a := build(t, dir, t.TempDir())
	err := filepath.WalkDir(a.Dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		if e.IsDir() {
			want = 0o755
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", p, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACancelledBuildLeavesNothing(t *testing.T) {
	s, err := site.Load(newSite(t, small))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	state := t.TempDir()
	if _, err := Build(ctx, s, Options{StateDir: state}); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if left, _ := filepath.Glob(state + "/artifacts/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Stacks name the source, with its line, and nothing of the machine.
func TestErrorsShowTheSource(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
-- functions/pay/charge.ts --
interface Unused {
  a: string
}
export function charge(): never {
  'use strict';
  throw new Error('declined in ' + __dirname.slice(-13));
}
-- functions/pay/pay.ts --
import { charge } from './charge';
export const handler = async () => charge();
`)
	a := build(t, dir, t.TempDir())
	os.RemoveAll(dir)
	got := call(t, a.Functions[0])
	if !strings.HasPrefix(got, "Error: declined in functions/pay|") || !strings.Contains(got, "functions/pay/charge.ts:6:9)") {
		t.Errorf("got %s", got)
	}
}

// FuzzParseManifest: whatever lies in an artifact's folder, reading it ends in an error or in functions whose
// files are in that folder.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"Format":3,"Functions":[{"Name":"f","Entry":"f.js","Form":"pack","Files":[{"Name":".weir/pack.js","SHA256":"00"}]}]}`))
	f.Add([]byte(`{"Format":3,"Functions":[{"Name":"../f","Files":[{"Name":"../../x"}]}]}`))
	f.Add([]byte(`{"Format":2}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		c, err := parseManifest(manifest)
		if err != nil {
			return
		}
		for _, fn := range c.Functions {
			if fn.Form != formPack && fn.Form != formBundle {
				t.Errorf("a function has the form %q", fn.Form)
			}
			for _, name := range []string{fn.Name, fn.Entry} {
				if !filepath.IsLocal(name) {
					t.Errorf("%q leads out of the artifact", name)
				}
			}
			for _, file := range fn.Files {
				if !filepath.IsLocal(file.Name) {
					t.Errorf("%q leads out of the artifact", file.Name)
				}
			}
		}
	})
}

// openDir opens the artifact in a folder.
func openDir(dir string) (*Artifact, error) {
	held, err := lease(dir)
	if err != nil {
		return nil, err
	}
	a, err := open(dir, held)
	if err != nil {
		held.Close()
	}
	return a, err
}
