package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/site"
)

// unpack writes an archive's files to a new folder and gives the site's folder in it and the
// archive's sections in capitals (WANT, LINKS, SITE), which are for the test.
func unpack(t *testing.T, ar *txtar.Archive) (root, dir string, special map[string]string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	special = map[string]string{}
	for _, f := range ar.Files {
		if f.Name == strings.ToUpper(f.Name) {
			special[f.Name] = string(f.Data)
			continue
		}
		put(t, filepath.Join(root, f.Name), string(f.Data))
	}
	for line := range strings.Lines(special["LINKS"]) {
		if name, target, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			link(t, target, filepath.Join(root, name))
		}
	}
	return root, filepath.Join(root, strings.TrimSpace(special["SITE"])), special
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// newSite writes files, given as an archive's text, and gives the site's folder.
func newSite(t *testing.T, text string) string {
	t.Helper()
	_, dir, _ := unpack(t, txtar.Parse([]byte(text)))
	return dir
}

func build(t *testing.T, dir, state string) *Artifact {
	t.Helper()
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Build(context.Background(), s, Options{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func archives(t *testing.T, pattern string) map[string]*txtar.Archive {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives %s: %v", pattern, err)
	}
	out := map[string]*txtar.Archive{}
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".txtar")] = ar
	}
	return out
}

// call runs a built function in Node, as Lambda would, from the root of its bundle.
func call(t *testing.T, f Function) string {
	t.Helper()
	runner, err := filepath.Abs("testdata/runner.cjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--enable-source-maps", runner, filepath.Join(f.Bundle.Dir, f.Bundle.Entry), f.Bundle.Export)
	cmd.Dir = f.Bundle.Dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v: %s", f.Bundle.Function, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// The functions of each archive run in Node and answer as its WANT says, with the site gone: what
// they need is in the artifact.
func TestFunctionsRunFromTheArtifactAlone(t *testing.T) {
	for name, ar := range archives(t, "testdata/run/*.txtar") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, dir, special := unpack(t, ar)
			a := build(t, dir, t.TempDir())
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, f := range a.Functions {
				if f.Err != nil {
					fmt.Fprintf(&got, "%s %v\n", f.Bundle.Function, f.Err)
					continue
				}
				fmt.Fprintf(&got, "%s %s ", f.Bundle.Function, f.Bundle.Entry)
				if f.Policy != nil {
					fmt.Fprintf(&got, "%s ", f.Policy.Rules[0].Pattern)
				}
				fmt.Fprintln(&got, call(t, f))
			}
			if got.String() != special["WANT"] {
				t.Errorf("got:\n%swant:\n%s", got.String(), special["WANT"])
			}
		})
	}
}
