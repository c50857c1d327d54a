package sandbox

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// refusedAsWritten starts a Spec with Node, unless it names programs itself, and wants it refused because at
// lies where a function may write.
func refusedAsWritten(t *testing.T, s *Spec, at string) {
	t.Helper()
	n := nodeSpec(t, "")
	s.Name, s.Env = n.Name, n.Env
	if s.Programs == nil {
		s.Argv, s.Programs = n.Argv, n.Programs
	}
	p, err := launcher(t, Options{}).Start(context.Background(), s)
	if err == nil {
		p.Kill()
		p.Wait()
	}
	if weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), at+" lies where a function may write (write rule ") {
		t.Errorf("%v, want a refusal for the sake of %s", err, at)
	}
}

func link(t *testing.T, to, from string) {
	t.Helper()
	if err := os.Symlink(to, from); err != nil {
		t.Fatal(err)
	}
}

// TestProgramsThatAFunctionMayChange: who can write a program decides what runs with another's rights.
func TestProgramsThatAFunctionMayChange(t *testing.T) {
	dir := outsideTmp(t)
	shared, tool := filepath.Join(dir, "shared"), filepath.Join(dir, "shared/tool")
	if err := os.MkdirAll(filepath.Join(shared, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "/bin/true", tool)
	link(t, "/bin/true", filepath.Join(shared, "link"))
	link(t, "shared/tool", filepath.Join(dir, "way"))
	link(t, "shared/sub/../../own", filepath.Join(dir, "through"))
	link(t, "shared", filepath.Join(dir, "name"))
	copyFile(t, "/bin/true", filepath.Join(dir, "own"))
	all := shared + "/**"
	for name, c := range map[string]struct {
		spec Spec
		at   string
	}{
		"another's":            {Spec{Exec: []string{tool}, Shared: []string{all}}, "/shared"},
		"its own":              {Spec{Exec: []string{tool}, Write: []string{all}}, "/shared"},
		"the file alone":       {Spec{Exec: []string{tool}, Shared: []string{tool}}, "/shared/tool"},
		"a link there":         {Spec{Exec: []string{shared + "/link"}, Shared: []string{all}}, "/shared"},
		"a link to it":         {Spec{Exec: []string{dir + "/way"}, Shared: []string{all}}, "/shared"},
		"a way through it":     {Spec{Exec: []string{dir + "/through"}, Shared: []string{all}}, "/shared"},
		"a rule through links": {Spec{Exec: []string{tool}, Shared: []string{dir + "/name/**"}}, "/shared"},
		"a file's other name":  {Spec{Exec: []string{dir + "/own"}, Shared: []string{dir + "/through"}}, "/own"},
	} {
		t.Run(name, func(t *testing.T) { refusedAsWritten(t, &c.spec, dir+c.at) })
	}
	t.Run("beside it", func(t *testing.T) {
		r := run(t, launcher(t, Options{}), &Spec{Name: t.Name(), Argv: []string{dir + "/own"}, Programs: []string{dir + "/own"}, Shared: []string{all}})
		if r.exit.Code != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestInterpretersThatAFunctionMayChange: the same of what a script's first line names, by itself or by env.
func TestInterpretersThatAFunctionMayChange(t *testing.T) {
	dir := outsideTmp(t)
	shell := filepath.Join(dir, "shared/sh")
	if err := os.Mkdir(filepath.Dir(shell), 0o755); err != nil {
		t.Fatal(err)
	}
	copyFile(t, "/bin/sh", shell)
	script := filepath.Join(dir, "script")
	writeTo(t, script, "#!"+shell+" -e\n")
	refusedAsWritten(t, &Spec{Exec: []string{script}, Shared: []string{dir + "/shared/**"}}, dir+"/shared")
}

// TestLibrariesThatAFunctionMayChange: the same of a program's loader, its libraries and what they need in turn,
// for a program that a rule names and for the one that runs.
func TestLibrariesThatAFunctionMayChange(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := outsideTmp(t)
	shared := filepath.Join(dir, "shared")
	writeTo(t, shared+"/empty.c", "")
	writeTo(t, dir+"/main.c", "int main(void) { return 0; }")
	build := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	build("-shared", "-o", shared+"/libdeep.so", shared+"/empty.c")
	build("-shared", "-o", dir+"/libown.so", shared+"/empty.c", "-Wl,--no-as-needed,-rpath,"+shared, "-L"+shared, "-ldeep")
	build("-o", dir+"/deep", dir+"/main.c", "-Wl,--no-as-needed,-rpath,"+dir+",-rpath-link,"+shared, "-L"+dir, "-lown")
	loader := loaderOf(t, "/bin/true")
	copyFile(t, loader, shared+"/loader")
	build("-o", dir+"/loaded", dir+"/main.c", "-Wl,--dynamic-linker,"+shared+"/loader")
	for _, path := range []string{dir + "/deep", dir + "/loaded"} {
		for name, s := range map[string]*Spec{"exec": {Exec: []string{path}}, "program": {Argv: []string{path}, Programs: []string{path}}} {
			t.Run(name+" "+filepath.Base(path), func(t *testing.T) {
				s.Shared = []string{shared + "/**"}
				refusedAsWritten(t, s, shared)
			})
		}
	}
}

func loaderOf(t *testing.T, path string) string {
	t.Helper()
	o, err := readObject(resolved(path))
	if err != nil || o.interp == "" {
		t.Skip(path, " has no loader: ", err)
	}
	return o.interp
}

// TestWhatWeirRunsIsNotWritten: a function that may change Node, the bundle or Weir itself is not started, nor
// is any other beside it, whatever rules may be left out.
func TestWhatWeirRunsIsNotWritten(t *testing.T) {
	n := node(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := outsideTmp(t)
	writeTo(t, dir+"/bundle/index.js", "")
	writeTo(t, dir+"/site/index.html", "")
	link(t, filepath.Dir(self), dir+"/weir") // the test's binary may lie in /tmp, where a rule means the private one
	leftOut := func(err error) { t.Error("left out: ", err) }
	for name, c := range map[string]struct {
		spec Spec
		at   string
	}{
		"Node":         {Spec{Shared: []string{n}}, n},
		"Node's place": {Spec{Shared: []string{filepath.Dir(n) + "/**"}}, filepath.Dir(n)},
		"above it":     {Spec{Write: []string{"/usr/**"}}, "/usr"},
		"libraries":    {Spec{Shared: []string{"/usr/lib/**"}}, "/usr/lib"},
		"the bundle":   {Spec{Bundle: dir + "/bundle", Shared: []string{dir + "/**"}}, dir},
		"rules":        {Spec{Own: []string{dir + "/site/weir.toml"}, Shared: []string{dir + "/site/**"}}, dir + "/site"},
		"Weir":         {Spec{Shared: []string{dir + "/weir/**"}}, filepath.Dir(resolved(self))},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.LeftOut = leftOut
			refusedAsWritten(t, &c.spec, c.at)
		})
	}
}
