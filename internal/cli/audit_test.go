package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
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

// TestHostileTextIsHarmless: whatever records, policies and arguments hold, no command gives it to a
// terminal as it is, be it as text, as JSON or as an error.
func TestHostileTextIsHarmless(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	hostile := "/srv/\u202efdp.x\u2028\u2066\u009b2J\u001b[2J\u007f"
	line := func(kind, fields string) string {
		return `{"v":2,"type":"` + kind + `","time":"2026-01-02T03:04:05Z",` + fields + "}\n"
	}
	escaped, err := json.Marshal(hostile) // leaves U+202E and U+009B as they are
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"netlify.toml": "", "weir.toml": "",
		"old.toml":   "[functions.f]\nread = [\"/srv/a\"]\n",
		"new.toml":   "[functions.f]\nread = [\"/srv/\\u202e\\u009b2J\"]\n",
		"wrong.toml": "[functions.f]\nread = [\"/srv/\\u202e\\u009b\\u001b\", 3]\n\"\\u202e\\u001b\" = 1\n",
		"records": line("decision", `"decision":"allow","function":"f","instance":"i","kind":"read","target":`+string(escaped)+`,"source":"shim"`) +
			line("decision", `"decision":"deny","function":`+string(escaped)+`,"instance":"i","kind":"http","method":`+string(escaped)+`,"target":"https://h.test/","reason":`+string(escaped)+`,"source":"egress"`) +
			line("invocation", `"function":`+string(escaped)+`,"request":"r","outcome":`+string(escaped)+`,"error":`+string(escaped)+`,"ms":1`),
		"unknown": line(`\u202e\u009b`, `"x":1`),
	})
	for _, args := range []string{
		"audit query records", "audit query records --json", "audit query unknown", "audit verify records", "audit verify records --json",
		"policy replay --records records --unverified", "policy replay --records records --unverified --json", "policy learn --records records --unverified", "policy learn --records records --unverified --json",
		"policy diff old.toml new.toml", "policy diff old.toml new.toml --json", "policy diff old.toml new.toml --sarif", "policy diff old.toml new.toml --markdown",
		"policy diff old.toml wrong.toml", "policy explain --function " + hostile + " read /x", "audit query " + hostile, "audit " + hostile, "audit query --kind " + hostile + " records",
	} {
		var out, errs strings.Builder
		Main(strings.Split(args, " "), strings.NewReader(""), &out, &errs)
		if out.Len()+errs.Len() == 0 {
			t.Errorf("weir %q says nothing", args)
		}
		for _, s := range []string{out.String(), errs.String()} {
			if !utf8.ValidString(s) || strings.ContainsAny(s, "\u202e\u2028\u2066\u009b\x1b\x7f") {
				t.Errorf("weir %q prints %q", args, s)
			}
		}
	}
}

// TestRecordsOnATerminalAreHarmless: standard output may be one.
func TestRecordsOnATerminalAreHarmless(t *testing.T) {
	var out bytes.Buffer
	f := recordFlags{file: "-", maxSize: minRecords, keep: 1, given: func(string) bool { return false }}
	to, closeAll, err := f.open(&streams{out: &out}, slog.New(slog.DiscardHandler), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const hostile = "/x\u202e\u009b2J\x1b[2J\xff"
	to.Decided(record.Decision{Time: time.Now(), Verdict: record.Deny, Function: "f", Kind: "read", Target: hostile, Source: record.Shim})
	closeAll()
	if s := strings.TrimSuffix(out.String(), "\n"); weir.Printable(s) != s {
		t.Errorf("%q", s)
	}
	e, err := record.NewReader(&out, "stdout").Next()
	if err != nil || e.Decision == nil || e.Decision.Target != strings.ToValidUTF8(hostile, "\ufffd") {
		t.Errorf("%v %+v", err, e)
	}
}

// TestJSONIsDocumented: --json is one object, each field of it is named in the pages, lists are never null,
// and a decision is allow or deny.
func TestJSONIsDocumented(t *testing.T) {
	var docs strings.Builder
	for _, page := range []string{"cli.md", "policy-cli.md", "learning.md"} {
		b, err := os.ReadFile(filepath.Join("../../docs", page))
		if err != nil {
			t.Fatal(err)
		}
		docs.Write(b)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	writeFiles(t, dir, map[string]string{
		"netlify.toml": "", "netlify/functions/f.js": "exports.handler = async () => {};\n",
		"weir.toml":      "[functions.f]\nhttp = [\"GET *://a.test/**\"]\n",
		"new.toml":       "[functions.f]\nhttp = [\"GET https://b.test/\"]\n",
		"weir.test.toml": "[functions.f]\nallow = [\"GET https://a.test/\"]\ndeny = [\"GET https://a.test/x\"]\n",
		"records": `{"v":2,"type":"decision","time":"2026-01-02T03:04:05Z","decision":"allow","function":"f","instance":"i","kind":"http","method":"GET","target":"https://a.test/","source":"egress"}
{"v":2,"type":"decision","time":"2026-01-02T03:04:05Z","decision":"deny","mode":"monitor","function":"f","instance":"i","kind":"http","method":"GET","target":"https://b.test/","fix":"x","source":"egress"}
`,
	})
	key, err := record.LoadKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := record.OpenFile("chained", record.FileOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var look func(command, key string, v any)
	look = func(command, key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, below := range v {
				if !strings.Contains(docs.String(), `"`+k+`"`) {
					t.Errorf("%s: no page names %q", command, k)
				}
				look(command, k, below)
			}
		case []any:
			for _, below := range v {
				look(command, key, below)
			}
		case nil:
			t.Errorf("%s: %s is null", command, key)
		default:
			if (key == "decision" || key == "expected") && v != "allow" && v != "deny" {
				t.Errorf("%s: %s is %v", command, key, v)
			}
		}
	}
	for _, args := range []string{"audit verify chained --key records.pub", "policy check", "policy explain --function f GET https://a.test/", "policy explain --function f GET https://b.test/",
		"policy diff weir.toml new.toml", "policy test", "policy learn --records records --unverified", "policy replay --records records --policy new.toml --unverified"} {
		var out, errs strings.Builder
		Main(append(strings.Fields(args), "--json"), strings.NewReader(""), &out, &errs)
		var object map[string]any
		if err := json.Unmarshal([]byte(out.String()), &object); err != nil {
			t.Errorf("%s: %v\n%s", args, err, &errs)
		}
		look(args, "", object)
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
	t.Setenv("WEIR_STATE_DIR", stateOf(t))
	site := t.TempDir()
	writeFiles(t, site, map[string]string{"netlify.toml": "[functions]\ndirectory = \"functions\"\n", "functions/hello.js": "exports.handler = async () => ({ statusCode: 204 });\n"})
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
