package gateway

// Which function a path belongs to.

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/route"
	"github.com/weir-run/weir/internal/weir"
)

// target is a function with the paths that it asks for.
type target struct {
	name            string
	config          weir.FunctionConfig
	paths, excluded []*route.Pattern
}

// matched is the function that a request is for, and how its path led there.
type matched struct {
	name         string
	pattern      string            // "" at the default URL
	params       map[string]string // percent-encoded, as in the URL
	preferStatic bool
}

// newTargets gives the functions that ask for paths, in order. A pattern that can't be read matches nothing:
// the build has told its author.
func newTargets(configs map[string]weir.FunctionConfig) []target {
	var out []target
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		if len(c.Paths) > 0 {
			out = append(out, target{name, c, patterns(c.Paths), patterns(c.ExcludedPaths)})
		}
	}
	return out
}

func patterns(sources []string) []*route.Pattern {
	var out []*route.Pattern
	for _, s := range sources {
		if p, err := route.Parse(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// find gives the function that a request is for, nil if there is none. If functions have the path and none of
// them the method, allowed holds the methods that they have. A path that is a function's own comes before one
// with parameters.
func (g *gateway) find(r *http.Request) (m *matched, allowed []string) {
	path := r.URL.EscapedPath()
	if hasDots(path) {
		return nil, nil // the function's Request would have another path
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, functionsPath); ok {
		name, _, _ := strings.Cut(rest, "/")
		c := g.Configs[name]
		switch {
		case len(c.Paths) > 0:
			// It is reached by these alone.
		case has(c.Methods, r.Method):
			return &matched{name: name}, nil
		default:
			return nil, c.Methods
		}
	}
	literal := false
	for _, t := range g.targets {
		if matchAny(t.excluded, path) {
			continue
		}
		for _, p := range t.paths {
			params, ok := p.Match(path)
			switch {
			case !ok:
			case !has(t.config.Methods, r.Method):
				allowed = append(allowed, t.config.Methods...)
			case m == nil || !literal && p.Literal():
				m, literal = &matched{t.name, p.String(), params, t.config.PreferStatic}, p.Literal()
			}
		}
	}
	return m, allowed
}

// has tells whether a function takes a method. Who takes GET takes HEAD: the gateway leaves the body out.
func has(methods []string, method string) bool {
	return methods == nil || slices.Contains(methods, method) || method == http.MethodHead && slices.Contains(methods, http.MethodGet)
}

func matchAny(all []*route.Pattern, path string) bool {
	return slices.ContainsFunc(all, func(p *route.Pattern) bool { _, ok := p.Match(path); return ok })
}

var dots = strings.NewReplacer("%2e", ".", "%2E", ".")

// hasDots tells whether a path has a segment . or .., also percent-encoded (WHATWG URL, "double-dot URL path
// segment").
func hasDots(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if s = dots.Replace(s); s == "." || s == ".." {
			return true
		}
	}
	return false
}
