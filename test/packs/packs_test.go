// Package packs runs functions with the packages that people really use, as packs and from the tree that
// npm installed, and compares what they answer.
package packs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/site"
)

// siteDir gives a folder with the functions and their packages, which stay for the next time.
func siteDir(t *testing.T) string {
	t.Helper()
	const source = "testdata/site"
	dir := filepath.Join(os.TempDir(), "weir-test-packs")
	_, missing := os.Stat(filepath.Join(dir, "node_modules/.package-lock.json")) // npm writes it last
	if missing != nil || !same(filepath.Join(dir, "package-lock.json"), source+"/package-lock.json") {
		os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		npm := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts", "--loglevel=error")
		npm.Dir = dir
		if out, err := npm.CombinedOutput(); err != nil {
			t.Skipf("needs packages from npm, which can't be had: %v\n%s", err, out)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "functions")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "functions"), os.DirFS(source+"/functions")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func same(a, b string) bool {
	x, err := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// node loads a function with the shim, calls it if told to, and gives what it says, in a process of its own.
func node(program, what, root, entry, export string, pack bool) (string, error) {
	runner, err := filepath.Abs("../../internal/build/testdata/shim.cjs")
	if err != nil {
		return "", err
	}
	args := []string{runner, what, root, entry, export}
	if pack {
		args = append(args, "pack")
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// TestPacksAnswerAsTheTreeDoes runs with the node of the PATH and those that WEIR_TEST_NODES names, with
// spaces between them.
func TestPacksAnswerAsTheTreeDoes(t *testing.T) {
	dir := siteDir(t)
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := build.Build(t.Context(), s, build.Options{StateDir: t.TempDir(), Smoke: func(_ context.Context, trial build.Trial) error {
		f := trial.Function.Bundle
		out, err := node("node", "load", f.Dir, f.Entry, f.Export, true)
		if err == nil && out != "loaded" {
			err = errors.New(out)
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	for _, f := range a.Functions {
		t.Run(f.Bundle.Function, func(t *testing.T) {
			t.Parallel()
			if f.Err != nil || !f.Bundle.Pack {
				t.Fatalf("no pack: %s %v", f.Why, f.Err)
			}
			for _, program := range append([]string{"node"}, strings.Fields(os.Getenv("WEIR_TEST_NODES"))...) {
				want, err := node(program, "call", dir, f.Bundle.Entry, f.Bundle.Export, false)
				if err != nil || !strings.HasPrefix(want, "[") && !strings.HasPrefix(want, "{") {
					t.Errorf("%s: the tree answers %s %v", program, want, err)
				}
				got, err := node(program, "call", f.Bundle.Dir, f.Bundle.Entry, f.Bundle.Export, true)
				if err != nil || got != want {
					t.Errorf("%s: the pack answers\n%s %v\nthe tree\n%s", program, got, err, want)
				}
			}
		})
	}
}
