package lint

// Rules without an effect.

import (
	"fmt"

	"github.com/weir-run/weir/internal/policy"
)

// shadows finds rules that allow nothing that the others don't, and budgets that never count. A rule
// that was found is not counted among the others any more, so that of two equal ones one is told.
func (fs *Findings) shadows(e *policy.Engine) {
	p, c := e.Policy(), policy.NewCoverage(e)
	dead := map[int]bool{}
	for i := len(p.Rules) - 1; i >= 0; i-- {
		budget := p.Rules[i].Budget != nil
		others := func(j int) bool {
			return j != i && !dead[j] && p.Rules[j].Budget == nil && (!budget || j < i)
		}
		if ok, _ := c.Covered(i, c, others); !ok {
			continue
		}
		dead[i] = true
		by := shadower(c, p, i, others)
		if budget {
			fs.rule(p, i, Finding{ID: NoBudget, Text: "never counts its budget: the same is allowed before it by " + by, Remedy: "put it before that, or remove one of the two"})
		} else {
			fs.rule(p, i, Finding{ID: Shadowed, Text: "allows nothing of its own: it is within " + by, Remedy: "remove it, or narrow the other"})
		}
	}
}

// shadower names the one rule that covers rule i by itself, if there is one.
func shadower(c *policy.Coverage, p *policy.Policy, i int, others func(int) bool) string {
	for j := range p.Rules {
		if !others(j) {
			continue
		}
		if ok, _ := c.Covered(i, c, func(k int) bool { return k == j }); ok {
			return fmt.Sprintf("%q (%s)", p.Rules[j].Pattern, p.Rules[j].Pos)
		}
	}
	switch p.Rules[i].Kind {
	case policy.Read:
		return "what can be read without a rule, or several others together"
	}
	return "several others together"
}
