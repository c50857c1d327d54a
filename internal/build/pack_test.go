package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/site"
)

// buildPacks is build with a Smoke that loads packs outside of any wall: the sites here are our own.
func buildPacks(t *testing.T, dir, state string) *Artifact {
	t.Helper()
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Build(context.Background(), s, Options{StateDir: state, Smoke: func(_ context.Context, trial Trial) error {
		out, err := inShim(trial.Function, "load")
		if err == nil && out != "loaded" {
			err = errors.New(out)
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// inShim loads a function with the shim's loader and, if told, calls it as call does.
func inShim(f Function, what string) (string, error) {
	runner, err := filepath.Abs("testdata/shim.cjs")
	if err != nil {
		return "", err
	}
	pack := ""
	if f.Bundle.Pack {
		pack = "pack"
	}
	cmd := exec.Command("node", runner, what, f.Bundle.Dir, f.Bundle.Entry, f.Bundle.Export, pack)
	cmd.Dir = f.Bundle.Dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

// The functions of each archive answer as packs as WANT says for bundles, or as PACK does.
func TestPacksAnswerAsBundlesDo(t *testing.T) {
	for name, ar := range archives(t, "testdata/run/*.txtar") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, dir, special := unpack(t, ar)
			a := buildPacks(t, dir, t.TempDir())
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for line := range strings.Lines(special["WANT"] + special["PACK"]) {
				function, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				want[function] = rest
			}
			for _, f := range a.Functions {
				if f.Err != nil {
					continue
				}
				got, err := inShim(f, "call")
				if form := fmt.Sprintf(" (%s)", f.Why); !f.Bundle.Pack {
					got += form
				}
				if err != nil || !strings.HasSuffix(want[f.Bundle.Function], got) {
					t.Errorf("%s answers %s %v, want %s", f.Bundle.Function, got, err, want[f.Bundle.Function])
				}
			}
		})
	}
}

// The functions of each archive answer as packs as Node has it that runs the site's own files.
func TestPacksAnswerAsTheTreeDoes(t *testing.T) {
	for name, ar := range archives(t, "testdata/pack/*.txtar") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, dir, special := unpack(t, ar)
			for line := range strings.Lines(special["LINES"]) { // of files whose names an archive can't hold
				file, text, _ := strings.Cut(strings.TrimSpace(line), ".js ")
				name, err := strconv.Unquote(`"` + file + `.js"`)
				if err != nil {
					t.Fatal(err)
				}
				put(t, filepath.Join(dir, name), text)
			}
			a := buildPacks(t, dir, t.TempDir())
			if len(a.Functions) == 0 {
				t.Error("no functions")
			}
			for _, f := range a.Functions {
				if f.Err != nil || !f.Bundle.Pack {
					t.Errorf("%s is no pack: %v %s", f.Bundle.Function, f.Err, f.Why)
					continue
				}
				tree := f
				tree.Bundle.Dir, tree.Bundle.Pack = dir, false
				want, err := inShim(tree, "call")
				if err != nil || !strings.HasPrefix(want, "[") {
					t.Errorf("%s: the tree answers %s %v", f.Bundle.Function, want, err)
				}
				if got, err := inShim(f, "call"); got != want || err != nil {
					t.Errorf("%s: the pack answers\n%s %v\nthe tree\n%s", f.Bundle.Function, got, err, want)
				}
			}
		})
	}
}
