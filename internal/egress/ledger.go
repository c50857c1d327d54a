package egress

// This file exists because everything that is decided becomes a record, every refusal exactly one,
// and a hostile function must not be able to turn that into a flood.

import (
	"strconv"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// maxRecords bounds the records of one invocation from one sandbox, of each fate. Those beyond are
// counted.
const maxRecords = 200

// fate is what became of something that was tried. Each has a bound of its own: what is let through
// can't crowd out what is refused.
type fate uint8

const (
	refused   fate = iota
	monitored      // would be refused if the policy were enforced
	allowed
	fates
)

// further names what of a fate finds no room.
var further = [fates]string{refused: "denials", monitored: "denials", allowed: "calls"}

// ledger writes the records of one sandbox.
type ledger struct {
	recorder record.Recorder
	function string
	instance string

	mu       sync.Mutex
	requests []string // the invocations in flight
	invoked  bool     // one has been, so the import is over
	tallies  [fates]tally
}

// tally is what an invocation has recorded of one fate.
type tally struct {
	count   int // records
	dropped int // decisions that found no room
	last    record.Decision
	seen    map[what]struct{} // what was recorded, if that matters
}

// what is the same in decisions that repeat.
type what struct{ kind, method, target, reason, rule string }

// during names the invocations that are now in flight.
func (l *ledger) during(requests []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := len(requests) > 0 && len(requests) < len(l.requests)
	l.requests, l.invoked = requests, l.invoked || len(requests) > 0
	if ended {
		return // the others go on
	}
	for f := range fates {
		t := &l.tallies[f]
		l.flush(f)
		t.count = 0
		clear(t.seen)
	}
}

// write records a denial.
func (l *ledger) write(r record.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Verdict = record.Deny
	l.add(refused, r)
}

// writeOnce records a denial unless this invocation has one of the same kind, target and reason:
// clients repeat questions and connections by themselves.
func (l *ledger) writeOnce(r record.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Verdict = record.Deny
	if t := &l.tallies[refused]; t.first(&r) {
		l.add(refused, r)
	}
}

// pass records what is let through, a denial that is not enforced or what is allowed. What repeats
// takes no further room: the recorder counts it.
func (l *ledger) pass(f fate, r record.Decision) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Verdict = record.Allow
	if f == monitored {
		r.Verdict, r.Mode = record.Deny, record.Monitor
	}
	if t := &l.tallies[f]; !t.first(&r) {
		l.recorder.Decided(l.signed(r))
		return
	}
	l.add(f, r)
}

// first tells whether this is the first decision of its kind, and notes it if there is room.
func (t *tally) first(r *record.Decision) bool {
	key := what{r.Kind, r.Method, r.Target, r.Reason, r.Rule}
	if _, ok := t.seen[key]; ok {
		return false
	}
	if t.count < maxRecords {
		if t.seen == nil {
			t.seen = map[what]struct{}{}
		}
		t.seen[key] = struct{}{}
	}
	return true
}

func (l *ledger) add(f fate, r record.Decision) {
	r = l.signed(r)
	t := &l.tallies[f]
	if t.count >= maxRecords {
		t.dropped++
		t.last = r
		return
	}
	t.count++
	l.recorder.Decided(r)
}

// signed says when, and who tried.
func (l *ledger) signed(r record.Decision) record.Decision {
	r.Time = time.Now()
	r.Function, r.Instance, r.Import, r.Source = l.function, l.instance, !l.invoked, record.Egress
	r.During(l.requests)
	return r
}

// flush records how many decisions found no room, as the last of them. The caller holds the lock.
func (l *ledger) flush(f fate) {
	t := &l.tallies[f]
	if t.dropped == 0 {
		return
	}
	r := t.last
	if t.dropped > 1 {
		if r.Reason != "" {
			r.Reason += " "
		}
		r.Reason += "(the last of " + strconv.Itoa(t.dropped) + " further " + further[f] + " of this invocation, which are not recorded one by one)"
	}
	l.recorder.Decided(r)
	t.dropped, t.last = 0, record.Decision{}
}

// explained fills a record from a decision of the policy.
func explained(r record.Decision, x policy.Explanation) record.Decision {
	r.Reason, r.Nearest, r.Rule, r.Fix = x.Reason, x.Nearest, x.Rule, x.Fix
	return r
}

// passed records something that is let through before it is.
func (s *Sandbox) passed(r record.Decision, req *policy.Request, d policy.Decision) {
	if d.Allow {
		s.ledger.pass(allowed, s.function.byRule(r, req, d))
		return
	}
	s.ledger.pass(monitored, explained(r, s.function.engine.Explain(req, d)))
}

// byRule fills a record from a decision that allows. The texts of a rule are made once: requests that
// are allowed repeat.
func (f *Function) byRule(r record.Decision, req *policy.Request, d policy.Decision) record.Decision {
	if d.Rule < 0 {
		x := f.engine.Explain(req, d)
		r.Nearest, r.Rule = x.Nearest, x.Rule
		return r
	}
	x := f.texts[d.Rule].Load()
	if x == nil {
		made := f.engine.Explain(req, d)
		x = &made
		f.texts[d.Rule].Store(x)
	}
	r.Nearest, r.Rule = x.Nearest, x.Rule
	return r
}

// maxShown is the longest hostile text in a record, in bytes.
const maxShown = 300

// shown makes hostile text fit for a record: printable ASCII, bounded.
func shown(s string) string {
	cut := ""
	if len(s) > maxShown {
		s, cut = s[:maxShown], "..."
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return strconv.QuoteToASCII(s) + cut
		}
	}
	return s + cut
}
