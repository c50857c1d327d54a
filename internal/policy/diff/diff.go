// Package diff says which privileges functions gain and lose from one set of policies to another: by
// what is allowed, not by how it is written. Where that can't be told for sure, it says gained. It must
// not know where policies come from, nor how anything is enforced.
//
// # What counts
//
// Rules are compared as sets of requests (policy.Coverage): a rule that others of before allow,
// alone or together, is no gain, wherever it stands now. Kinds are not compared with each other: a tcp
// rule in place of an http rule, or the reverse, is a gain and a loss. A rule that names a host which
// only a wildcard named before is a gain, since it may now lead to a private address.
//
// A budget is taken from by one rule: the first that fits. So a rule with a budget is no gain if rules
// without one allowed the same, or one rule with no smaller budget did that no other rule has taken the
// place of; and what stood behind a rule with a budget must still stand behind it.
//
// What a ceiling cuts is cut before (policy.Cut), from each side when it was deployed: what nobody may have is no gain.
//
// The mode, native libraries and each limit count by themselves. A function that is new had nothing
// before, and the default limits.
package diff

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// Change is one privilege that a function gained or lost.
type Change struct {
	Function string        `json:"function"`
	Gained   bool          `json:"gained"`            // else it was lost
	Kind     string        `json:"kind"`              // of the rule; or mode, addons, limit
	What     string        `json:"what"`              // the rule as written, or the setting before and after
	Why      string        `json:"why,omitempty"`     // if What does not say it
	Example  string        `json:"example,omitempty"` // a request that shows it
	Place    string        `json:"place,omitempty"`   // Pos as text
	Pos      weir.Position `json:"-"`                 // in the policies after for a gain, before for a loss
}

// Result is all that changed.
type Result struct {
	Changes []Change // by function; gains first
	Added   []string // functions that are new
	Removed []string // functions that are gone
}

// Gains counts the privileges gained.
func (r Result) Gains() int {
	n := 0
	for _, c := range r.Changes {
		if c.Gained {
			n++
		}
	}
	return n
}

// Losses counts the privileges lost.
func (r Result) Losses() int { return len(r.Changes) - r.Gains() }

// Compare compares the policies of functions before and after. Errors are those of policy.Compile.
func Compare(before, after map[string]*policy.Policy) (Result, error) {
	var r Result
	names := slices.Sorted(maps.Keys(before))
	names = append(names, slices.Sorted(maps.Keys(after))...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		a, b := before[name], after[name]
		switch {
		case a == nil:
			r.Added = append(r.Added, name)
			a = &policy.Policy{Function: name}
		case b == nil:
			r.Removed = append(r.Removed, name)
			b = &policy.Policy{Function: name}
		}
		changes, err := compare(name, a, b)
		if err != nil {
			return Result{}, err
		}
		r.Changes = append(r.Changes, changes...)
	}
	return r, nil
}

// side is one of the two policies of a function.
type side struct {
	policy   *policy.Policy
	coverage *policy.Coverage
}

func newSide(p *policy.Policy) (side, error) {
	e, err := policy.Compile(p)
	if err != nil {
		return side{}, err
	}
	return side{p, policy.NewCoverage(e)}, nil
}

func compare(function string, before, after *policy.Policy) ([]Change, error) {
	a, err := newSide(before)
	if err != nil {
		return nil, err
	}
	b, err := newSide(after)
	if err != nil {
		return nil, err
	}
	gained, lost := beyond(b, a), beyond(a, b)
	settings(before, after, func(gain bool, c Change) {
		if gain {
			gained = append(gained, c)
		} else {
			lost = append(lost, c)
		}
	})
	for i := range gained {
		gained[i].Gained = true
	}
	all := append(gained, lost...)
	for i := range all {
		all[i].Function, all[i].Place = function, all[i].Pos.String()
	}
	return all, nil
}

// beyond gives what the rules of s allow beyond those of o, as changes.
func beyond(s, o side) []Change {
	var out []Change
	m := matcher{s: s, o: o, taken: map[int]bool{}}
	m.match()
	for i := range s.policy.Rules {
		r := &s.policy.Rules[i]
		if m.covered[i] || r.Kind == policy.Env && o.policy.Intrinsic {
			continue
		}
		c := Change{Kind: r.Kind.String(), What: text(r), Pos: r.Pos, Example: m.gaps[i].Example}
		c.Why = m.why(r, m.gaps[i])
		out = append(out, c)
	}
	if s.policy.Intrinsic && !o.policy.Intrinsic {
		out = append(out, Change{Kind: policy.Env.String(), What: "all of the site's variables", Why: "Intrinsic has no rules for variables",
			Pos: weir.Position{File: s.policy.Source}})
	}
	return out
}

// text gives a rule as a person wrote it, with its query and budget.
func text(r *policy.Rule) string {
	s := r.Pattern
	if r.Kind == policy.WS {
		s = "GET " + s
	}
	if r.Query != nil {
		s += " query {"
		for i, q := range r.Query {
			if i > 0 {
				s += ","
			}
			s += fmt.Sprintf(" %s = %q", q.Name, q.Value)
		}
		s += " }"
	}
	if r.Budget != nil {
		s += " (" + r.Budget.String() + ")"
	}
	return s
}
