// Package platform drives a whole server as a process of its own: it is killed at any moment, and measured.
package platform

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/cli"
	"github.com/weir-run/weir/internal/sandbox"
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
			e.Setenv("WEIR_SERVER", s.api)
			e.Setenv("WEIR_TOKEN", strings.TrimSpace(string(token)))
			e.Setenv("WEIR_STATE_DIR", s.dir) // where Node.js can read
			return os.Chmod(e.WorkDir, 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"get": s.asks, "becomes": s.becomes, "keep": keep},
	})
}

// asks is the command get HOST PATH, which prints the answer of a site; "! get" wants one of no success.
func (s *server) asks(ts *testscript.TestScript, neg bool, args []string) {
	status, body, err := s.get(context.Background(), "GET", args[0], args[1])
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
		_, body, err := s.get(context.Background(), "GET", args[0], args[1])
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
	cmd   *exec.Cmd
	log   bytes.Buffer
	sites string // URL
	api   string
	token string
	self  string               // the binary; "": this one
	user  *syscall.SysProcAttr // as whom it runs; nil: as this user
	*client.Client
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
func (s *server) launch() error {
	self := s.self
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	s.cmd = exec.Command(self, append([]string{"serve", "--state-dir", s.dir, "--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--blanks", "0"}, s.flags...)...)
	s.cmd.Env = append(os.Environ(), "WEIR_TEST_COMMAND=1")
	s.cmd.Stderr, s.cmd.SysProcAttr, s.cmd.Dir = &s.log, s.user, s.dir
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		word, url, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "ready":
			s.sites = url
		case "api":
			s.api = url
			return nil
		}
	}
	s.cmd.Wait()
	return errors.New("it ended instead of serving")
}

// connect makes a client with the first owner's token, which a server got when the store was new.
func (s *server) connect(first *server) {
	token, err := os.ReadFile(filepath.Join(first.dir, "owner.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	if s.Client, err = client.New(client.Options{Server: s.api, Token: s.token}); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends it as a crash would.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// get asks for a path of a site.
func (s *server) get(ctx context.Context, method, host, path string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.sites+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

// content is what a deploy consists of.
type content struct {
	files     map[string][]byte
	functions map[string][]byte // archives
	schedules []wire.FunctionSchedule
}

// archive makes the archive of a function of one file.
func archive(name, source string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name + ".js")
	if err == nil {
		_, err = io.WriteString(w, source)
	}
	if err != nil || z.Close() != nil {
		panic(err)
	}
	return b.Bytes()
}

// deploy deploys content to a site and waits until it is ready.
func (s *server) deploy(ctx context.Context, site string, c content) (wire.Deploy, error) {
	d, err := s.BeginDeploy(ctx, site, wire.NewDeploy{})
	if err != nil {
		return d, err
	}
	if d, err = s.Declare(ctx, site, d.ID, c.declaration()); err != nil {
		return d, err
	}
	for d.State == "preparing" {
		if d, err = s.await(ctx, d.ID); err != nil {
			return d, err
		}
	}
	var send []client.Upload
	for _, u := range c.uploads() {
		if slices.Contains(d.Required, u.digest) || slices.Contains(d.RequiredFunctions, u.digest) {
			send = append(send, u.Upload)
		}
	}
	if err := s.Upload(ctx, d.ID, send, nil); err != nil {
		return d, err
	}
	return s.whole(ctx, d)
}

// whole waits until a deploy is ready of which all was uploaded.
func (s *server) whole(ctx context.Context, d wire.Deploy) (_ wire.Deploy, err error) {
	for d.State != "ready" {
		if d, err = s.await(ctx, d.ID); err != nil {
			return d, err
		}
		if d.State == "error" {
			return d, fmt.Errorf("deploy %s: %s", d.ID, d.ErrorMessage)
		}
	}
	return d, nil
}

// declaration is what a client says of content.
func (c *content) declaration() wire.Declaration {
	decl := wire.Declaration{Files: map[string]string{}, Functions: map[string]string{}, FunctionSchedules: c.schedules, Async: len(c.files) > 100}
	for _, u := range c.uploads() {
		if u.Function != "" {
			decl.Functions[u.Function] = u.digest
		} else {
			decl.Files[u.Path] = u.digest
		}
	}
	return decl
}

// part is what is uploaded, and the digest by which the server asks for it.
type part struct {
	client.Upload
	digest string
}

func (c *content) uploads() (out []part) {
	open := func(b []byte) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	for name, data := range c.files {
		sum := sha1.Sum(data)
		out = append(out, part{client.Upload{Path: name, Size: int64(len(data)), Open: open(data)}, hex.EncodeToString(sum[:])})
	}
	for name, data := range c.functions {
		sum := sha256.Sum256(data)
		out = append(out, part{client.Upload{Function: name, Runtime: "js", Size: int64(len(data)), Open: open(data)}, hex.EncodeToString(sum[:])})
	}
	return out
}

// await polls, as clients do.
func (s *server) await(ctx context.Context, id string) (wire.Deploy, error) {
	select {
	case <-ctx.Done():
		return wire.Deploy{}, ctx.Err()
	case <-time.After(20 * time.Millisecond):
	}
	return s.Deploy(ctx, id)
}
