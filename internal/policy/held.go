// This file exists because the kernel knows one list of files, not a policy and its bounds: what they have in common
// is found once, in time that grows with their rules and not with the square of them.

package policy

import (
	"slices"
	"strings"
)

// held is what the kernel holds of one kind of rule: canonical patterns of files, and globs.
type held struct {
	grants []string
	globs  []Glob
}

// within gives what h and o have in common, as far as it can be held: a glob as a whole or by files that o names.
func (h held) within(o held) held {
	mine, its := tree(setOf(h.grants)), tree(setOf(o.grants))
	var out held
	for _, g := range h.grants {
		if its.holds(g) || matched(o.globs, g) {
			out.grants = append(out.grants, g)
		}
	}
	patterns := map[string]bool{}
	for i := range o.globs {
		patterns[o.globs[i].Pattern] = true
	}
	rest := slices.DeleteFunc(slices.Clone(h.globs), func(g Glob) bool {
		whole := patterns[g.Pattern] || its.holds(g.Dir+"/**")
		if whole {
			out.globs = append(out.globs, g)
		}
		return whole
	})
	for _, g := range o.grants {
		if !mine[g] && (mine.holds(g) || matched(rest, g)) {
			out.grants = append(out.grants, g)
		}
	}
	return out
}

// matched tells whether a grant is one file that one of globs matches.
func matched(globs []Glob, grant string) bool {
	return !strings.HasSuffix(grant, "/**") && slices.ContainsFunc(globs, func(g Glob) bool { return g.Match(grant) })
}

// tree is a set of grants, which holds what lies in its directories, too.
type tree map[string]bool

// holds tells whether all that a grant is about is what the tree's are about.
func (t tree) holds(grant string) bool {
	if t[grant] {
		return true
	}
	for dir := strings.TrimSuffix(grant, "/**"); dir != ""; dir = parent(dir) {
		if t[dir+"/**"] {
			return true
		}
	}
	return false
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}
