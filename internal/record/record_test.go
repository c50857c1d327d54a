package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var testKey = sync.OnceValue(func() *Key {
	dir, err := os.MkdirTemp("", "weir-record-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	k, err := LoadKey(dir)
	if err != nil {
		panic(err)
	}
	return k
})

// open opens a file of records as a server does.
func open(t testing.TB, path string, o FileOptions) *File {
	t.Helper()
	if o.Key == nil {
		o.Key = testKey()
	}
	f, err := OpenFile(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written gives the records that use leaves in a file.
func written(t *testing.T, use func(*File)) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{})
	use(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return lines(t, path)
}

// lines gives the records of a file, without what makes the chain.
func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Errorf("the last line has no end: %q", b)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("a line is not JSON: %q", line)
		}
		if strings.HasPrefix(line, `{"v":2,"type":"decision"`) || strings.HasPrefix(line, `{"v":2,"type":"invocation"`) || strings.HasPrefix(line, `{"v":2,"type":"change"`) || strings.HasPrefix(line, `{"v":2,"type":"dropped"`) {
			rest, _, ok := without([]byte(line), "prev", hashLen)
			if !ok {
				t.Errorf("a line is not chained: %q", line)
			}
			out = append(out, strings.TrimSuffix(string(rest), "\n"))
		}
	}
	return out
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 5e8, time.UTC)

func TestLineFormat(t *testing.T) {
	got := written(t, func(f *File) {
		f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Instance: "i1", Request: "r1", Kind: "http", Method: "POST", Target: "https://evil.test/x",
			Reason: "no rule names evil.test", Nearest: "GET https://api.test/*", Rule: "weir.toml:4", Fix: `http = ["POST https://evil.test/x"]`, Source: Egress})
		f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Instance: "i1", Kind: "syscall", Target: "ptrace", Reason: "never", Source: Kernel})
		f.Invoked(Invocation{Time: noon, Function: "fn", Instance: "i1", Request: "r1", Outcome: "ok", Millis: 1.5, Cold: true})
		f.Invoked(Invocation{Time: noon, Function: "fn", Request: "r2", Outcome: "broken", Error: "no handler"})
	})
	want := []string{
		`{"v":2,"type":"decision","time":"2026-01-02T12:00:00.5Z","decision":"deny","function":"fn","instance":"i1","request":"r1","kind":"http","method":"POST","target":"https://evil.test/x","reason":"no rule names evil.test","nearest":"GET https://api.test/*","rule":"weir.toml:4","fix":"http = [\"POST https://evil.test/x\"]","source":"egress"}`,
		`{"v":2,"type":"decision","time":"2026-01-02T12:00:00.5Z","decision":"deny","function":"fn","instance":"i1","kind":"syscall","target":"ptrace","reason":"never","source":"kernel"}`,
		`{"v":2,"type":"invocation","time":"2026-01-02T12:00:00.5Z","function":"fn","instance":"i1","request":"r1","outcome":"ok","ms":1.5,"cold":true}`,
		`{"v":2,"type":"invocation","time":"2026-01-02T12:00:00.5Z","function":"fn","request":"r2","outcome":"broken","ms":0,"cold":false,"error":"no handler"}`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestHostileTextIsOneBoundedLine(t *testing.T) {
	for name, s := range map[string]string{
		"long":          strings.Repeat("a", 1<<20),
		"long umlauts":  "a" + strings.Repeat("ü", 1<<20),
		"invalid UTF-8": strings.Repeat("\xff\x80", 1<<20),
		"continuation":  strings.Repeat("\x80", 1<<20),
		"line ends":     strings.Repeat("\r\n\u2028\u0085", 1000),
		"forged line":   "x\"}\n{\"v\":1,\"type\":\"denial\"}",
		"escapes":       "\x1b[2J\x00\x07",
	} {
		t.Run(name, func(t *testing.T) {
			got := written(t, func(f *File) {
				f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Kind: "http", Method: s, Target: s, Reason: s, Nearest: s, Rule: s, Fix: s})
				f.Invoked(Invocation{Time: noon, Function: "fn", Error: s})
			})
			if len(got) != 2 {
				t.Fatalf("%d lines", len(got))
			}
			var d Decision
			if err := json.Unmarshal([]byte(got[0]), &d); err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{d.Method, d.Target, d.Reason, d.Nearest, d.Rule, d.Fix} {
				if n := len([]rune(field)); n > maxText+1 {
					t.Errorf("%d characters", n)
				}
				if strings.HasSuffix(name, "umlauts") && strings.ContainsRune(field, '\ufffd') {
					t.Error("cut inside a character")
				}
			}
			if strings.ContainsAny(got[0], "\x1b\x00\x07\r") {
				t.Errorf("control characters in %.80q", got[0])
			}
		})
	}
}

// total counts the denials that lines stand for.
func total(t *testing.T, lines []string) int {
	t.Helper()
	n := 0
	for _, l := range lines {
		var d Decision
		if err := json.Unmarshal([]byte(l), &d); err != nil {
			t.Fatal(err)
		}
		n += max(1, d.Count)
	}
	return n
}

func TestEqualDenialsAreCounted(t *testing.T) {
	const n = 1000
	got := written(t, func(f *File) {
		for i := range n {
			f.Decided(Decision{Time: noon.Add(time.Duration(i)), Function: "fn", Kind: "http", Target: "https://evil.test/"})
		}
	})
	// One line at once and one for each window that the loop touched: two unless this machine stalls.
	if len(got) > 50 {
		t.Errorf("%d lines", len(got))
	}
	if c := total(t, got); c != n {
		t.Errorf("%d denials, want %d", c, n)
	}
	var last Decision
	if err := json.Unmarshal([]byte(got[len(got)-1]), &last); err != nil || !last.Last.Equal(noon.Add(n-1)) && last.Count > 0 {
		t.Errorf("the last was at %v: %v", last.Last, err)
	}
}

func TestFirstOfEqualDenialsIsWrittenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{})
	defer f.Close()
	f.Decided(Decision{Function: "fn", Target: "a"})
	if got := lines(t, path); len(got) != 1 {
		t.Errorf("%d lines before Close", len(got))
	}
}

func TestWindowEndsByItself(t *testing.T) {
	emitted := make(chan Decision, 10)
	a := newAggregator(func(d Decision) { emitted <- d })
	defer a.close()
	a.add(Decision{Target: "x"})
	a.add(Decision{Target: "x"})
	if d := <-emitted; d.Count != 0 {
		t.Errorf("first: %+v", d)
	}
	if d := <-emitted; d.Count != 1 { // no Close was needed
		t.Errorf("counted: %+v", d)
	}
}

func TestDifferentDenialsAreToldApart(t *testing.T) {
	base := Decision{Function: "fn", Request: "r", Kind: "http", Method: "GET", Target: "t", Reason: "x"}
	different := []Decision{base}
	for _, change := range []func(*Decision){
		func(d *Decision) { d.Function = "2" }, func(d *Decision) { d.Request = "2" }, func(d *Decision) { d.Kind = "ws" },
		func(d *Decision) { d.Method = "PUT" }, func(d *Decision) { d.Target = "2" }, func(d *Decision) { d.Reason = "2" },
	} {
		d := base
		change(&d)
		different = append(different, d)
	}
	got := written(t, func(f *File) {
		for _, d := range different {
			f.Decided(d)
		}
	})
	if len(got) != len(different) {
		t.Errorf("%d lines of %d different denials", len(got), len(different))
	}
}

func TestTooManyDifferentDenialsLoseNoCount(t *testing.T) {
	const n = 5 * maxKeys
	var out []Decision
	a := newAggregator(func(d Decision) { out = append(out, d) })
	a.close() // no window ends during the test
	for i := range n {
		a.add(Decision{Function: fmt.Sprint("fn", i%2), Kind: "http", Target: fmt.Sprint(i), Nearest: "n", Fix: "f"})
	}
	a.flush()
	if len(out) != 2*maxKeys+4 { // both functions: those told apart, a first of the others and a count
		t.Errorf("%d lines", len(out))
	}
	sum := 0
	for _, d := range out {
		sum += max(1, d.Count)
	}
	if sum != n {
		t.Errorf("%d denials, want %d", sum, n)
	}
	if d := out[2*maxKeys]; d.Target != "(many)" || d.Reason == "" || d.Fix != "" || d.Nearest != "" {
		t.Errorf("overflow: %+v", d)
	}
	out = nil
	a.add(Decision{Function: "fn0", Kind: "http", Target: "again"})
	if len(out) != 1 || out[0].Target != "again" {
		t.Errorf("a new window still counts the old one: %+v", out)
	}
}

// TestAdvisoryWordHidesNoFact: code inside a process may tell of anything, so what it tells must not
// take in what the kernel saw.
func TestAdvisoryWordHidesNoFact(t *testing.T) {
	got := written(t, func(f *File) {
		d := Decision{Time: noon, Verdict: Deny, Function: "fn", Request: "r", Kind: "exec", Target: "/bin/sh", Reason: "no rule names it", Source: Shim}
		f.Decided(d)
		d.Source = Kernel
		f.Decided(d)
	})
	if len(got) != 2 || !strings.Contains(got[1], `"source":"kernel"`) {
		t.Errorf("the fact is missing:\n%s", strings.Join(got, "\n"))
	}
}

func TestDenialsOfTwoInstancesAreToldApart(t *testing.T) {
	got := written(t, func(f *File) { // at import: no request tells them apart
		f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Instance: "i1", Kind: "read", Target: "/x"})
		f.Decided(Decision{Time: noon, Verdict: Deny, Function: "fn", Instance: "i2", Kind: "read", Target: "/x"})
	})
	if len(got) != 2 || !strings.Contains(got[1], `"instance":"i2"`) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// TestFloodCrowdsOutNothing: neither another function's denials nor the facts about its own function.
func TestFloodCrowdsOutNothing(t *testing.T) {
	var out []Decision
	a := newAggregator(func(d Decision) { out = append(out, d) })
	a.close() // no window ends during the test
	for i := range 2 * maxKeys {
		a.add(Decision{Function: "noisy", Instance: "i1", Request: "r", Kind: "read", Target: fmt.Sprint(i), Source: Shim})
	}
	if d := out[len(out)-1]; d.Target != "(many)" || d.Source != Shim || d.Request != "" || d.Instance != "" {
		t.Errorf("one line for denials of many requests says %+v", d)
	}
	for _, d := range []Decision{
		{Function: "noisy", Kind: "read", Target: "/fact", Source: Kernel},
		{Function: "quiet", Kind: "read", Target: "/quiet", Source: Shim},
	} {
		a.add(d)
		if last := out[len(out)-1]; !reflect.DeepEqual(last, d) {
			t.Errorf("%+v was recorded as %+v", d, last)
		}
	}
}

func TestConcurrentWriters(t *testing.T) {
	const writers, each = 16, 200
	got := written(t, func(f *File) {
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					f.Decided(Decision{Function: fmt.Sprint(w), Kind: "http", Target: fmt.Sprint(i % 10)})
					f.Invoked(Invocation{Function: fmt.Sprint(w), Outcome: "ok"})
				}
			})
		}
		wg.Wait()
	})
	var denials []string
	for _, l := range got {
		if strings.Contains(l, `"type":"decision"`) {
			denials = append(denials, l)
		}
	}
	if n := len(got) - len(denials); n != writers*each {
		t.Errorf("%d invocations", n)
	}
	if n := total(t, denials); n != writers*each {
		t.Errorf("%d denials", n)
	}
}

func TestAppendsToWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	for range 2 {
		f := open(t, path, FileOptions{})
		f.Invoked(Invocation{Function: "fn"})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := lines(t, path); len(got) != 2 {
		t.Errorf("%d lines", len(got))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v: others may read it", info.Mode(), err)
	}
}

func TestUnwritablePath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "records")
	if f, err := OpenFile(path, FileOptions{Key: testKey()}); !errors.Is(err, fs.ErrNotExist) || f != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v %v", f, err)
	}
}

func TestLostRecordsAreTold(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "records")
	f := open(t, path, FileOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	withFileSize(t, uint64(info.Size()), func() {
		f.Invoked(Invocation{Function: "fn"})
		f.Decided(Decision{Function: "fn"})
		if got := log.String(); strings.Count(got, "records are being lost") != 1 {
			t.Errorf("the log says %q", got)
		}
		if err := f.Close(); err == nil || !strings.Contains(err.Error(), "file too large") {
			t.Errorf("error %v", err)
		}
	})
}

// TestFullDiskLeavesNoSilentGap lets writes fail after each number of bytes, and the next ones succeed:
// every record is there or counted, and every line is whole.
func TestFullDiskLeavesNoSilentGap(t *testing.T) {
	for room := range uint64(400) {
		path := filepath.Join(t.TempDir(), "records")
		f := open(t, path, FileOptions{})
		f.Invoked(Invocation{Function: "before"})
		for range 2 { // the disk fills up a second time while the gap is told
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			withFileSize(t, uint64(info.Size())+room, func() {
				for range 3 {
					f.Invoked(Invocation{Function: "full"})
				}
			})
		}
		f.Invoked(Invocation{Function: "after"})
		got, n := lines(t, path), 0
		for _, l := range got {
			var v struct {
				Type  string
				Count int
			}
			if err := json.Unmarshal([]byte(l), &v); err != nil {
				t.Fatal(err)
			}
			n += v.Count
			if v.Type == "invocation" {
				n++
			}
		}
		if n != 8 || !strings.Contains(got[len(got)-1], `"function":"after"`) {
			t.Fatalf("room for %d bytes: %d of 8 records accounted for in\n%s", room, n, strings.Join(got, "\n"))
		}
		err := f.Close()
		if lost := strings.Contains(strings.Join(got, ""), `"dropped"`); lost != (err != nil) {
			t.Fatalf("room for %d bytes: error %v", room, err)
		}
	}
}

func TestCloseEndsWhatIsOpen(t *testing.T) {
	for room, want := range map[uint64]string{0: `"type":"dropped"`, 9: `"type":"invocation"`} {
		path := filepath.Join(t.TempDir(), "records")
		f := open(t, path, FileOptions{})
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		withFileSize(t, uint64(info.Size())+room, func() { f.Invoked(Invocation{Function: "fn"}) })
		if err := f.Close(); (err != nil) != (room == 0) {
			t.Errorf("room for %d bytes: error %v", room, err)
		}
		if got := lines(t, path); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("room for %d bytes: got %q", room, got)
		}
	}
}

// withFileSize lets no file of this process grow beyond size while do runs: the kernel then cuts a
// write(2) short, as a full disk does.
func withFileSize(t *testing.T, size uint64, do func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	do()
}

func TestLogTellsPeople(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&b, nil)))
	l.Decided(Decision{Function: "fn", Request: "r1", Kind: "tcp", Target: "evil.test:25\x1b[2J\n", Reason: "no rule names it", Nearest: "mail.test:25", Rule: "weir.toml:3", Fix: `tcp = ["evil.test:25"]`})
	l.Decided(Decision{Function: "fn", Request: "r1", Kind: "tcp", Target: "evil.test:25\x1b[2J\n", Reason: "no rule names it"})
	l.Invoked(Invocation{Function: "fn", Outcome: "ok"})
	l.Invoked(Invocation{Function: "fn", Request: "r1", Outcome: "crashed", Error: "gone"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{"denied fn: tcp evil.test:25", "no rule names it; nearest rule: mail.test:25 (weir.toml:3); allow with tcp = ", "(1 times more)", "outcome=crashed"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Count(got, "\n") != 3 || strings.Contains(got, "\x1b") {
		t.Errorf("hostile text reached the terminal:\n%q", got)
	}
}

func TestMultiGivesToAll(t *testing.T) {
	var a, b Memory
	m := Multi(&a, &b)
	m.Decided(Decision{Function: "fn"})
	m.Invoked(Invocation{Function: "fn"})
	for _, r := range []*Memory{&a, &b} {
		if len(r.Denials()) != 1 || len(r.Invocations()) != 1 {
			t.Errorf("%v %v", r.Denials(), r.Invocations())
		}
	}
}
