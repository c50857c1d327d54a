package server

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const callsAtImport = `
const { existsSync } = require('node:fs');
exports.called = fetch('http://upstream.test/').then(() => 'answered', (e) => e.cause?.code ?? e.message);
console.log('printed at import');
exports.handler = async () => ({ statusCode: 200, body: [existsSync('/var/task/.weir'), process.env.TOKEN].join(' ') });
if (!process.env.TOKEN) throw new Error('no token');
`

// A trial has the function's variables, and leaves nothing: no line, no record, no answer from outside.
func TestATrialLeavesNothing(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "functions/f.js": callsAtImport, ".env": "TOKEN=t\n",
		"weir.toml": "[functions.f]\nenv = [\"TOKEN\"]\nhttp = [\"GET http://upstream.test/\"]\n"})
	if len(s.lines) > 0 || len(s.records.Decisions()) > 0 || len(s.records.Invocations()) > 0 {
		t.Errorf("before any request there are %v, %v, %v", s.lines, s.records.Decisions(), s.records.Invocations())
	}
	if status, body := s.get(t, "/.netlify/functions/f"); status != 200 || body != "true t" {
		t.Errorf("got %d %s", status, body)
	}
}

// A function that does not load as a pack is a bundle, the log says why, and the others are packs.
func TestWhatDoesNotLoadAsAPackIsABundle(t *testing.T) {
	s := serveStill(t, map[string]string{"netlify.toml": netlify,
		"functions/f.js": "if (require('fs').existsSync('/var/task/.weir')) throw new Error('no packs please');\n" + handler("bundle"),
		"functions/g.js": handler("pack")})
	for name, want := range map[string]string{"f": "bundle", "g": "pack"} {
		if status, body := s.get(t, "/.netlify/functions/"+name); status != 200 || body != want {
			t.Errorf("%s: got %d %s", name, status, body)
		}
	}
	log := s.log.String()
	if n := strings.Count(log, "not from a pack"); n != 1 || !strings.Contains(log, "no packs please") || !strings.Contains(log, "function=f") {
		t.Errorf("the log says %s", log)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "state/artifacts/*/functions/*/.weir/pack.js"))
	if err != nil || len(found) != 1 || !strings.Contains(found[0], "/g/") {
		t.Errorf("packs: %v %v", found, err)
	}
}

// A trial has the walls of the function that it is of.
func TestATrialIsBehindTheWalls(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := serveStill(t, map[string]string{"netlify.toml": netlify,
		"functions/f.js": "let read; try { read = require('fs').readFileSync('" + secret + "', 'utf8'); } catch { read = 'nothing'; }\nthrow new Error('read ' + read);\n"})
	if log := s.log.String(); !strings.Contains(log, "read nothing") || strings.Contains(log, "s3cret") {
		t.Errorf("the log says %s", log)
	}
}

// Who will invoke one function waits for no other's trial.
func TestOnlyTheFunctionThatWillBeInvokedIsTried(t *testing.T) {
	files := map[string]string{"netlify.toml": netlify, "functions/f.js": handler("f"), "functions/g.js": handler("g")}
	s := serveStill(t, files, func(o *DevOptions) { o.Only = "f" })
	found, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "state/artifacts/*/functions/*/.weir/pack.js"))
	if err != nil || len(found) != 1 || !strings.Contains(found[0], "/f/") || strings.Contains(s.log.String(), "pack") {
		t.Errorf("packs: %v %v; the log says %s", found, err, s.log.String())
	}
}

// What loads on one version of Node.js may not on another: a trial says nothing of the next one.
func TestATrialIsOfOneNode(t *testing.T) {
	tried := &trials{}
	tried.smoke(nil, nil, 24)
	tried.seen["f"] = nil
	if tried.smoke(nil, nil, 24); len(tried.seen) != 1 {
		t.Error("what was tried is forgotten")
	}
	if tried.smoke(nil, nil, 22); len(tried.seen) != 0 {
		t.Error("a trial on Node.js 24 counts for 22")
	}
}

// What only a passing trouble kept from loading as a pack is tried again with the next change; what threw is not.
func TestATrialThatFailedForAPassingTroubleIsForgotten(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "weir-trouble-") // /tmp is the sandbox's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	trouble := filepath.Join(dir, "trouble")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(trouble, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	fails := func(how string) string {
		return "if (require('fs').existsSync('" + trouble + "')) " + how + "\n" + handler("loaded")
	}
	s := serveStill(t, map[string]string{"netlify.toml": netlify, "weir.toml": "[functions.\"*\"]\nread = [\"" + dir + "/**\"]\n",
		"functions/ended.js": fails("process.exit(1);"), "functions/threw.js": fails("throw new Error('trouble');")})
	if err := os.Remove(trouble); err != nil {
		t.Fatal(err)
	}
	s.write(t, "functions/other.js", handler("other"))
	if _, err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(filepath.Dir(s.dir), "state/artifacts/*/functions/*/.weir/pack.js"))
	found := strings.Join(packs, " ")
	if err != nil || !strings.Contains(found, "/ended/") || strings.Contains(found, "/threw/") {
		t.Errorf("packs: %v %v", packs, err)
	}
}

// What loaded once is not tried again by the next process, until anything of it has changed.
func TestWhatLoadedIsNotTriedAgain(t *testing.T) {
	root, err := os.MkdirTemp("/var/tmp", "weir-server-") // inside, /tmp is another one
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(root)
	there, site := filepath.Join(root, "there"), filepath.Join(root, "site")
	write := func(file, content string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	source := "if (!require('fs').existsSync('" + there + "')) throw new Error('gone');\n"
	write(there, "")
	write(filepath.Join(site, "netlify.toml"), netlify)
	write(filepath.Join(site, "weir.toml"), "[functions.f]\nread = [\""+there+"\"]\n")
	write(filepath.Join(site, "functions/f.js"), source+handler("one"))
	isPack := func() bool {
		t.Helper()
		b, err := Build(t.Context(), DevOptions{Dir: site, StateDir: filepath.Join(root, "state"), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		return b.Uploads.Functions[0].Why == ""
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if !isPack() {
		t.Fatal("it does not load at all")
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	if !isPack() {
		t.Error("what had loaded was tried again")
	}
	write(filepath.Join(site, "functions/f.js"), source+handler("another"))
	if isPack() {
		t.Error("what has changed was not tried")
	}
}
