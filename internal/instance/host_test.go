package instance

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/sandbox"
)

// hostDir is a directory outside /tmp, which is the sandbox's own.
func hostDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "weir-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newHost(t *testing.T, rules ...policy.Rule) (*host, *bytes.Buffer) {
	t.Helper()
	for i := range rules {
		rules[i].Globs = true
	}
	e, err := policy.Compile(&policy.Policy{Intrinsic: true, Source: "fn.js", Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	return &host{function: "fn", engine: e, logger: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

func TestGlobsMeanTheFilesThatAreThere(t *testing.T) {
	dir := hostDir(t)
	for _, f := range []string{"a.json", ".b.json", "c.txt", "sub/d.json", "sub/deep/e.json", "mine/f.json"} {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]string{
		"*.json":      ".b.json a.json",
		"**/*.json":   ".b.json a.json sub/d.json sub/deep/e.json",
		"*/*.json":    "sub/d.json",
		"?.*":         "a.json c.txt",
		"s*/**":       "sub/d.json sub/deep/e.json",
		"e*/passwd":   "",
		"**/passwd":   "",
		"none/*.json": "",
	} {
		h, _ := newHost(t, policy.Rule{Kind: policy.Read, Pattern: dir + "/" + pattern}, policy.Rule{Kind: policy.Write, Pattern: dir + "/mine/**"})
		var s sandbox.Spec
		h.complete(&s)
		var wanted []string
		for _, f := range strings.Fields(want) {
			wanted = append(wanted, filepath.Join(dir, f))
		}
		if !reflect.DeepEqual(s.Read, wanted) {
			t.Errorf("%s: got %q, want %q", pattern, s.Read, wanted)
		}
		if len(s.Write) > 0 {
			t.Errorf("%s: a read rule lets %q be written", pattern, s.Write)
		}
	}
}

func TestGlobThatMeansTooMuchHoldsNothing(t *testing.T) {
	dir := hostDir(t)
	for i := range maxFound + 1 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".txt")), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, log := newHost(t, policy.Rule{Kind: policy.Read, Pattern: dir + "/*.txt"}, policy.Rule{Kind: policy.Read, Pattern: dir + "/1?.txt"})
	var s sandbox.Spec
	h.complete(&s)
	h.complete(&s)
	if len(s.Read) != 20 { // 10.txt to 19.txt, twice
		t.Errorf("%d files", len(s.Read))
	}
	if n := strings.Count(log.String(), "means more than"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
}

// TestFileWithTheNameOfAPattern: whoever makes such a file widens no rule.
func TestFileWithTheNameOfAPattern(t *testing.T) {
	dir := hostDir(t)
	if err := os.WriteFile(filepath.Join(dir, "**"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	h, _ := newHost(t, policy.Rule{Kind: policy.Write, Pattern: dir + "/*"}, policy.Rule{Kind: policy.Read, Pattern: dir + "/?*"})
	var s sandbox.Spec
	if h.complete(&s); len(s.Write)+len(s.Read) > 0 {
		t.Errorf("%q %q", s.Write, s.Read)
	}
}

// TestHugeDirectory: no more of it is read than may be looked at.
func TestHugeDirectory(t *testing.T) {
	dir := hostDir(t)
	for i := range 100 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprint(i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(entries(dir, 7)); n != 7 {
		t.Errorf("%d entries", n)
	}
	if n := len(entries(dir, 101)); n != 100 {
		t.Errorf("%d entries", n)
	}
	if n := len(entries("/proc/self/fd/0", 7)) + len(entries("/proc/self/root", 7)); n > 0 {
		t.Errorf("what is no directory has %d entries", n)
	}
}

func TestWhatIsNotThereIsLeftOutAndToldOnce(t *testing.T) {
	h, log := newHost(t, policy.Rule{Kind: policy.Read, Pattern: "/nowhere/x"})
	for range 2 {
		var s sandbox.Spec
		h.complete(&s)
		s.LeftOut(fmt.Errorf("read rule /nowhere/x: the path doesn't exist on this machine"))
	}
	if n := strings.Count(log.String(), "/nowhere/x"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log)
	}
}

// TestWhatIsToldIsBounded: names that a function makes up fill neither the log nor memory.
func TestWhatIsToldIsBounded(t *testing.T) {
	h, log := newHost(t)
	for range 2 {
		for i := range 2 * maxTold {
			h.warn(fmt.Sprint("file ", i))
		}
	}
	if n := strings.Count(log.String(), "\n"); n != maxTold+1 || strings.Count(log.String(), "are not shown") != 1 || len(h.told) != n {
		t.Errorf("%d lines, %d kept", n, len(h.told))
	}
}
