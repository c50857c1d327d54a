package learn

// Tightening: which rules of a policy nobody used, and for how long. Nothing is taken away; a person
// decides.

import (
	"slices"
	"strconv"
	"time"

	"github.com/weir-run/weir/internal/policy"
)

// Grant is a rule that the policy has.
type Grant struct {
	Function string    `json:"function"`
	Key      string    `json:"key"`
	Rule     string    `json:"rule"`
	Place    string    `json:"place"` // FILE:LINE
	Calls    int       `json:"calls"`
	LastUse  time.Time `json:"last_use,omitzero"` // zero: never in the records
	Unused   bool      `json:"unused"`            // never, or not for staleAfter

	line int
}

// staleAfter is how long before the end of the records a use lies that no longer counts as one.
const staleAfter = 30 * 24 * time.Hour

// grants gives the rules whose use is on record: what the egress allows always is; which variables are
// read is known if the function ran in monitor mode; files and programs leave no record when allowed.
func (f *function) grants(name string, eng *policy.Engine) []Grant {
	p := eng.Policy()
	if f.intrinsic || p.Intrinsic {
		return nil
	}
	asked := f.asked(eng)
	var out []Grant
	for i := range p.Rules {
		r := &p.Rules[i]
		switch r.Kind {
		case policy.HTTP, policy.WS, policy.TCP, policy.UDP, policy.DNS:
		case policy.Env:
			if !f.learned(policy.Env) {
				continue
			}
		default:
			continue
		}
		g := Grant{Function: name, Key: keyOf(r.Kind), Rule: r.Pattern, Place: r.Pos.String(), line: r.Pos.Line}
		if u := f.used[grant{r.Kind, strconv.QuoteToASCII(r.Pattern)}]; u != nil {
			g.Calls, g.LastUse = u.calls, u.last
		}
		if u := asked[i]; u.last.After(g.LastUse) {
			g.Calls, g.LastUse = max(u.calls, g.Calls), u.last
		}
		out = append(out, g)
	}
	return out
}

// asked gives the use of rules by what was tried: a call that was recorded as a denial, before there was
// the rule, would have used it.
func (f *function) asked(eng *policy.Engine) map[int]use {
	out := map[int]use{}
	f.each(func(t *tried) {
		if d := eng.Decide(&t.request); d.Allow && d.Rule >= 0 {
			u := out[d.Rule]
			u.calls += t.calls
			u.seen(t.last)
			out[d.Rule] = u
		}
	})
	return out
}

// learned tells whether there are records of a kind at all.
func (f *function) learned(k policy.Kind) bool {
	for key := range f.flat {
		if key.kind == k {
			return true
		}
	}
	for g := range f.used {
		if g.kind == k {
			return true
		}
	}
	return false
}

// mark says which grants are unused, given when the records end.
func mark(grants []Grant, end time.Time) {
	for i := range grants {
		g := &grants[i]
		g.Unused = g.LastUse.IsZero() || end.Sub(g.LastUse) > staleAfter
	}
}

// Unused gives the grants that nobody used.
func (p *Proposal) Unused() []Grant {
	return slices.DeleteFunc(slices.Clone(p.Grants), func(g Grant) bool { return !g.Unused })
}

// idle says for how long a grant was not used.
func (g *Grant) idle(from, to time.Time) string {
	if g.LastUse.IsZero() {
		return "never in these records (" + span(from, to) + ", " + days(to.Sub(from)) + ")"
	}
	return "last used " + g.LastUse.UTC().Format(time.DateOnly) + ", " + days(to.Sub(g.LastUse)) + " before the records end"
}

func days(d time.Duration) string {
	if d < 24*time.Hour {
		return "less than a day"
	}
	return count(int(d.Hours()/24), "day")
}
