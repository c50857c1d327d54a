package lint

// Rules without an effect.

import (
	"fmt"
	"slices"

	"github.com/weir-run/weir/internal/policy"
)

// shadows finds rules that allow nothing that the others don't, and budgets that never count. A rule
// that was found is not counted among the others any more, so that of two equal ones one is told. The
// first rule that fits decides on the budget, so where there are budgets, only earlier rules count.
func (fs *Findings) shadows(e *policy.Engine) {
	p, c := e.Policy(), policy.NewCoverage(e)
	budgets := slices.ContainsFunc(p.Rules, func(r policy.Rule) bool { return r.Budget != nil })
	dead := map[int]bool{}
	for i := len(p.Rules) - 1; i >= 0; i-- {
		others := func(j int) bool {
			return j != i && !dead[j] && p.Rules[j].Budget == nil && (!budgets || j < i)
		}
		ok, _ := c.Covered(i, c, others)
		if c.Unsure() {
			fs.rule(p, i, Finding{ID: TooMany, Text: "and the rules before it were not compared with all others, since there are too many: those of them that have no effect are not told",
				Remedy: "write patterns, such as /v1/* for many paths"})
			return
		}
		if !ok {
			continue
		}
		dead[i] = true
		by := shadower(c, p, i, others)
		if p.Rules[i].Budget != nil {
			fs.rule(p, i, Finding{ID: NoBudget, Text: "never counts its budget: the same is allowed before it by " + by, Remedy: "put it before that, or remove one of the two"})
		} else {
			fs.rule(p, i, Finding{ID: Shadowed, Text: "allows nothing of its own: it is within " + by, Remedy: "remove it, or narrow the other"})
		}
	}
}

// shadower names the one rule that covers rule i by itself, if there is one.
func shadower(c *policy.Coverage, p *policy.Policy, i int, others func(int) bool) string {
	if ok, _ := c.Covered(i, c, func(int) bool { return false }); ok {
		return "what needs no rule"
	}
	for _, j := range c.Near(i, c) {
		if others(j) && c.CoveredBy(i, c, j) {
			return fmt.Sprintf("%q (%s)", p.Rules[j].Pattern, p.Rules[j].Pos)
		}
	}
	return "several others together"
}
