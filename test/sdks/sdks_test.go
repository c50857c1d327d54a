// Package sdks makes denied calls with the packages that functions really use, and reads what their
// authors would read: one line with the rule that is missing, after no more tries than the package makes
// of any failed connection.
package sdks

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	if filepath.Base(os.Args[0]) == "weir" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// site gives a folder with the functions and their packages, which stay for the next time.
func site(t *testing.T) string {
	t.Helper()
	dir := installed(t, "testdata/site", "weir-test-sdks")
	if err := os.RemoveAll(filepath.Join(dir, "functions")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "functions"), os.DirFS("testdata/site/functions")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installed gives a copy of the folder source with its packages, which stays for the next time.
func installed(t *testing.T, source, name string) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), name)
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
	return dir
}

func same(a, b string) bool {
	x, err := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// invoke runs one function and gives what it answered, and how often each target was denied.
func invoke(t *testing.T, dir, function string) (answer []byte, tries map[string]int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := os.MkdirTemp("", "weir-sdks-") // t.TempDir's parent is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	records := filepath.Join(scratch, "records.jsonl")
	cmd := exec.Command(self, "invoke", function, "--dir", dir, "--records", records)
	cmd.Args[0] = "weir"
	cmd.Env = append(os.Environ(), "WEIR_STATE_DIR="+scratch)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	answer, err = cmd.Output()
	if len(answer) == 0 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	lines, err := os.ReadFile(records)
	if err != nil {
		t.Fatal(err)
	}
	tries = map[string]int{}
	for line := range strings.Lines(string(lines)) {
		var r struct {
			Decision, Target string
			Count            int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Decision == "deny" {
			tries[r.Target] += max(r.Count, 1)
		}
	}
	return answer, tries
}

func TestDenialsReadWell(t *testing.T) {
	answer, tries := invoke(t, site(t), "sdks")
	var got map[string][]string
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	for name, want := range map[string]struct {
		tried string // as a rule
		depth int    // of the message that says it, below what the package says itself
		tries int
	}{
		"axios":       {`http = ["GET https://axios.test/"]`, 0, 1},
		"axiosFetch":  {`http = ["GET https://axios-fetch.test/"]`, 1, 1},
		"got":         {`http = ["GET https://got.test/"]`, 0, 1},
		"nodeFetch":   {`http = ["GET https://node-fetch.test/"]`, 0, 1},
		"undici":      {`http = ["GET https://undici.test/"]`, 0, 1},
		"undiciFetch": {`http = ["GET https://undici-fetch.test/"]`, 1, 1},
		"fetch":       {`http = ["GET https://fetch.test/"]`, 1, 1},
		"aws":         {`http = ["GET https://s3.eu-west-1.amazonaws.com/b/k"]`, 0, 1},
		"pg":          {`tcp = ["db.test:5432"]`, 0, 1},
		"pgTLS":       {`tcp = ["db-tls.test:5432"]`, 0, 1},
		"stripe":      {`http = ["POST https://api.stripe.com/v1/charges"]`, 1, 3}, // it retries what has no answer, whatever the error
		"stripeOnce":  {`http = ["POST https://once.stripe.test/v1/charges"]`, 1, 1},
	} {
		said := got[name]
		if len(said) <= want.depth {
			t.Errorf("%s: %q", name, said)
			continue
		}
		text := said[want.depth]
		if !strings.Contains(text, "; to allow it, add to [functions.sdks] in weir.toml: "+want.tried) || strings.Contains(text, "\n") {
			t.Errorf("%s: %q", name, said)
		}
		if name != "axiosFetch" && !strings.HasPrefix(text, "EWEIR: ") {
			t.Errorf("%s has another code: %q", name, text)
		}
		_, target, _ := strings.Cut(strings.Trim(want.tried, `]"`), `["`)
		if _, url, ok := strings.Cut(target, " "); ok {
			target = url
		}
		if tries[target] != want.tries {
			t.Errorf("%s: tried %d times, want %d", name, tries[target], want.tries)
		}
	}
}
