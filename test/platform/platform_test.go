// Package platform drives a whole server as a process of its own, which is killed at any moment.
package platform

import (
	"bytes"
	"os"
	"testing"

	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/test/platform/served"
)

// TestMain makes of this binary the command, if it is started as one.
func TestMain(m *testing.M) {
	sandbox.Init()
	if os.Getenv("WEIR_TEST_COMMAND") != "" {
		os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// server is a weir serve in a process of its own.
type server struct {
	t     *testing.T
	dir   string // its state
	flags []string
	log   bytes.Buffer
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
	s := &server{t: t, dir: dir, flags: append(flags, "--blanks", "0")}
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
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.Server, err = served.Start(served.Options{Command: self, Env: []string{"WEIR_TEST_COMMAND=1"}, Dir: s.dir, Flags: s.flags, Log: &s.log}); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends it as a crash would.
func (s *server) kill() {
	if s.Server != nil {
		s.Kill()
		s.Server = nil
	}
}
