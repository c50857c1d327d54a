package instance

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// packPool makes a pool for a function that is a pack, with a place for compiled code. It gives what the
// pool logs.
func packPool(t *testing.T, codeDir string) (*Pool, *strings.Builder) {
	t.Helper()
	cfg := newPool(t, 1, weir.Limits{}, tame).cfg
	script := "(function(){return[\n(function(exports,require,module,__filename,__dirname){\nexports.handler = async () => 1;\n}),\n]})\n"
	index, err := json.Marshal(map[string]any{
		"modules":  []any{map[string]any{"file": "f.js", "package": 0}},
		"packages": []any{map[string]any{"name": "", "at": 0, "size": len(script), "line": 0}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(cfg.Bundle.Dir, ".weir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"pack.js": script, "pack.json": string(index)} {
		if err := os.WriteFile(filepath.Join(cfg.Bundle.Dir, ".weir", name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	log := &strings.Builder{}
	cfg.Bundle.Pack, cfg.CodeDir, cfg.Logger = true, codeDir, slog.New(slog.NewTextHandler(log, nil))
	return NewPool(cfg), log
}

// served lets a pool serve one invocation and gives the one file of compiled code that there is then, and
// whether the instance had compiled code.
func served(t *testing.T, p *Pool, dir string) (file string, had bool) {
	t.Helper()
	had = p.cfg.code.get() != nil
	if code, _ := invoke(t, p, "{}"); code != "" {
		t.Fatal(code)
	}
	for deadline := time.Now().Add(20 * time.Second); p.cfg.code.get() == nil; {
		if time.Now().After(deadline) {
			t.Fatal("nothing was compiled in 20 s")
		}
	}
	p.Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal("compiled code: ", files, err)
	}
	return files[0], had
}

func TestCompiledCodeIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	first, log1 := packPool(t, dir)
	file, had := served(t, first, dir)
	if had {
		t.Error("the first instance had compiled code")
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may write compiled code: %v %v", info.Mode(), err)
	}
	made, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	second, log2 := packPool(t, dir)
	again, had := served(t, second, dir)
	if now, err := os.ReadFile(again); !had || again != file || !bytes.Equal(now, made) {
		t.Errorf("it was not used: %v %v", had, err)
	}
	if log := log1.String() + log2.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

// V8 does not check what it is given as compiled code: one byte changed is another program.
func TestDamagedCompiledCodeIsNotUsed(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"empty":   func(b []byte) []byte { return nil },
		"longer":  func(b []byte) []byte { return append(b, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "code")
			first, _ := packPool(t, dir)
			file, _ := served(t, first, dir)
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(bytes.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			second, _ := packPool(t, dir)
			if _, had := served(t, second, dir); had {
				t.Error("it was used")
			}
			third, _ := packPool(t, dir)
			if _, had := served(t, third, dir); !had {
				t.Error("it was not made anew")
			}
		})
	}
}

// Code of another V8 that has come to a wrong name: V8 refuses it, the log says so once, it is made anew.
func TestCompiledCodeOfAnotherNode(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "code")
	first, _ := packPool(t, dir)
	file, _ := served(t, first, dir)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.IndexByte(b[sha256.Size:], '\n') + sha256.Size + 1
	b[data+4] ^= 1 // the hash of V8's version
	sum := sha256.Sum256(b[sha256.Size:])
	if err := os.WriteFile(file, append(sum[:], b[sha256.Size:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	second, log := packPool(t, dir)
	if _, had := served(t, second, dir); !had {
		t.Error("the instance did not have it")
	}
	if n := strings.Count(log.String(), "is not for this Node.js"); n != 1 {
		t.Errorf("the log says it %d times: %s", n, log)
	}
	third, log := packPool(t, dir)
	if _, had := served(t, third, dir); !had || log.Len() > 0 {
		t.Errorf("it was not made anew: %v %s", had, log)
	}
}

func TestKeptCodeIsBounded(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for i, name := range []string{"used now", "used before", "used long ago"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		when := now.Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	if err := boundDir(dir, 250); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 2 || strings.Contains(strings.Join(files, " "), "long ago") {
		t.Errorf("left are %q", files)
	}
}
