// This file exists because Intrinsic's globs for files are finer than what the kernel holds: they decide
// here, and whoever starts a sandbox looks on the host for the files that they mean.

package policy

import (
	"path"
	"slices"
	"strings"
)

// Glob is a rule for files with wildcards other than DIR/** (Intrinsic's patterns only). Dir is the
// directory in which files may match, Depth how many names below it they lie, 0 for any number.
type Glob struct {
	Pattern  string
	Dir      string
	Depth    int
	rule     int // index in Policy.Rules
	segments []nameGlob
}

// isFileGlob tells whether a pattern for files is more than an exact path or DIR/**.
func isFileGlob(pattern string) bool {
	return strings.ContainsAny(strings.TrimSuffix(pattern, "/**"), "*?[")
}

// parseFileGlob holds a pattern to the same bounds as other rules for files: what its Dir as DIR/**
// could not open, the glob can't either.
func parseFileGlob(r *Rule) (Glob, error) {
	g := Glob{Pattern: r.Pattern}
	if path.Clean(r.Pattern) != r.Pattern || !strings.HasPrefix(r.Pattern, "/") {
		return g, invalid(fileRemedy, "%q is not a clean absolute path", r.Pattern)
	}
	wild := 0 // segments from the first with a wildcard on
	for _, s := range strings.Split(r.Pattern[1:], "/") {
		g.segments = append(g.segments, nameGlob(s))
		_, err := path.Match(s, "")
		switch {
		case s == "**":
		case strings.Contains(s, "**"):
			return g, invalid("write * for a part of a name, /**/ for any number of directories", "** must be a whole segment")
		case err != nil || strings.ContainsAny(s, `\{}`) || strings.Contains(s, "[^") || strings.Contains(s, "[!"):
			return g, invalid("write *, ?, [abc] or [a-z]", "%q is not a pattern for names", s)
		}
		if wild > 0 || strings.ContainsAny(s, "*?[") {
			wild++
		} else {
			g.Dir += "/" + s
		}
	}
	if g.Depth = wild; slices.Contains(g.segments, "**") {
		g.Depth = 0
	}
	_, err := parseFileRule(&Rule{Kind: r.Kind, Pattern: g.Dir + "/**"})
	return g, err
}

// nameGlob is a pattern of path.Match for one name of a path, or "**".
type nameGlob string

func (g *nameGlob) isDeep() bool { return *g == "**" }

func (g *nameGlob) match(name string) bool {
	ok, _ := path.Match(string(*g), name)
	return ok
}

// Match tells whether a clean absolute path fits. Unlike in a shell, "*" matches names that begin with a
// dot, too.
func (g *Glob) Match(name string) bool { return matchPath(g.segments, name) }

// Globs gives the rules of kind k (Read or Write) that are not held by Grants, as far as the bounds go: what of
// them a sandbox gets is found on the host when it starts. Without those in places that can be read anyway.
func (e *Engine) Globs(k Kind) []Glob {
	if e.bounded != nil {
		return slices.Clone(e.held[k].globs)
	}
	return e.ownGlobs(k)
}

// ownGlobs gives the globs of the policy by itself.
func (e *Engine) ownGlobs(k Kind) []Glob {
	var out []Glob
	if fs := e.files[k]; fs != nil {
		for _, g := range fs.globs {
			if k != Read || !below(g.Dir, bundleDir) && !below(g.Dir, tmpDir) {
				out = append(out, g)
			}
		}
	}
	return out
}
