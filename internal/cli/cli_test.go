package cli

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){
		"weir": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs what users type. Each script in testdata is one story.
func TestScripts(t *testing.T) {
	state := stateOf(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("WEIR_STATE_DIR", filepath.Join(state, "state"))
			e.Setenv("HOST_SECRET", "canary-of-the-host")
			e.Values[servedKey] = &served{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "records": records, "receiver": receiver, "interrupt": interrupt, "stuck": stuck,
			"upstream": upstream, "dev": dev, "enddev": enddev, "call": call, "serve": serve, "endserve": endserve, "visit": visit, "deployid": deployid,
		},
	})
}

// stateOf makes a state directory. Sandboxes of root run with another uid: they must be able to read it.
func stateOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeFiles writes files by their paths below dir.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// exits runs a command and checks its exit code: exits CODE COMMAND ARGS…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		var exit interface{ ExitCode() int }
		if e, ok := err.(interface{ ExitCode() int }); ok {
			exit = e
		}
		if exit == nil {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// records writes records as a server does, of three functions, some of it hostile: records FILE [N]. N
// is how many invocations there are, 1 if it isn't given; files are full with 64 KB.
func records(ts *testscript.TestScript, neg bool, args []string) {
	n := 1
	if len(args) == 2 {
		var err error
		n, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	key, err := record.LoadKey(ts.Getenv("WEIR_STATE_DIR"))
	ts.Check(err)
	f, err := record.OpenFile(ts.MkAbs(args[0]), record.FileOptions{Key: key, MaxSize: 64 << 10, Keep: 3})
	ts.Check(err)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	f.Decided(record.Decision{Time: noon, Verdict: record.Allow, Function: "charge", Kind: "http", Method: "POST", Target: "https://api.stripe.com/v1/charges",
		Nearest: "POST https://api.stripe.com/v1/charges", Rule: "weir.toml:2", Source: record.Egress})
	f.Decided(record.Decision{Time: noon.Add(time.Minute), Verdict: record.Deny, Function: "charge", Kind: "http", Method: "POST", Target: "https://c.evil.test/c",
		Reason: "no rule names the host c.evil.test", Source: record.Egress})
	f.Decided(record.Decision{Time: noon.Add(time.Hour), Verdict: record.Deny, Mode: record.Monitor, Function: "mail", Kind: "tcp", Target: "mail.test:25", Source: record.Egress})
	f.Decided(record.Decision{Time: noon.Add(time.Hour), Verdict: record.Deny, Function: "hostile", Kind: "read", Target: "/x\x1b[2J\n\u009b2J\u202e\u2028\xff", Source: record.Shim})
	f.Changed(record.Change{Time: noon.Add(90 * time.Minute), Author: "anna", From: "192.0.2.1", Action: "deploy.approve", Site: "s1", Deploy: "d1",
		Detail: map[string]string{"note": "looks\x1b[2J good"}})
	for range n {
		f.Invoked(record.Invocation{Time: noon.Add(2 * time.Hour), Function: "charge", Request: "r1", Outcome: "error", Millis: 1.5, Error: "TypeError"})
	}
	ts.Check(f.Close())
}

// receiver starts somebody's server that takes records: receiver FILE. Its URL is in $RECEIVER, and what
// it gets in FILE.
func receiver(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Weir-Signature") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.Copy(f, r.Body)
	}))
	ts.Defer(func() { srv.Close(); f.Close() })
	ts.Setenv("RECEIVER", srv.URL)
}
