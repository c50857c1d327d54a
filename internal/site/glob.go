package site

// Globs as netlify.toml has them: for paths in included_files, for names in [functions.GLOB].

import (
	"errors"
	"path"
	"strings"
)

// maxAlternatives bounds what the braces of one pattern may expand to.
const maxAlternatives = 256

// glob is a pattern: its alternatives (one without braces), each split at the slashes.
type glob [][]string

var errGlob = errors.New("not a valid glob")

// compileGlob reads a pattern. Within a segment it is path.Match's, plus {a,b}; a segment that is
// ** stands for any number of segments.
func compileGlob(pattern string) (glob, error) {
	alternatives, err := braces(pattern)
	if err != nil {
		return nil, err
	}
	var g glob
	for _, a := range alternatives {
		segments := strings.Split(path.Clean(a), "/")
		for _, s := range segments {
			if _, err := path.Match(s, ""); err != nil {
				return nil, errGlob
			}
		}
		g = append(g, segments)
	}
	return g, nil
}

// braces expands {a,b}, nested ones too. A brace that nothing closes stands for itself.
func braces(p string) ([]string, error) {
	todo, done := []string{p}, []string(nil)
	for len(todo) > 0 {
		p, todo = todo[len(todo)-1], todo[:len(todo)-1]
		open, choices, rest := firstBraces(p)
		if choices == nil {
			done = append(done, p)
		}
		for _, c := range choices {
			todo = append(todo, p[:open]+c+rest)
		}
		if len(todo)+len(done) > maxAlternatives {
			return nil, errGlob
		}
	}
	return done, nil
}

// firstBraces finds the first {a,b} in p: where it opens, its choices and what follows it.
func firstBraces(p string) (open int, choices []string, rest string) {
	for open = range len(p) {
		if p[open] != '{' {
			continue
		}
		depth, from := 0, open+1
		choices = nil
		for i := open; i < len(p); i++ {
			switch c := p[i]; {
			case c == '{':
				depth++
			case c == ',' && depth == 1:
				choices = append(choices, p[from:i])
				from = i + 1
			case c == '}' && depth == 1:
				if choices != nil {
					return open, append(choices, p[from:i]), p[i+1:]
				}
				i = len(p) // {a} is no choice
			case c == '}':
				depth--
			}
		}
	}
	return 0, nil, ""
}

// match tells whether the pattern matches a slash-separated name.
func (g glob) match(name string) bool {
	segments := strings.Split(name, "/")
	for _, alt := range g {
		if matchSegments(alt, segments) {
			return true
		}
	}
	return false
}

// matchSegments matches segment by segment. On a mismatch only the last ** is tried again, so the
// effort is at most the product of the two lengths.
func matchSegments(pattern, name []string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == "**" {
			star, from = p, n
			p++
			continue
		}
		if p < len(pattern) {
			if ok, _ := path.Match(pattern[p], name[n]); ok {
				p++
				n++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, n = star+1, from
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

// matchName tells whether a [functions.GLOB] table is for a function.
func matchName(pattern, name string) bool {
	g, err := compileGlob(pattern)
	return err == nil && (pattern == name || g.match(name))
}

// literalPrefix gives the leading segments without wildcards.
func literalPrefix(segments []string) []string {
	for i, s := range segments {
		if strings.ContainsAny(s, `*?[\`) {
			return segments[:i]
		}
	}
	return segments
}

// leadsOut is what is wrong with a pattern that begins above where it is relative to.
const leadsOut = "leads out of the site"

// checkPattern says what is wrong with a pattern of included_files, "" if nothing is.
func checkPattern(p string) string {
	p = strings.TrimPrefix(p, "!")
	switch {
	case p == "":
		return "is empty"
	case strings.ContainsRune(p, 0):
		return "has a NUL byte in it"
	case strings.HasPrefix(p, "/"):
		return "is an absolute path"
	}
	g, err := compileGlob(p)
	if err != nil {
		return "is not a valid glob"
	}
	for _, alt := range g {
		if alt[0] == ".." {
			return leadsOut
		}
	}
	return ""
}
