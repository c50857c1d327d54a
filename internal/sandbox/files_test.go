package sandbox

// What exists inside: the bundle, what was granted, and nothing else of the host.

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// try is a JavaScript expression, by name.
type try struct{ name, expr string }

// tries runs the actions in order and gives their results or their errors' codes.
func tries(t *testing.T, s *Spec, actions []try) map[string]string {
	t.Helper()
	var b strings.Builder
	b.WriteString("const fs = require('fs'), out = {};\n")
	for _, a := range actions {
		b.WriteString("try { out." + a.name + " = String(" + a.expr + ") } catch (e) { out." + a.name + " = e.code || e.message }\n")
	}
	b.WriteString("console.log(JSON.stringify(out));")
	n := nodeSpec(t, b.String())
	s.Name, s.Argv, s.Programs, s.Env = n.Name, n.Argv, n.Programs, n.Env
	got := run(t, launcher(t, Options{}), s)
	out := map[string]string{}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatalf("%v: %s %+v", err, got.out, got.exit)
	}
	return out
}

// expect compares; alternatives are separated by "|".
func expect(t *testing.T, got map[string]string, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if !strings.Contains("|"+w+"|", "|"+got[name]+"|") {
			t.Errorf("%s: %q, want %q", name, got[name], w)
		}
	}
}

func TestTheRootHoldsNothingElse(t *testing.T) {
	bundle := public(t)
	writeTo(t, filepath.Join(bundle, "index.js"), "function")
	got := tries(t, &Spec{Bundle: bundle, Content: map[string][]byte{"/opt/weir/ca.pem": []byte("CA")}}, []try{
		{"root", "fs.readdirSync('/').join()"},
		{"etc", "fs.readdirSync('/etc').join()"},
		{"dev", "fs.readdirSync('/dev').join()"},
		{"proc", "fs.readdirSync('/proc').join()"},
		{"bundle", "fs.readFileSync('index.js')"},
		{"content", "fs.readFileSync('/opt/weir/ca.pem')"},
		{"cwd", "process.cwd()"},
		{"uid", "process.getuid() + ':' + process.getgid() + ':' + process.getgroups()"},
		{"hostname", "require('os').hostname()"},
		{"user", "require('os').userInfo().username"},
		{"pids", "process.pid + ',' + fs.readdirSync('/.proc').filter((n) => n > 0).join()"},
		{"cpus", "require('os').cpus().length + ',' + require('os').totalmem()"},
		{"env", "Object.keys(process.env).join()"},
		{"write", "fs.writeFileSync('/var/task/x', '')"},
		{"replace", "fs.writeFileSync('/opt/weir/ca.pem', '')"},
		{"tmp", "fs.writeFileSync('/tmp/x', '')"},
		{"host", "fs.readFileSync('" + filepath.Join(bundle, "index.js") + "')"},
		{"stdin", "fs.readFileSync(0).length"},
	})
	expect(t, got, map[string]string{
		"root":   ".proc,dev,etc,lib,lib64,opt,proc,tmp,usr,var|.proc,dev,etc,lib,opt,proc,tmp,usr,var",
		"etc":    "group,hostname,hosts,nsswitch.conf,passwd,resolv.conf",
		"dev":    "fd,full,null,random,stderr,stdin,stdout,urandom",
		"proc":   "cpuinfo,loadavg,meminfo,self,stat,thread-self,version",
		"bundle": "function", "content": "CA", "cwd": "/var/task", "uid": "1000:1000:1000|1000:1000:65534,1000",
		"hostname": "function", "user": "function", "pids": "1,1",
		"cpus": "1,1073741824", "env": "PATH,HOME",
		"write": "EROFS|EACCES", "replace": "EROFS|EACCES", "tmp": "EROFS|EACCES", "host": "ENOENT", "stdin": "0",
	})
}

func TestGrants(t *testing.T) {
	host, bundle := public(t), public(t)
	for _, name := range []string{"one", "two", "dir/in", "dir/deep/in", "secret", "target"} {
		writeTo(t, filepath.Join(host, name), name)
	}
	for link, to := range map[string]string{"link": "target", "dir/out": "../secret", "dir/abs": filepath.Join(host, "secret")} {
		if err := os.Symlink(to, filepath.Join(host, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(host, "rw"), 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Join(host, "rw"), 0o777)
	// Grants of paths below /tmp mean the private one, so these are granted by another name.
	outside := "/var/tmp/" + filepath.Base(host)
	if err := os.Symlink(host, outside); err != nil {
		t.Skip("no second name for the test's files: ", err)
	}
	t.Cleanup(func() { os.Remove(outside) })
	q := func(name string) string { return "'" + filepath.Join(outside, name) + "'" }
	got := tries(t, &Spec{Bundle: bundle,
		Read:  []string{outside + "/one", outside + "/dir/**", outside + "/link", "/tmp/**", "/var/task/**"},
		Write: []string{"/tmp/**", outside + "/rw/**"},
	}, []try{
		{"one", "fs.readFileSync(" + q("one") + ")"},
		{"two", "fs.readFileSync(" + q("two") + ")"},
		{"dir", "fs.readFileSync(" + q("dir/deep/in") + ")"},
		{"link", "fs.readFileSync(" + q("link") + ")"},
		{"out", "fs.readFileSync(" + q("dir/out") + ")"},
		{"abs", "fs.readFileSync(" + q("dir/abs") + ")"},
		{"up", "fs.readFileSync(" + q("dir") + " + '/../secret')"},
		{"list", "fs.readdirSync('" + outside + "').join()"},
		{"write", "fs.writeFileSync(" + q("one") + ", 'x')"},
		{"create", "fs.writeFileSync(" + q("dir/x") + ", 'x')"},
		{"utimes", "fs.utimesSync(" + q("one") + ", 1, 1)"},
		{"hardlink", "fs.linkSync(" + q("one") + ", '/tmp/one')"},
		{"rw", "fs.writeFileSync(" + q("rw/new") + ", 'written')"},
		{"tmp", "fs.writeFileSync('/tmp/new', 'x')"},
		{"tmpUp", "fs.writeFileSync('/tmp/../new', 'x')"},
		{"exec", "fs.accessSync(" + q("rw/new") + ", fs.constants.X_OK)"},
	})
	expect(t, got, map[string]string{
		"one": "one", "two": "ENOENT", "dir": "dir/deep/in", "link": "target", "out": "ENOENT", "abs": "ENOENT",
		"up": "ENOENT", "list": "dir,link,one,rw", "write": "EROFS|EACCES", "create": "EROFS|EACCES", "utimes": "EROFS|EPERM",
		"hardlink": "EXDEV|EACCES|EROFS", "rw": "undefined", "tmp": "undefined", "tmpUp": "EROFS|EACCES", "exec": "EACCES",
	})
	if b, err := os.ReadFile(filepath.Join(host, "rw/new")); err != nil || string(b) != "written" {
		t.Errorf("%q %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(host, "one")); err != nil || string(b) != "one" {
		t.Errorf("a read-only grant was written: %q %v", b, err)
	}
	if _, err := os.Stat("/tmp/new"); err == nil {
		t.Error("/tmp of the host was written")
	}
}

// TestPartOfTmp: only what was granted below /tmp can be written.
func TestPartOfTmp(t *testing.T) {
	got := tries(t, &Spec{Write: []string{"/tmp/a/**", "/tmp/b/file"}}, []try{
		{"in", "fs.writeFileSync('/tmp/a/x', 'x')"},
		{"deep", "fs.mkdirSync('/tmp/a/b/c', { recursive: true })"},
		{"beside", "fs.writeFileSync('/tmp/x', 'x')"},
		{"prefix", "fs.mkdirSync('/tmp/a-other')"},
		{"file", "fs.writeFileSync('/tmp/b/file', 'x')"},
		{"sibling", "fs.writeFileSync('/tmp/b/other', 'x')"},
		{"socket", "fs.mkdirSync('/tmp/../a')"},
	})
	expect(t, got, map[string]string{"in": "undefined", "beside": "EACCES", "prefix": "EACCES", "file": "undefined",
		"sibling": "EACCES", "socket": "EROFS|EACCES|EEXIST"})
	if strings.HasPrefix(got["deep"], "E") {
		t.Errorf("deep: %s", got["deep"])
	}
}

func TestTmpIsBounded(t *testing.T) {
	got := tries(t, &Spec{Write: []string{"/tmp/**"}, Limits: weir.Limits{Tmp: 8 << 20}}, []try{
		{"large", "fs.writeFileSync('/tmp/large', Buffer.alloc(9 << 20))"},
		{"many", "(() => { fs.rmSync('/tmp/large'); for (let i = 0; i < 100000; i++) fs.writeFileSync('/tmp/' + i, '') })()"},
	})
	expect(t, got, map[string]string{"large": "ENOSPC|EFBIG", "many": "ENOSPC"})
}

// TestBadGrants: what can't be granted is said before anything starts, with the path.
func TestBadGrants(t *testing.T) {
	dir := public(t)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		spec Spec
		want string
	}{
		{"missing", Spec{Read: []string{"/no/such/file"}}, "/no/such/file: the path doesn't exist"},
		{"missing directory", Spec{Read: []string{"/no/such/**"}}, "/no/such/**"},
		{"missing write", Spec{Write: []string{"/no/such/file"}}, "/no/such/file"},
		{"relative", Spec{Read: []string{"etc/passwd"}}, "etc/passwd"},
		{"dots", Spec{Read: []string{"/srv/../etc/passwd"}}, "/srv/../etc/passwd"},
		{"everything", Spec{Read: []string{"/**"}}, "/**"},
		{"directory as file", Spec{Read: []string{"/etc"}}, "/etc/**"},
		{"file as directory", Spec{Read: []string{"/etc/passwd/**"}}, "not a directory"},
		{"proc", Spec{Read: []string{"/proc/1/environ"}}, "/proc"},
		{"link to proc", Spec{Read: []string{"/etc/mtab"}}, "/proc"},
		{"sys", Spec{Read: []string{"/sys/**"}}, "/sys"},
		{"device", Spec{Read: []string{"/dev/kmsg"}}, "/dev"},
		{"covers the bundle", Spec{Read: []string{"/var/**"}}, "/var/task"},
		{"writes the bundle", Spec{Write: []string{"/var/task/**"}}, "/var/task"},
		{"missing program", Spec{Exec: []string{"/usr/bin/no-such-program"}}, "/usr/bin/no-such-program"},
		{"program that is none", Spec{Exec: []string{"/etc/passwd"}}, "/etc/passwd"},
		{"program in the bundle", Spec{Exec: []string{"/var/task/run"}}, "/var/task/run"},
		{"relative program", Spec{Exec: []string{"sh"}}, "sh"},
		{"content in the bundle", Spec{Content: map[string][]byte{"/var/task/x": nil}}, "/var/task/x"},
		{"missing bundle", Spec{Bundle: filepath.Join(dir, "none")}, dir},
		{"other command", Spec{Programs: []string{"/bin/sh"}}, "command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "link to proc" {
				if to, err := os.Readlink("/etc/mtab"); err != nil || !strings.Contains(to, "proc") {
					t.Skip("/etc/mtab is no link to /proc here")
				}
			}
			n := nodeSpec(t, "")
			c.spec.Name, c.spec.Argv = "f", n.Argv
			if c.spec.Programs == nil {
				c.spec.Programs = n.Programs
			}
			p, err := launcher(t, Options{}).Start(context.Background(), &c.spec)
			if err == nil {
				p.Kill()
				p.Wait()
				t.Fatal("it started")
			}
			var e *weir.Error
			if !errors.As(err, &e) || e.Code != weir.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (code %q), want one that is invalid and says %q", err, weir.ErrorCode(err), c.want)
			}
		})
	}
}

// TestHiddenFromOthers: as root, a path that the sandbox's user can't reach is named, with what to
// do; programs are copied instead.
func TestHiddenFromOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's sandboxes run as another user")
	}
	private := t.TempDir() // 0700 somewhere on the way
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	writeTo(t, filepath.Join(private, "bundle", "index.js"), "")
	l := launcher(t, Options{})
	s := nodeSpec(t, "")
	s.Bundle = filepath.Join(private, "bundle")
	_, err := l.Start(context.Background(), s)
	if err == nil || !strings.Contains(err.Error(), "bundle") || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("%v", err)
	}

	hidden := filepath.Join(private, "probe")
	copyFile(t, probe(t), hidden)
	staging := launcher(t, Options{StateDir: public(t)})
	got := run(t, staging, &Spec{Name: "staged", Argv: []string{hidden, "setns"}, Programs: []string{hidden}})
	if got.out != "setns EPERM\n" {
		t.Errorf("%q %+v", got.out, got.exit)
	}
	first, err := staging.Stage(hidden)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := staging.Stage(hidden); err != nil || again != first {
		t.Errorf("%q and %q %v", first, again, err)
	}
	copyFile(t, "/bin/true", hidden)
	if other, err := staging.Stage(hidden); err != nil || other == first {
		t.Errorf("a changed program is the same copy %q %v", other, err)
	}
	if _, err := launcher(t, Options{StateDir: private}).Stage(hidden); err == nil || !strings.Contains(err.Error(), "state directory") {
		t.Errorf("%v", err)
	}
}

// TestStateIsNotGranted: who can read the state directory can sign records, and who can write there
// changes what functions run.
func TestStateIsNotGranted(t *testing.T) {
	dir := "/var/tmp/" + filepath.Base(public(t))
	state := filepath.Join(dir, "cache", "weir")
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeTo(t, filepath.Join(state, "records.key"), "key")
	if err := os.Symlink(state, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	l := launcher(t, Options{StateDir: state})
	for _, g := range []string{state + "/records.key", state + "/**", dir + "/cache/**", dir + "/**", dir + "/link/**", dir + "/link/records.key"} {
		for _, write := range []bool{false, true} {
			s := nodeSpec(t, "")
			if write {
				s.Write = []string{g}
			} else {
				s.Read = []string{g}
			}
			if _, err := l.Start(context.Background(), s); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), "keeps its keys") {
				t.Errorf("%s, write %v: %v", g, write, err)
			}
		}
	}
}

// What a Spec is lenient about is told, and opens nothing: not even child processes.
func TestGrantsOfWhatIsNotThereAreLeftOut(t *testing.T) {
	dir := "/var/tmp/" + filepath.Base(public(t))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeTo(t, filepath.Join(dir, "there"), "yes")
	var told []string
	s := &Spec{
		Read:    []string{filepath.Join(dir, "there"), filepath.Join(dir, "missing"), dir, filepath.Join(dir, "there") + "/**"},
		Write:   []string{filepath.Join(dir, "missing") + "/**"},
		Exec:    []string{filepath.Join(dir, "missing")},
		LeftOut: func(err error) { told = append(told, err.Error()) },
	}
	expect(t, tries(t, s, []try{
		{"there", "fs.readFileSync('" + filepath.Join(dir, "there") + "')"},
		{"names", "fs.readdirSync('" + dir + "').join()"},
		{"child", "require('child_process').execFileSync('/bin/true')"},
	}), map[string]string{"there": "yes", "names": "there", "child": "EPERM|EACCES|ENOENT|EAGAIN"})
	if len(told) != 5 {
		t.Errorf("told of %q", told)
	}
}
