package diff

// Which rules of one policy the other makes up for.

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/internal/policy"
)

// matcher finds for each rule of s whether o allows the same.
type matcher struct {
	s, o     side
	covered  []bool
	gaps     []policy.Gap
	taken    map[int]bool     // rules of o with a budget whose place one of s has taken
	caps     map[int][]int    // rules of o with a budget that come before a rule of o and take from its requests
	budgeted map[string][]int // rules of s with a budget, by key
	blind    bool             // there were too many rules to fill caps
	patterns map[string][]int // rules of o, by patternKey
}

func (m *matcher) match() {
	m.covered = make([]bool, len(m.s.policy.Rules))
	m.gaps = make([]policy.Gap, len(m.s.policy.Rules))
	if slices.EqualFunc(m.s.policy.Rules, m.o.policy.Rules, sameRule) {
		for i := range m.covered {
			m.covered[i] = true
		}
		return
	}
	m.patterns = map[string][]int{}
	for j := range m.o.policy.Rules {
		k := patternKey(&m.o.policy.Rules[j])
		m.patterns[k] = append(m.patterns[k], j)
	}
	m.findCaps()
	_, m.budgeted = byKey(m.s.policy)
	written, limited := byKey(m.o.policy)
	for i := range m.s.policy.Rules {
		same := func(j int) bool { return m.standsBehind(i, j) }
		if slices.ContainsFunc(written[key(&m.s.policy.Rules[i])], same) {
			m.covered[i] = true // most rules stay as they are
			continue
		}
		m.covered[i], m.gaps[i] = m.s.coverage.Covered(i, m.o.coverage, func(j int) bool {
			return m.o.policy.Rules[j].Budget == nil && m.standsBehind(i, j)
		})
	}
	// The rule that it was goes before any other whose place it could take.
	for i := range m.s.policy.Rules {
		m.covered[i] = m.covered[i] || m.takes(i, limited[key(&m.s.policy.Rules[i])])
	}
	for i := range m.s.policy.Rules {
		m.covered[i] = m.covered[i] || m.s.policy.Rules[i].Budget != nil && m.takes(i, m.s.coverage.Near(i, m.o.coverage))
	}
}

// byKey gives the rules of a policy by their keys: those without a budget, and those with one.
func byKey(p *policy.Policy) (free, limited map[string][]int) {
	free, limited = map[string][]int{}, map[string][]int{}
	for j := range p.Rules {
		m := free
		if p.Rules[j].Budget != nil {
			m = limited
		}
		k := key(&p.Rules[j])
		m[k] = append(m[k], j)
	}
	return free, limited
}

// key is equal for rules that are about the same requests as they are written.
func key(r *policy.Rule) string {
	return fmt.Sprintf("%d %t %t %q %q", r.Kind, r.Globs, r.Query != nil, r.Query, r.Pattern)
}

func (m *matcher) findCaps() {
	m.caps = map[int][]int{}
	for c := range m.o.policy.Rules {
		if m.o.policy.Rules[c].Budget == nil {
			continue
		}
		for _, j := range m.o.coverage.Near(c, m.o.coverage) {
			if j > c && m.o.coverage.Overlap(c, j) {
				m.caps[j] = append(m.caps[j], c)
			}
		}
		if m.blind = m.o.coverage.Unsure(); m.blind {
			return
		}
	}
}

// standsBehind tells whether the budgets that come before rule j of o also come before rule i.
func (m *matcher) standsBehind(i, j int) bool {
	if m.blind {
		return false
	}
	for _, c := range m.caps[j] {
		before := &m.o.policy.Rules[c]
		if !slices.ContainsFunc(m.budgeted[key(before)], func(k int) bool {
			return k < i && within(m.s.policy.Rules[k].Budget, before.Budget)
		}) {
			return false
		}
	}
	return true
}

// takes finds among rules of o one with a budget, not taken yet, whose place rule i can take.
func (m *matcher) takes(i int, among []int) bool {
	r := &m.s.policy.Rules[i]
	for _, j := range among {
		o := &m.o.policy.Rules[j]
		if o.Budget == nil || r.Budget == nil || m.taken[j] || !within(r.Budget, o.Budget) || !m.standsBehind(i, j) {
			continue
		}
		if m.s.coverage.CoveredBy(i, m.o.coverage, j) {
			m.taken[j] = true
			return true
		}
	}
	return false
}

// within tells whether budget b is no larger than o.
func within(b, o *policy.Budget) bool {
	if o == nil || b == nil {
		return o == nil
	}
	return b.Within(o)
}

// sameRule tells whether two rules are written alike, but for their places.
func sameRule(a, b policy.Rule) bool {
	return key(&a) == key(&b) && within(a.Budget, b.Budget) && within(b.Budget, a.Budget)
}

// patternKey is equal for rules with the same pattern.
func patternKey(r *policy.Rule) string { return fmt.Sprintf("%d %t %q", r.Kind, r.Globs, r.Pattern) }

// why says what is not plain from the rule itself.
func (m *matcher) why(r *policy.Rule, gap policy.Gap) string {
	if gap.Private {
		return "it names the host, so it may lead to a private address; a wildcard does not"
	}
	for _, j := range m.patterns[patternKey(r)] {
		o := &m.o.policy.Rules[j]
		switch {
		case key(r) != key(o):
			return "the query was another: " + text(o)
		case r.Budget == nil && o.Budget != nil:
			return "the budget was " + o.Budget.String()
		case r.Budget != nil && o.Budget != nil && *r.Budget != *o.Budget:
			return fmt.Sprintf("the budget was %s, now it is %s", o.Budget, r.Budget)
		}
	}
	if m.blind || m.s.coverage.Unsure() {
		return "there are too many rules to compare them all, so it may be within others"
	}
	return ""
}
