package instance

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
	l.adopt(func(line Line) { lines = append(lines, line.Stream+" "+line.Text) }, Line{}, limit)
	l.begin("r")
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
	}, Line{}, 1<<20)
	const rounds = 2000
	for i := range rounds {
		request := fmt.Sprint("r", i)
		l.begin(request)
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
	l.adopt(func(line Line) { lines = append(lines, line.Text) }, Line{}, 100)
	defer l.close()
	defer l.started()
	e := &weir.FunctionError{}
	for i := range 30 {
		e.Trace = append(e.Trace, fmt.Sprintf("line %02d", i)) // 8 bytes with its end
	}
	l.charge(e)
	if len(e.Trace) != 12 || len(lines) != 1 || !strings.Contains(lines[0], "log limit") {
		t.Errorf("%d lines of the trace are left, and told was %q", len(e.Trace), lines)
	}
}
