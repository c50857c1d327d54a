package lint

// Rules that no record shows to be needed.

import (
	"strconv"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/ask"
	"github.com/weir-run/weir/internal/record"
)

// Usage gathers from records what functions did. It is a record.Recorder.
type Usage struct{ functions map[string]*usage }

// usage is what one function did.
type usage struct {
	questions map[string]bool // as for the package ask
	rules     map[string]bool // that allowed something, as written
}

func (u *Usage) of(function string) *usage {
	if u.functions == nil {
		u.functions = map[string]*usage{}
	}
	f := u.functions[function]
	if f == nil {
		f = &usage{map[string]bool{}, map[string]bool{}}
		u.functions[function] = f
	}
	return f
}

// Decided takes a decision. What was denied used no rule. What was let through in monitor mode needs the
// rule that allows it now: a policy that was learned is made from nothing but such calls.
func (u *Usage) Decided(d record.Decision) {
	f := u.of(d.Function)
	if d.Verdict != record.Allow && d.Mode != record.Monitor {
		return
	}
	if written, err := strconv.Unquote(d.Nearest); err == nil && d.Verdict == record.Allow {
		f.rules[d.Kind+" "+written] = true
	}
	switch d.Kind {
	case "http":
		f.questions[d.Method+" "+d.Target] = true
	case "ws":
		f.questions["GET "+d.Target] = true
	default:
		f.questions[d.Kind+" "+d.Target] = true
	}
}

// Invoked takes an invocation: the function was in use.
func (u *Usage) Invoked(i record.Invocation) { u.of(i.Function) }

// Unused finds rules about the network that nothing in the records needed. Of files, programs and
// variables the records hold only what was denied, so nothing is said of those; nor of a function that
// isn't in the records at all.
func (fs *Findings) Unused(e *policy.Engine, u *Usage) {
	p := e.Policy()
	f := u.functions[p.Function]
	if f == nil {
		return
	}
	used := map[int]bool{}
	for q := range f.questions {
		if r, err := ask.Parse(q); err == nil {
			used[e.Decide(&r).Rule] = true
		}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Kind <= policy.DNS && !used[i] && !f.rules[r.Kind.String()+" "+r.Pattern] {
			fs.rule(p, i, Finding{ID: Unused, Text: "was not used by anything in the records", Remedy: "remove it, unless it is for what happens seldom"})
		}
	}
}
