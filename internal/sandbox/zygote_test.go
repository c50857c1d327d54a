package sandbox

// Zygotes and their children: what a child is, and what it can't do to its siblings.

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	addon "github.com/weir-run/weir/internal/sandbox/zygote"
)

// zygoteSpec runs testdata/zygote.cjs. first is JavaScript that it runs before it is forked.
func zygoteSpec(t testing.TB, first string) *Spec {
	t.Helper()
	object, err := os.ReadFile(compiled(t, "fork.node", "-O2", "-std=gnu11", "-fPIC", "-shared", "zygote/addon/fork.c"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/zygote.cjs")
	if err != nil {
		t.Fatal(err)
	}
	return zygoteOf(node(t), object, script, first)
}

func zygoteOf(n string, object, script []byte, first string) *Spec {
	return &Spec{Name: "zygote", Argv: []string{n, "--single-threaded", "--v8-pool-size=0", "/opt/weir/zygote.cjs"}, Programs: []string{n},
		Env:     []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "UV_USE_IO_URING=0", "FIRST=" + first},
		Content: map[string][]byte{addon.Path: object, "/opt/weir/zygote.cjs": script},
		Write:   []string{"/tmp/**"}, Zygote: 8}
}

// startZygote starts one that is ready to be forked.
func startZygote(t testing.TB, s *Spec) *running {
	t.Helper()
	p := tryZygote(t, s)
	if err := p.WaitReady(t.Context()); err != nil {
		p.Kill()
		p.Wait()
		p.done.Wait()
		t.Fatalf("%v\n%s", err, p.out.String())
	}
	return p
}

func tryZygote(t testing.TB, s *Spec) *running {
	t.Helper()
	l := launcher(t, Options{})
	if !l.mode.forks() {
		t.Skip("no zygote can be had on this machine: see weir doctor")
	}
	_, theirs := channelPair(t)
	s.Files = []*os.File{theirs}
	return start(t, l, s)
}

func channelPair(t testing.TB) (ours net.Conn, theirs *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(pair[0]), "channel")
	defer f.Close()
	if ours, err = net.FileConn(f); err != nil {
		t.Fatal(err)
	}
	theirs = os.NewFile(uintptr(pair[1]), "channel")
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// forked is a child and its channel.
type forked struct {
	*Child
	conn net.Conn
	from *bufio.Reader
	out  *os.File // what it prints
}

func fork(t testing.TB, p *running) *forked {
	t.Helper()
	c, err := tryFork(t, p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryFork(t testing.TB, p *running) (*forked, error) {
	t.Helper()
	ours, theirs := channelPair(t)
	defer theirs.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := p.Fork(ctx, theirs, w, w)
	if err != nil {
		r.Close()
		return nil, err
	}
	t.Cleanup(func() { c.Kill(); c.Wait(); r.Close() })
	return &forked{c, ours, bufio.NewReader(ours), r}, nil
}

// do has a child carry out a line of JavaScript, and gives what it returns, as JSON.
func (c *forked) do(t testing.TB, code string) string {
	t.Helper()
	got, err := c.try(code)
	if err != nil {
		t.Fatalf("%s: %v", code, err)
	}
	return got
}

func (c *forked) try(code string) (string, error) {
	c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c.conn, strings.ReplaceAll(code, "\n", " ")+"\n"); err != nil {
		return "", err
	}
	line, err := c.from.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *forked) expect(t testing.TB, code, want string) {
	t.Helper()
	if got := c.do(t, code); got != want {
		t.Errorf("%s\ngave %s, want %s", code, got, want)
	}
}

// TestFork: a child has what was loaded before, and a number, a /tmp, output and a channel of its own.
func TestFork(t *testing.T) {
	p := startZygote(t, zygoteSpec(t, "({ loaded: 1 })"))
	a, b := fork(t, p), fork(t, p)
	for _, c := range []*forked{a, b} {
		c.expect(t, "return first", `{"loaded":1}`)
		c.expect(t, "return require('fs').readdirSync('/tmp')", `[]`)
		c.expect(t, "require('fs').writeFileSync('/tmp/own', String(process.pid)); return require('fs').readFileSync('/tmp/own', 'utf8') === String(process.pid)", `true`)
		c.expect(t, "return require('fs').readFileSync(require('fs').realpathSync('/tmp') + '/own', 'utf8') === String(process.pid)", `true`)
		c.expect(t, "return await require('zlib').gzipSync('x'.repeat(1000)).length < 1000", `true`)
		c.expect(t, "return await new Promise((r) => require('zlib').gzip('x'.repeat(1000), (e, b) => r(b.length < 1000)))", `true`)
	}
	if x, y := a.do(t, "return process.pid"), b.do(t, "return process.pid"); x == y {
		t.Errorf("both children say that they are %s", x)
	}
	a.do(t, "console.log('hello'); return 0")
	a.Kill()
	if exit := a.Wait(); exit.Signal != "SIGKILL" {
		t.Errorf("%+v", exit)
	}
	if out, err := io.ReadAll(a.out); err != nil || string(out) != "hello\n" {
		t.Errorf("%q %v", out, err)
	}
	b.expect(t, "return require('fs').readdirSync('/tmp')", `["own"]`)
}
