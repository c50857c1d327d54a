package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func targets(p *program) (all, executed []string) {
	for _, f := range p.parts {
		all = append(all, f.target)
		if f.exec {
			executed = append(executed, f.target)
		}
	}
	return all, executed
}

// compile builds a C file, or skips.
func compile(t *testing.T, out, source string, args ...string) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("there is no C compiler (cc)")
	}
	c := out + ".c"
	if err := os.WriteFile(c, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := exec.Command(cc, append([]string{"-o", out, c}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, b)
	}
}

func TestProgramOfTheSystem(t *testing.T) {
	p, err := readProgram("/bin/ls")
	if err != nil {
		t.Fatal(err)
	}
	all, executed := targets(p)
	if all[0] != "/bin/ls" || !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, "/libc.") }) || len(executed) != 2 {
		t.Errorf("%q, executed %q", all, executed)
	}
	for _, f := range p.parts {
		if st, err := os.Lstat(f.source); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestSearchPaths(t *testing.T) {
	dir := public(t)
	for _, d := range []string{"bin", "lib", "other"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	deep := filepath.Join(dir, "other", "libdeep.so")
	compile(t, deep, "int deep(void){return 42;}", "-shared", "-fPIC")
	mid := filepath.Join(dir, "lib", "libmid.so")
	compile(t, mid, "int deep(void); int mid(void){return deep();}", "-shared", "-fPIC", "-L"+filepath.Dir(deep), "-ldeep",
		"-Wl,--enable-new-dtags,-rpath,$ORIGIN/../other")
	main := filepath.Join(dir, "bin", "main")
	compile(t, main, "int mid(void); int main(void){return mid() != 42;}", "-L"+filepath.Dir(mid), "-lmid",
		"-Wl,-rpath-link,"+filepath.Dir(deep), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib")
	if got := run(t, launcher(t, Options{}), &Spec{Name: "rpath", Argv: []string{main}, Programs: []string{main}}); got.exit != (Exit{}) {
		t.Errorf("%+v %s", got.exit, got.out)
	}
	// Started by another name, its origin is there: the loader inside sees no link.
	link := filepath.Join(dir, "other", "link")
	if err := os.Symlink(main, link); err != nil {
		t.Fatal(err)
	}
	if got := run(t, launcher(t, Options{}), &Spec{Name: "rpath", Argv: []string{link}, Programs: []string{link}}); got.exit != (Exit{}) {
		t.Errorf("by a link: %+v %s", got.exit, got.out)
	}
	if err := os.Remove(deep); err != nil {
		t.Fatal(err)
	}
	if _, err := readProgram(main); err == nil || !strings.Contains(err.Error(), "libdeep.so") || !strings.Contains(err.Error(), "libmid.so") {
		t.Errorf("a missing library: %v", err)
	}
}

func TestStaticProgram(t *testing.T) {
	dir := public(t)
	static := filepath.Join(dir, "static")
	compile(t, static, "int main(void){return 0;}", "-static")
	p, err := readProgram(static)
	if err != nil {
		t.Fatal(err)
	}
	if all, _ := targets(p); len(all) != 1 {
		t.Errorf("%q", all)
	}
	if got := run(t, launcher(t, Options{}), &Spec{Name: "static", Argv: []string{static}, Programs: []string{static}}); got.exit != (Exit{}) {
		t.Errorf("%+v %s", got.exit, got.out)
	}
}

func TestScript(t *testing.T) {
	dir := public(t)
	script := filepath.Join(dir, "script")
	for line, works := range map[string]bool{"#!/bin/sh -e": true, "#! /usr/bin/env sh": true} {
		writeTo(t, script, line+"\necho from a script\n")
		if err := os.Chmod(script, 0o755); err != nil {
			t.Fatal(err)
		}
		s := nodeSpec(t, "console.log(String(require('child_process').execFileSync('"+script+"')).trim())")
		s.Exec = []string{script}
		if got := run(t, launcher(t, Options{}), s); (got.out == "from a script\n") != works {
			t.Errorf("%s: %+v %s", line, got.exit, got.out)
		}
	}
}

// TestOnlyTheNamedProgramRuns: the right to start one program is no right to start others.
func TestOnlyTheNamedProgramRuns(t *testing.T) {
	s := nodeSpec(t, `const { spawnSync } = require('child_process');
		fs.copyFileSync('/bin/true', '/tmp/true'); fs.chmodSync('/tmp/true', 0o755);
		console.log(['/bin/true', '/bin/false', '/tmp/true', '/lib/x86_64-linux-gnu/libc.so.6'].map((p) => {
			const r = spawnSync(p); return r.error?.code ?? r.status }).join())`)
	s.Exec, s.Write = []string{"/bin/true"}, []string{"/tmp/**"}
	if got := run(t, launcher(t, Options{}), s); got.out != "0,ENOENT,EACCES,EACCES\n" && got.out != "0,ENOENT,EACCES,ENOENT\n" {
		t.Errorf("%s", got.out)
	}
}

// TestDeniedChildIsAnOrdinaryError: without any program, starting one fails as if it couldn't be
// executed, and is seen.
func TestDeniedChildIsAnOrdinaryError(t *testing.T) {
	s := nodeSpec(t, `require('child_process').exec('uname -a', (e) => console.log(e.code ?? e.errno))`)
	got := run(t, launcher(t, Options{}), s)
	if got.out != "EACCES\n" || len(got.attempts) != 1 {
		t.Errorf("%s %q", got.out, got.attempts)
	}
}

func TestAddons(t *testing.T) {
	bundle := public(t)
	lib := filepath.Join(bundle, "lib.so")
	compile(t, lib, "int f(void){return 1;}", "-shared", "-fPIC", "-Wl,--no-as-needed", "-l:libresolv.so.2")
	for _, allowed := range []bool{false, true} {
		s := probeSpec(t, "bundle-map-exec")
		s.Bundle = bundle
		want := "bundle-map-exec EPERM\n"
		if allowed {
			s.Addons, want = []string{lib}, "bundle-map-exec ok\n"
		}
		if got := run(t, launcher(t, Options{}), s); got.out != want {
			t.Errorf("allowed %t: %q", allowed, got.out)
		}
	}
	l := loaderFor("/lib64/ld-linux-x86-64.so.2", elf.ELFCLASS64)
	parts := addonParts(lib, bundle, l)
	if !slices.ContainsFunc(parts, func(p part) bool { return filepath.Base(p.target) == "libresolv.so.2" }) {
		t.Errorf("%+v", parts)
	}
}

// TestHostileAddon: a library in the bundle can't name its way to files of the host.
func TestHostileAddon(t *testing.T) {
	bundle, secret := public(t), public(t)
	compile(t, filepath.Join(secret, "libsecret.so"), "int s(void){return 1;}", "-shared", "-fPIC")
	lib := filepath.Join(bundle, "lib.so")
	compile(t, lib, "int s(void); int f(void){return s();}", "-shared", "-fPIC", "-L"+secret, "-lsecret", "-Wl,-rpath,"+secret)
	l := loaderFor("", elf.ELFCLASS64)
	for _, p := range addonParts(lib, bundle, l) {
		if within(p.source, secret) {
			t.Errorf("%+v", p)
		}
	}
	link := filepath.Join(bundle, "link.so")
	if err := os.Symlink(filepath.Join(secret, "libsecret.so"), link); err != nil {
		t.Fatal(err)
	}
	if parts := addonParts(link, bundle, l); len(parts) > 0 {
		t.Errorf("%+v", parts)
	}
}

func TestInterpreters(t *testing.T) {
	for line, want := range map[string]string{
		"#!/bin/sh\n": "/bin/sh", "#! /bin/sh -x": "/bin/sh", "#!sh": "", "#!": "", "echo": "", "": "",
		"#!/usr/bin/env": "", "#!/usr/bin/env no-such-program": "", "#!/usr/bin/../bin/sh": "/usr/bin/sh",
	} {
		got, err := interpretersOf(line)
		if (err != nil) != (want == "") || strings.Join(got, ",") != want {
			t.Errorf("%q: %q %v", line, got, err)
		}
	}
}

// cache makes a loader cache.
func cache(entries ...[2]string) []byte {
	b := make([]byte, newHeader+newEntry*len(entries))
	copy(b, newMagic)
	binary.NativeEndian.PutUint32(b[20:], uint32(len(entries)))
	for i, e := range entries {
		at := newHeader + newEntry*i
		binary.NativeEndian.PutUint32(b[at+4:], uint32(len(b)))
		b = append(append(b, e[0]...), 0)
		binary.NativeEndian.PutUint32(b[at+8:], uint32(len(b)))
		b = append(append(b, e[1]...), 0)
	}
	return b
}

func TestLoaderCache(t *testing.T) {
	c := cache([2]string{"libx.so.1", "/usr/lib/x/libx.so.1"}, [2]string{"libx.so.1", "/opt/libx.so.1"})
	old := append([]byte(oldMagic+"\x00"), 1, 0, 0, 0)
	old = append(old, make([]byte, oldEntry+4)...) // one entry, aligned to 8
	for name, b := range map[string][]byte{"new": c, "old in front": append(old, c...)} {
		got, err := parseCache(b)
		if err != nil || !slices.Equal(got["libx.so.1"], []string{"/usr/lib/x/libx.so.1", "/opt/libx.so.1"}) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	l := &loader{dirs: []string{"/lib"}, cache: map[string][]string{"libx.so.1": {"/opt/libx.so.1"}}}
	if l.index("/opt/libx.so.1") != cacheFile || l.index("/lib/libc.so.6") != "" {
		t.Error("the cache is shown when, and only when, a library is found by it alone")
	}
}

func FuzzLoaderCache(f *testing.F) {
	f.Add(cache([2]string{"a", "/b"}))
	f.Add([]byte(oldMagic + "\x00\xff\xff\xff\xff"))
	f.Add([]byte(newMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseCache(b)
		for name, paths := range got {
			for _, p := range paths {
				if err != nil || !filepath.IsAbs(p) || filepath.Clean(p) != p {
					t.Errorf("%q %q %v", name, p, err)
				}
			}
		}
	})
}

func FuzzELF(f *testing.F) {
	if b, err := os.ReadFile("/bin/true"); err == nil && len(b) < 1<<20 {
		f.Add(b)
	}
	f.Add([]byte("\x7fELF\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			return
		}
		o, err := readELF(e)
		if err == nil && len(o.interp) > maxStrings {
			t.Error("too long")
		}
	})
}

func FuzzGrant(f *testing.F) {
	for _, s := range []string{"/a", "/a/**", "/**", "a", "/a/../b", "/a//b", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g, err := parseGrant(s)
		if err == nil && (g.String() != s || filepath.Clean(g.path) != g.path || g.path == "/") {
			t.Errorf("%q became %+v", s, g)
		}
	})
}
