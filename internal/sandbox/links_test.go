package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// outsideTmp is a directory of the test's that is not in /tmp, which grants take for the private one.
func outsideTmp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "weir-links-")
	if err != nil {
		t.Skip("no other directory: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestResolve(t *testing.T) {
	dir := outsideTmp(t)
	writeTo(t, filepath.Join(dir, "real/shared/sub/file"), "")
	writeTo(t, filepath.Join(dir, "secret"), "")
	for link, to := range map[string]string{
		"by": "real", "real/abs": dir + "/secret", "real/shared/out": "../../secret", "real/shared/home": dir,
		"real/shared/sub/in": "file", "loop": "loop", "own": "real/shared",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	shared := []string{filepath.Join(dir, "real/shared")}
	for path, want := range map[string]string{
		"real/shared/sub/file": "real/shared/sub/file", "by/shared/sub/file": "real/shared/sub/file", "own/sub/file": "real/shared/sub/file",
		"own": "real/shared", "by/abs": "secret", "secret": "secret",
		"by/shared/out": "link", "real/shared/home/secret": "link", "own/sub/in": "link", "own/home": "link",
		"none": "error", "loop": "error", "secret/x": "error",
	} {
		got, err := resolve(filepath.Join(dir, path), shared)
		switch {
		case errors.As(err, new(*linkError)):
			got = "link"
		case err != nil:
			got = "error"
		default:
			got = strings.TrimPrefix(got, dir+"/")
			if real, err := filepath.EvalSymlinks(filepath.Join(dir, path)); err != nil || real != filepath.Join(dir, got) {
				t.Errorf("%s leads to %s, not %s", path, real, got)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// TestLinksOfAnotherFunction: what one function puts in the place of a file opens nothing to another.
func TestLinksOfAnotherFunction(t *testing.T) {
	dir := outsideTmp(t)
	writeTo(t, filepath.Join(dir, "secrets/key"), "")
	writeTo(t, filepath.Join(dir, "shared/true"), "")
	for link, to := range map[string]string{"file": "../secrets/key", "dir": "../secrets"} {
		if err := os.Symlink(to, filepath.Join(dir, "shared", link)); err != nil {
			t.Fatal(err)
		}
	}
	all := filepath.Join(dir, "shared/**")
	for name, s := range map[string]*Spec{
		"file": {Read: []string{filepath.Join(dir, "shared/file")}, Shared: []string{all}},
		"dir":  {Write: []string{filepath.Join(dir, "shared/dir/**")}, Shared: []string{all}},
		"way":  {Read: []string{filepath.Join(dir, "shared/dir/key")}, Shared: []string{all}},
		"own":  {Read: []string{filepath.Join(dir, "shared/file")}, Write: []string{all}},
	} {
		n := nodeSpec(t, "")
		s.Name, s.Argv, s.Programs, s.Env = n.Name, n.Argv, n.Programs, n.Env
		p, err := launcher(t, Options{}).Start(context.Background(), s)
		if err == nil {
			p.Kill()
			p.Wait()
		}
		if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "is a link") {
			t.Errorf("%s: %v", name, err)
		}
	}
	expect(t, tries(t, &Spec{Read: []string{filepath.Join(dir, "shared/true")}, Shared: []string{all}},
		[]try{{"true", "fs.readFileSync('" + filepath.Join(dir, "shared/true") + "')"}}), map[string]string{"true": ""})
}
