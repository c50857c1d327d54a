// Package platform drives a whole server as a process of its own, which is killed at any moment.
package platform

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/test/platform/served"
)

// TestMain makes of this binary the command, if it is started as one.
func TestMain(m *testing.M) {
	sandbox.Init()
	weir := func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
	if os.Getenv("WEIR_TEST_COMMAND") != "" {
		weir()
	}
	testscript.Main(m, map[string]func(){"weir": weir})
}

// TestScripts runs the commands of testdata against a server.
func TestScripts(t *testing.T) {
	s := newServer(t)
	s.start()
	token, err := os.ReadFile(filepath.Join(s.dir, "owner.token"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("WEIR_SERVER", s.API)
			e.Setenv("WEIR_TOKEN", strings.TrimSpace(string(token)))
			e.Setenv("WEIR_STATE_DIR", s.dir) // where Node.js can read
			return os.Chmod(e.WorkDir, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"get": s.asks, "becomes": s.becomes, "keep": keep},
	})
}

// asks is the command get HOST PATH, which prints the answer of a site; "! get" wants one of no success.
func (s *server) asks(ts *testscript.TestScript, neg bool, args []string) {
	status, body, err := s.Get(context.Background(), "GET", args[0], args[1])
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), body)
	if (status == http.StatusOK) == neg {
		ts.Fatalf("%d %s", status, body)
	}
}

// becomes HOST PATH REGEXP asks until the answer matches: what a command has changed reaches functions a moment later.
func (s *server) becomes(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[2])
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, body, err := s.Get(context.Background(), "GET", args[0], args[1])
		ts.Check(err)
		if want.MatchString(body) {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("it stays %s", body)
		}
	}
}

// keep NAME REGEXP sets a variable to what a part in parentheses matched in the last output.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("no %s in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// server is a weir serve in a process of its own.
type server struct {
	t     *testing.T
	dir   string // its state
	flags []string
	log   bytes.Buffer
	self  string               // the binary; "": this one
	user  *syscall.SysProcAttr // as whom it runs; nil: as this user
	*served.Server
}

// newServer makes a server that is not started yet.
func newServer(t *testing.T, flags ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-platform-") // t.TempDir is its owner's alone
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir, flags: flags}
	t.Cleanup(func() {
		s.kill()
		os.RemoveAll(dir)
		if t.Failed() {
			t.Logf("the server's log:\n%.20000s", s.log.String())
		}
	})
	return s
}

// start starts it and waits until it serves.
func (s *server) start() {
	s.t.Helper()
	if err := s.launch(); err != nil {
		s.t.Fatal(err)
	}
	s.connect(s)
}

// launch starts it and waits until it listens.
func (s *server) launch() (err error) {
	self := s.self
	if self == "" {
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	s.Server, err = served.Launch(served.Options{Command: self, Env: []string{"WEIR_TEST_COMMAND=1"}, Dir: s.dir, Flags: append(s.flags, "--blanks", "0"), Log: &s.log, User: s.user})
	return err
}

// connect makes a client with the first owner's token, which a server got when the store was new.
func (s *server) connect(first *server) {
	s.t.Helper()
	if err := s.Connect(first.dir); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends it as a crash would.
func (s *server) kill() {
	if s.Server != nil { // which stays: others may be asking it
		s.Kill()
	}
}
