package learn

// Replay: what a candidate would change for calls that are on record.

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// maxChanges bounds how many different changes of one function are told apart; the others are counted.
const maxChanges = 1000

// maxAllChanges bounds those of all functions.
const maxAllChanges = 20_000

// Replay asks a candidate about recorded calls. It is a record.Recorder for one goroutine.
type Replay struct {
	Same    int `json:"same"`    // calls that the candidate decides as they were decided
	Unknown int `json:"unknown"` // calls whose record does not hold what the candidate asks for: a query, or a text that was cut
	Denied  int `json:"newly_denied"`
	Allowed int `json:"newly_allowed"`
	Waiting int `json:"left_commented"` // calls let through in monitor mode that only a rule in a comment would allow

	candidate func(function string) (*policy.Engine, error)
	engines   map[string]*policy.Engine
	comments  map[string][]*policy.Engine // what rules in comments would allow, by function
	changes   map[change]*Change
	perName   map[string]int
	err       error
}

// change is what equal changes have in common.
type change struct {
	function, kind, method, target string
	decision                       record.Verdict
}

// Change is a recorded call that the candidate decides otherwise.
type Change struct {
	Function string         `json:"function"`
	Decision record.Verdict `json:"decision"` // the candidate's
	Kind     string         `json:"kind"`
	Method   string         `json:"method,omitempty"`
	Target   string         `json:"target"` // "(others)": those that were too many to be told apart
	Calls    int            `json:"calls"`
	Last     time.Time      `json:"last"`
	Reason   string         `json:"reason,omitempty"`  // of a denial
	Nearest  string         `json:"nearest,omitempty"` // the rule that allows it or came nearest, as written
	Rule     string         `json:"rule,omitempty"`    // FILE:LINE of that rule
}

// NewReplay makes a Replay; candidate gives what the candidate lets a function do, nil if its policy
// is none of the candidate's business. text is that of the candidate, with the rules that learning left in
// comments.
func NewReplay(candidate func(function string) (*policy.Engine, error), text string) *Replay {
	return &Replay{candidate: candidate, comments: commented(text), engines: map[string]*policy.Engine{}, changes: map[change]*Change{}, perName: map[string]int{}}
}

// Invoked does nothing: invocations are not decided on.
func (r *Replay) Invoked(record.Invocation) {}

// Decided asks the candidate about a recorded call. In monitor mode a call counts as it was decided,
// though it was let through.
func (r *Replay) Decided(d record.Decision) {
	n := calls(&d)
	eng := r.engine(&d)
	req, ok := requestOf(&d)
	if eng == nil || !ok || d.Verdict == record.Deny && d.Fix == "" {
		r.Unknown += n // what no rule decides, no candidate changes
		return
	}
	dec := eng.Decide(&req)
	switch {
	case dec.Reason == policy.OtherQuery:
		r.Unknown += n
	case !dec.Allow && d.Verdict == record.Deny && d.Mode == record.Monitor && r.waits(&d, &req):
		r.Waiting += n
	case dec.Allow == (d.Verdict == record.Allow):
		r.Same += n
	case dec.Allow:
		r.Allowed += n
		r.note(&d, record.Allow, eng.Explain(&req, dec))
	default:
		r.Denied += n
		r.note(&d, record.Deny, eng.Explain(&req, dec))
	}
}

// waits tells whether a rule in a comment would allow a call, its query aside.
func (r *Replay) waits(d *record.Decision, req *policy.Request) bool {
	return slices.ContainsFunc(r.comments[d.Function], func(e *policy.Engine) bool { return e.Decide(req).Allow })
}

func (r *Replay) engine(d *record.Decision) *policy.Engine {
	if ofIntrinsic(d) || !validName(d.Function) {
		return nil
	}
	eng, known := r.engines[d.Function]
	if !known && len(r.engines) < maxFunctions {
		var err error
		if eng, err = r.candidate(d.Function); err != nil {
			r.err = cmp.Or(r.err, err)
		}
		r.engines[d.Function] = eng
	}
	return eng
}

func (r *Replay) note(d *record.Decision, v record.Verdict, x policy.Explanation) {
	k := change{d.Function, d.Kind, d.Method, d.Target, v}
	c := r.changes[k]
	if c == nil {
		if r.perName[d.Function] >= maxChanges || len(r.changes) >= maxAllChanges {
			k.kind, k.method, k.target = "", "", "(others)"
			x = policy.Explanation{}
		}
		r.perName[d.Function]++
		if c = r.changes[k]; c == nil {
			c = &Change{Function: k.function, Decision: v, Kind: k.kind, Method: k.method, Target: k.target, Nearest: x.Nearest, Rule: x.Rule}
			if v == record.Deny {
				c.Reason = x.Reason
			}
			r.changes[k] = c
		}
	}
	c.Calls += calls(d)
	for _, t := range [...]time.Time{d.Time, d.Last} {
		if t.After(c.Last) {
			c.Last = t
		}
	}
}

// Changes gives what the candidate decides otherwise, denials first, by function, then the most
// frequent. The error is the first of the candidate's.
func (r *Replay) Changes() ([]Change, error) {
	out := []Change{}
	for _, c := range r.changes {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Change) int {
		return cmp.Or(-strings.Compare(string(a.Decision), string(b.Decision)), strings.Compare(a.Function, b.Function), b.Calls-a.Calls,
			strings.Compare(a.Target, b.Target), strings.Compare(a.Method, b.Method), strings.Compare(a.Kind, b.Kind))
	})
	return out, r.err
}
