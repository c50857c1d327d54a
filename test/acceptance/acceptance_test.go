// Package acceptance runs the acceptance corpus, which lies outside this project, against the
// weir binary: every attack must be blocked and every legitimate function must work.
package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ordinaryUser is the uid that stands for an ordinary user when the tests run as root.
const ordinaryUser = "54321"

// notOn24 names the attacks that can't be made on Node 24 and newer: it ends itself, without Weir, too.
var notOn24 = map[string]string{
	"attacks/exec-vectors": "Node 24 aborts when process_wrap's spawn is called by hand",
}

// skipped gives the cases that can't be run on a version of Node.js, with the reason; on the one in the PATH if
// major is 0.
func skipped(t *testing.T, major int) map[string]string {
	t.Helper()
	if major == 0 {
		major = installed(t)
	}
	if major < 24 {
		return nil
	}
	return notOn24
}

func installed(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("node", "-p", "process.versions.node.split('.')[0]").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return major
}

// mode is a way of running all cases.
type mode struct {
	name  string
	major int // of Node.js; 0: the one in the PATH
	flags []string
}

var everyday = []mode{
	{"root", 0, nil},
	{"user", 0, []string{"--user", ordinaryUser}},
	{"learned-root", 0, []string{"--learned"}},
	{"learned-user", 0, []string{"--learned", "--user", ordinaryUser}},
}

// matrix is every way that an instance comes to be, on every Node.js, as root and as an ordinary user.
func matrix() []mode {
	var all []mode
	for _, major := range []int{20, 22, 24} {
		node := fmt.Sprintf("runtime = \"nodejs%d\"", major)
		for _, user := range [][]string{nil, {"--user", ordinaryUser}} {
			for _, way := range []mode{
				{"pool", major, []string{"--running", node}},
				{"zygote", major, []string{"--running", node, "--forked"}},
				{"request", major, []string{"--running", node + "\nisolation = \"request\""}},
			} {
				way.name = fmt.Sprintf("%s-%d-%s", way.name, major, map[bool]string{true: "root", false: "user"}[user == nil])
				way.flags = append(way.flags, user...)
				all = append(all, way)
			}
		}
	}
	return all
}

type verdict struct {
	Kind, Name string
	OK         bool
	Forked     *bool // by a zygote, if that was wanted
	Bad        []string
	Debug      json.RawMessage
}

func TestCorpus(t *testing.T) {
	corpus := corpusDir(t)
	weir := buildWeir(t)
	work := "/var/tmp/weir-acceptance" // not below /tmp: a Node.js that lies there is never forked
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	var cases []string
	for _, kind := range []string{"attacks", "legit"} {
		files, err := filepath.Glob(filepath.Join(corpus, kind, "*", "case.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s in %s", kind, corpus)
		}
		for _, f := range files {
			cases = append(cases, kind+"/"+filepath.Base(filepath.Dir(f)))
		}
	}
	modes := everyday
	if os.Getenv("WEIR_MATRIX") != "" {
		modes = matrix()
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) { drive(t, corpus, weir, work, cases, m) })
	}
}

func corpusDir(t *testing.T) string {
	dir := os.Getenv("WEIR_ACCEPTANCE")
	if dir == "" {
		t.Skip("WEIR_ACCEPTANCE does not name the folder of the acceptance corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "lib/sink.mjs")); err != nil {
		t.Fatalf("WEIR_ACCEPTANCE names no acceptance corpus: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("the corpus's sink needs root: it binds ports 53, 80 and 443 of 127.77.0.x")
	}
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("the corpus's sink needs openssl")
	}
	return dir
}

// buildWeir builds the binary as users get it, with the small init embedded.
func buildWeir(t *testing.T) string {
	t.Helper()
	if w := os.Getenv("WEIR_BINARY"); w != "" {
		return w
	}
	out, err := exec.Command("make", "-s", "-C", "../..", "build").CombinedOutput()
	if err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	// The ordinary user must be able to execute it, wherever this checkout lies.
	dir, err := os.MkdirTemp("", "weir-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("../../bin/weir")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "weir")
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return bin
}

func drive(t *testing.T, corpus, weir, work string, cases []string, m mode) {
	args := slices.Concat([]string{"drive.mjs", corpus, weir, work}, m.flags)
	skip := skipped(t, m.major)
	for _, c := range cases {
		if skip[c] == "" {
			args = append(args, c)
		}
	}
	cmd := exec.Command("node", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v verdict
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("the driver printed %q", lines.Text())
		}
		id := v.Kind + "/" + v.Name
		seen[id] = true
		t.Run(id, func(t *testing.T) {
			if v.Forked != nil && !*v.Forked {
				t.Log("no zygote")
			}
			if !v.OK {
				t.Errorf("%s\n%s", strings.Join(v.Bad, "\n"), indent(v.Debug))
			}
		})
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("driver: %v", err)
	}
	for _, c := range cases {
		switch {
		case skip[c] != "":
			t.Run(c, func(t *testing.T) { t.Skip(skip[c]) })
		case !seen[c]:
			t.Errorf("%s was not run", c)
		}
	}
}

func indent(raw json.RawMessage) string {
	var v map[string]any
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	var b strings.Builder
	for k, x := range v {
		fmt.Fprintf(&b, "%s: %v\n", k, x)
	}
	return b.String()
}
