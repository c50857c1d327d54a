package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/record"
)

// TestAuditTailIsLive: what is written while somebody looks on is shown, that of other functions is not.
func TestAuditTailIsLive(t *testing.T) {
	dir := t.TempDir()
	key, err := record.LoadKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "records")
	f, err := record.OpenFile(path, record.FileOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	deny := func(function, target string) {
		f.Decided(record.Decision{Time: time.Now(), Verdict: record.Deny, Function: function, Kind: "tcp", Target: target, Source: record.Egress})
	}
	for _, target := range []string{"a:1", "b:1", "c:1"} {
		deny("fn", target)
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		c := newAudit(&streams{out: w})
		c.SetArgs([]string{"tail", path, "--last", "2", "--function", "fn"})
		err := c.ExecuteContext(ctx)
		w.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewScanner(r)
	for _, want := range []string{"b:1", "c:1", "d:1", "e:1"} {
		if !lines.Scan() {
			t.Fatalf("ended before %s: %v", want, lines.Err())
		}
		if !strings.HasSuffix(lines.Text(), "denied fn: tcp "+want) {
			t.Fatalf("%q, want %s", lines.Text(), want)
		}
		if want == "c:1" {
			deny("other", "x:1")
			deny("fn", "d:1")
			deny("fn", "e:1")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShownTextIsHarmless: whatever a record holds, it is one line of printable characters, and JSON means
// the same as before.
func TestShownTextIsHarmless(t *testing.T) {
	for _, s := range []string{"plain", "ü€😀", "\x1b[2J\r\n\t\x00\x7f", "\u009b2J\u202e\u2028\ufeff", "\xff\x9b", "\U000e0001\U0001f600"} {
		if got := oneLine(s); strings.ContainsAny(got, "\x1b\r\n\t\x00\x7f\u009b\u202e\u2028\ufeff") || strings.Contains(got, "\x9b") && !strings.Contains(got, "\u009b") {
			t.Errorf("%q became %q", s, got)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back, want string
		if err := json.Unmarshal([]byte(escaped(string(b))), &back); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &want); err != nil || back != want {
			t.Errorf("%q became %q", want, back)
		}
	}
	if got := escaped("\"\u009b\U000e0001\""); got != `"\u009b\udb40\udc01"` {
		t.Error(got)
	}
}

// TestReplayIsHarmless: what a hostile record holds drives no terminal.
func TestReplayIsHarmless(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"weir.toml": "", "records": `{"v":2,"type":"decision","time":"2026-01-02T03:04:05Z","decision":"allow","function":"f","instance":"i","kind":"read","target":"/srv/\u202efdp.x\u2028\u001b[2J","source":"shim"}` + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs strings.Builder
	c := newPolicyReplay(&streams{out: &out, err: &errs})
	c.SetArgs([]string{dir, "--records", filepath.Join(dir, "records")})
	c.SilenceErrors = true
	c.SilenceUsage = true
	_ = c.Execute() // a call is newly denied
	if s := out.String(); !strings.Contains(s, "now denied: f") || strings.ContainsAny(s, "\u202e\u2028\x1b") {
		t.Errorf("%q", s)
	}
}

func TestSizeFlag(t *testing.T) {
	for text, want := range map[string]string{"64MB": "64MB", "1024KB": "1MB", "3GB": "3GB", "65KB": "65KB"} {
		var s size
		if err := s.Set(text); err != nil || s.String() != want {
			t.Errorf("%s: %v %v", text, s, err)
		}
	}
	for _, text := range []string{"", "64", "MB", "-1MB", "0KB", "1.5GB", "9999999999999GB", "64 MB", "64mb"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %v", text, &s)
		}
	}
}

// TestRecordsToStdout: standard output then holds records and nothing else.
func TestRecordsToStdout(t *testing.T) {
	state, err := os.MkdirTemp("", "weir-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(state) })
	if err := os.Chmod(state, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEIR_STATE_DIR", state)
	site := t.TempDir()
	for name, text := range map[string]string{"netlify.toml": "[functions]\ndirectory = \"functions\"\n", "functions/hello.js": "exports.handler = async () => ({ statusCode: 204 });\n"} {
		path := filepath.Join(site, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	out, outw := io.Pipe()
	told, toldw := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		c := newDev(&streams{out: outw, err: toldw})
		c.SetArgs([]string{site, "--port", "0", "--records", "-"})
		err := c.ExecuteContext(ctx)
		toldw.CloseWithError(err)
		outw.CloseWithError(err)
		ended <- err
	}()
	ready := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(told); lines.Scan(); {
			if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
				ready <- url
			}
		}
	}()
	select {
	case url := <-ready:
		resp, err := http.Get(url + "/.netlify/functions/hello")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	case err := <-ended:
		t.Fatal(err)
	}
	e, err := record.NewReader(out, "stdout").Next()
	if err != nil || e.Invocation == nil || e.Invocation.Function != "hello" {
		t.Errorf("%v %+v", err, e)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
