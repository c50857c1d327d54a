package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
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
