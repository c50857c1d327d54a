package instance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// printed gives what is logged of an invocation that prints this to standard error, and whether its heap
// was full.
func printed(t *testing.T, limit int64, pieces ...string) (lines []string, heapFull bool) {
	t.Helper()
	l, err := newLogs()
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(func(line Line) { lines = append(lines, line.Stream+" "+line.Text) }, Line{}, limit, "")
	l.begin("r", []string{"r"})
	for _, s := range pieces {
		if _, err := l.stderr.WriteString(s); err != nil {
			t.Fatal(err)
		}
		l.drain() // so that each piece is read by itself
	}
	l.started()
	l.close()
	return lines, l.heapFull()
}

const limitReached = "stderr (log limit reached: the rest of this invocation's output is dropped; raise limits.log)"

// TestLogLimit: lines count until there is room for no more, which is said once.
func TestLogLimit(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"one\ntwo\n", []string{"stderr one", "stderr two"}},
		{"one\nlonger\nx\n", []string{"stderr one", limitReached}},
		{strings.Repeat("x", 100) + "\n" + strings.Repeat("y\n", 40000), []string{limitReached}},
		{"unended", []string{"stderr unended"}},
		{"\xff\n", []string{"stderr �"}},
	} {
		if got, _ := printed(t, 8, c.text); !slices.Equal(got, c.want) {
			t.Errorf("%.20q: %q", c.text, got)
		}
	}
}

// TestLastWords: that V8's heap was full is known whatever was printed before.
func TestLastWords(t *testing.T) {
	const words = "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n"
	for _, c := range []struct {
		pieces []string
		want   bool
	}{
		{[]string{words}, true},
		{[]string{"a line\n", words[:60], words[60:]}, true},
		{[]string{strings.Repeat("flood\n", 5000), words}, true},
		{[]string{strings.Repeat("flood\n", 5000), words[:60], words[60:]}, true},
		{[]string{"JavaScript heap\n", "out of memory\n"}, false},
		{[]string{strings.Repeat("flood\n", 5000)}, false},
	} {
		if _, got := printed(t, 1000, c.pieces...); got != c.want {
			t.Errorf("%.40q: %t", c.pieces, got)
		}
	}
}

// TestWhatWasPrintedBeforeIsTheLastInvocations: however late its output is read, a line belongs to the
// invocation that printed it.
func TestWhatWasPrintedBeforeIsTheLastInvocations(t *testing.T) {
	var wrong, lines int
	l, err := newLogs()
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(func(line Line) {
		lines++
		if line.Text != line.Request {
			wrong++
		}
	}, Line{}, 1<<20, "")
	const rounds = 2000
	for i := range rounds {
		request := fmt.Sprint("r", i)
		l.begin(request, []string{request})
		if _, err := l.stdout.WriteString(strings.Repeat(request+"\n", 20)); err != nil {
			t.Fatal(err)
		}
	}
	l.started()
	l.close()
	if wrong > 0 || lines != 20*rounds {
		t.Errorf("of %d lines, %d belong to another invocation", lines, wrong)
	}
}

// TestTraceCountsAsOutput: what is logged of an error comes out of the same budget.
func TestTraceCountsAsOutput(t *testing.T) {
	var lines []string
	l, err := newLogs()
	if err != nil {
		t.Fatal(err)
	}
	l.adopt(func(line Line) { lines = append(lines, line.Text) }, Line{}, 100, "")
	defer l.close()
	defer l.started()
	e := &weir.FunctionError{}
	for i := range 30 {
		e.Trace = append(e.Trace, fmt.Sprintf("line %02d", i)) // 8 bytes with its end
	}
	l.charge("r", e)
	if len(e.Trace) != 12 || len(lines) != 1 || !strings.Contains(lines[0], "log limit") {
		t.Errorf("%d lines of the trace are left, and told was %q", len(e.Trace), lines)
	}
}

// TestMarksSayWhoPrinted: a line that several have printed becomes theirs, each has its own budget, and a mark that
// names none in flight makes a line nobody's.
func TestMarksSayWhoPrinted(t *testing.T) {
	const a, b, end = "\x00tag a\x00", "\x00tag b\x00", "\x00tag \x00"
	long := strings.Repeat("x", maxLine-20)
	for text, want := range map[string][]string{
		a + "one\n" + b + "two\nthree\n":          {"a one", "b two", "a|b three"},
		a + "o" + end + a + "ne\n":                {"a one"},
		a + "o" + end + b + "two\n":               {"a o", "b two"},
		a + "o" + end + "raw\n":                   {"a o", "a|b raw"},
		a + "\n":                                  {"a "},
		"\n":                                      {"a|b "},
		"\x00tag gone\x00one\n":                   {" one"},
		"\x00tag a":                               {"a|b "},
		"\x00other a\x00one\n":                    {"a|b \x00other a\x00one"},
		a + long + strings.Repeat("y", 30) + "\n": {"a " + long + strings.Repeat("y", 20-len(a)), "a " + strings.Repeat("y", 10+len(a))},
		a + long + b + "two\n":                    {"a " + long, "b two"},
		strings.Repeat(a+"1234567\n", 5000) + b + "two\nraw\n": append(slices.Repeat([]string{"a 1234567"}, 4096), "a "+limitReached[len("stderr "):], "b two", "a|b raw"),
	} {
		l, err := newLogs()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		l.adopt(func(line Line) {
			got = append(got, line.Request+strings.Join(line.Among, "|")+" "+line.Text)
		}, Line{}, 1<<15, "tag")
		l.begin("gone", []string{"gone"})
		l.begin("a", []string{"a"})
		l.begin("b", []string{"a", "b"})
		go func() {
			l.stderr.WriteString(text)
			l.started()
		}()
		l.done.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("%.60q: %.300q", text, got)
		}
	}
}

// TestOverlappingInvocationsAreToldApart: by all ways that go through Node.js; what goes round it is put down to none
// alone.
func TestOverlappingInvocationsAreToldApart(t *testing.T) {
	for name, forked := range map[string]bool{"started": false, "forked": true} {
		t.Run(name, func(t *testing.T) { toldApart(t, forked) })
	}
}

func toldApart(t *testing.T, forked bool) {
	w := newWorld(t, FleetOptions{})
	if forked {
		w = forkingWorld(t, FleetOptions{})
	}
	var mu sync.Mutex
	printed := map[string]string{}
	w.log = func(l Line) {
		mu.Lock()
		defer mu.Unlock()
		printed[l.Stream+" "+l.Text] = l.Request + strings.Join(l.Among, "|")
	}
	p := w.pool(mayWriteTmp(weir.Running{Concurrency: 2}), `
const wait = (ms) => new Promise((r) => setTimeout(r, ms));
let arrived = 0, both;
const met = new Promise((r) => { both = r; });
exports.handler = async (e) => {
  if (e === 'alone') return;
  const waiting = setInterval(() => {}, 1000); // else nothing could come any more that answers
  if (++arrived === 2) both();
  await met;
  clearInterval(waiting);
  console.log('log %s', e);
  await wait(10);
  console.error(e + ' first\n' + e + ' second');
  process.stdout.write(Buffer.from(e + ' bytes ü\n'));
  process.stdout.write(Buffer.from(e + ' hex\n').toString('hex'), 'hex', () => {});
  await new Promise((r) => setTimeout(() => { console.log(e, 'timer'); r(); }, 10));
  process.stderr.write(e + ' unended');
  await wait(10);
  process.stderr.write('\n');
  require('fs').writeSync(1, e + ' raw\n');
};`, nil)
	if forked {
		w.bred(p, `"alone"`)
		w.emptied(p)
	}
	_, first := call(t, p, `"alone"`)
	if (first.Start == record.FromZygote) != forked {
		t.Errorf("it comes from %q", first.Start)
	}
	var callers sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		callers.Go(func() {
			if _, _, err := p.Invoke(t.Context(), weir.Invocation{ID: id, Function: "f", Event: json.RawMessage(`"` + id + `"`)}); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	p.Close()
	for _, id := range []string{"a", "b"} {
		for _, line := range []string{"stdout log " + id, "stderr " + id + " first", "stderr " + id + " second", "stdout " + id + " bytes ü", "stdout " + id + " hex", "stdout " + id + " timer", "stderr " + id + " unended"} {
			if printed[line] != id {
				t.Errorf("%s: %q", line, printed[line])
			}
		}
	}
	if got := printed["stdout a raw"]; got == "b" || got == "" {
		t.Errorf("what nobody marked is %q's", got)
	}
	if t.Failed() {
		t.Logf("%q", printed)
	}
}
