package record

// Other places for records: people, several places at once, memory.

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// Log tells people of denials, a line each; equal ones within a second are counted. Invocations
// that went wrong are told, too. What is allowed is not told.
type Log struct {
	logger *slog.Logger
	agg    *aggregator
}

// NewLog writes to a logger. It must be closed.
func NewLog(l *slog.Logger) *Log {
	r := &Log{logger: l}
	r.agg = newAggregator(r.tell)
	return r
}

// Decided tells of a denial.
func (r *Log) Decided(d Decision) {
	if d.Verdict != Allow {
		r.agg.add(d)
	}
}

func (r *Log) tell(d Decision) {
	r.logger.Warn(d.String(), "request", strings.Join(d.Among(), " or "))
}

// String gives a decision as one line for people.
func (d Decision) String() string {
	var b strings.Builder
	switch {
	case d.Verdict == Allow:
		b.WriteString("allowed ")
	case d.Mode == Monitor:
		b.WriteString("would deny ")
	default:
		b.WriteString("denied ")
	}
	fmt.Fprintf(&b, "%s: ", d.Function)
	if d.Kind != "http" {
		fmt.Fprintf(&b, "%s ", d.Kind)
	}
	if d.Method != "" {
		fmt.Fprintf(&b, "%s ", d.Method)
	}
	b.WriteString(d.Target)
	if d.Reason != "" {
		b.WriteString(": " + d.Reason)
	}
	if d.Nearest != "" {
		if d.Verdict == Allow {
			fmt.Fprintf(&b, "; by %s", d.Nearest)
		} else {
			fmt.Fprintf(&b, "; nearest rule: %s", d.Nearest)
		}
		if d.Rule != "" {
			fmt.Fprintf(&b, " (%s)", d.Rule)
		}
	}
	if d.Fix != "" {
		fmt.Fprintf(&b, "; allow with %s", d.Fix)
	}
	if d.Count > 0 {
		fmt.Fprintf(&b, " (%d times more)", d.Count)
	}
	return b.String()
}

// String gives an invocation as one line for people.
func (i Invocation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invoked %s: %s in %.1f ms", i.Function, i.Outcome, i.Millis)
	if i.Cold {
		b.WriteString(", cold")
	}
	if i.Error != "" {
		b.WriteString(": " + i.Error)
	}
	return b.String()
}

// Invoked tells of an invocation that the function did not end well.
func (r *Log) Invoked(i Invocation) {
	if i.Outcome != "ok" && i.Outcome != "cancelled" {
		r.logger.Error("invocation failed", "function", i.Function, "request", i.Request, "outcome", i.Outcome, "error", bounded(i.Error))
	}
}

// Close tells what is still counted.
func (r *Log) Close() error {
	r.agg.close()
	return nil
}

// Multi gives each record to all of rs, in order.
func Multi(rs ...Recorder) Recorder { return multi(rs) }

type multi []Recorder

func (m multi) Decided(d Decision) {
	for _, r := range m {
		r.Decided(d)
	}
}

func (m multi) Invoked(i Invocation) {
	for _, r := range m {
		r.Invoked(i)
	}
}

// Memory keeps records, for tests and for telling a story afterwards. It is safe for concurrent use.
type Memory struct {
	mu          sync.Mutex
	decisions   []Decision
	invocations []Invocation
}

// Decided keeps a decision.
func (m *Memory) Decided(d Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.decisions = append(m.decisions, d)
}

// Invoked keeps an invocation.
func (m *Memory) Invoked(i Invocation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.invocations = append(m.invocations, i)
}

// Decisions gives the decisions so far.
func (m *Memory) Decisions() []Decision {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.decisions)
}

// Denials gives the denials so far.
func (m *Memory) Denials() []Decision {
	return slices.DeleteFunc(m.Decisions(), func(d Decision) bool { return d.Verdict == Allow })
}

// Invocations gives the invocations so far.
func (m *Memory) Invocations() []Invocation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Invocation(nil), m.invocations...)
}
