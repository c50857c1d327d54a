package gateway

// Which function a path belongs to.

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/route"
	"github.com/weir-run/weir/internal/weir"
)

// target is a function that asks for paths.
type target struct {
	name     string
	config   weir.FunctionConfig
	excluded []*route.Pattern
	cost     int // of these, for each byte of a path
}

// matched is the function that a request is for, and how its path led there.
type matched struct {
	name         string
	pattern      string            // "" at the default URL
	params       map[string]string // percent-encoded, as in the URL
	preferStatic bool
}

// maxWork bounds what a request's path is compared with: the instructions of all patterns that it may match, times
// its bytes. It is what one pattern of the largest size costs with the longest path. With more work to do, a path
// matches nothing.
const maxWork = 16 << 20

// routes are the functions that ask for paths, by what these begin with, so that a request is compared with few.
type routes struct {
	byPrefix map[string][]candidate
	lengths  []int // of these beginnings, in order
}

// candidate is a pattern that a path may match.
type candidate struct {
	order   int // functions by their names, and the patterns of one as they stand there
	target  *target
	pattern *route.Pattern
}

// newRoutes takes the functions that ask for paths. A pattern that can't be read matches nothing: the build has told
// its author.
func newRoutes(configs map[string]weir.FunctionConfig) *routes {
	rs := &routes{byPrefix: map[string][]candidate{}}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		t := &target{name: name, config: c}
		for _, p := range patterns(c.ExcludedPaths) {
			t.excluded, t.cost = append(t.excluded, p), t.cost+p.Cost()
		}
		for _, p := range patterns(c.Paths) {
			rs.byPrefix[p.Prefix()] = append(rs.byPrefix[p.Prefix()], candidate{n, t, p})
			n++
		}
	}
	for prefix := range rs.byPrefix {
		rs.lengths = append(rs.lengths, len(prefix))
	}
	slices.Sort(rs.lengths)
	rs.lengths = slices.Compact(rs.lengths)
	return rs
}

// candidates gives the patterns that a path may match, in order; none if to try them were too much work.
func (rs *routes) candidates(path string) []candidate {
	var out []candidate
	work, seen := 0, map[*target]bool{}
	for _, n := range rs.lengths {
		if n > len(path) {
			break
		}
		for _, c := range rs.byPrefix[path[:n]] {
			if !seen[c.target] {
				seen[c.target], work = true, work+c.target.cost*len(path)
			}
			if work += c.pattern.Cost() * len(path); work > maxWork {
				return nil
			}
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b candidate) int { return a.order - b.order })
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

// find gives the function that a request for a percent-encoded path is for, nil if there is none. If functions have the path and none of
// them the method, allowed holds the methods that they have. A path that is a function's own comes before one
// with parameters.
func (g *gateway) find(path, method string) (m *matched, allowed []string) {
	if hasDots(path) {
		return nil, nil // the function's Request would have another path
	}
	if _, err := url.PathUnescape(path); err != nil {
		return nil, nil
	}
	if name, ok := functionAt(path); ok {
		c := g.Configs[name]
		switch {
		case len(c.Paths) > 0:
			// It is reached by these alone.
		case has(c.Methods, method):
			return &matched{name: name}, nil
		default:
			return nil, c.Methods
		}
	}
	literal := false
	excludes := map[*target]bool{}
	for _, c := range g.routes.candidates(path) {
		params, ok := c.pattern.Match(path)
		if !ok {
			continue
		}
		t := c.target
		if _, known := excludes[t]; !known {
			excludes[t] = matchAny(t.excluded, path) || matchAny(t.excluded, unescaped(path))
		}
		switch {
		case excludes[t]:
		case !has(t.config.Methods, method):
			allowed = append(allowed, t.config.Methods...)
		case m == nil || !literal && c.pattern.Literal():
			m, literal = &matched{t.name, c.pattern.String(), params, t.config.PreferStatic}, c.pattern.Literal()
		}
	}
	slices.Sort(allowed)
	return m, slices.Compact(allowed)
}

// functionAt gives the function whose default URL has a percent-encoded path. An encoded slash divides nothing, as nowhere.
func functionAt(path string) (name string, ok bool) {
	parts := strings.SplitN(path, "/", 5) // "", ".netlify", "functions", the name, and what follows it
	for i, p := range parts[:min(len(parts), 4)] {
		parts[i], _ = url.PathUnescape(p) // find has seen to it that it can be
	}
	if len(parts) < 4 || "/"+parts[1]+"/"+parts[2]+"/" != functionsPath {
		return "", false
	}
	return parts[3], true
}

// has tells whether a function takes a method. Who takes GET takes HEAD: the gateway leaves the body out.
func has(methods []string, method string) bool {
	return methods == nil || slices.Contains(methods, method) || method == http.MethodHead && slices.Contains(methods, http.MethodGet)
}

func matchAny(all []*route.Pattern, path string) bool {
	return slices.ContainsFunc(all, func(p *route.Pattern) bool { _, ok := p.Match(path); return ok })
}

// unescaped gives a path in which nothing is percent-encoded that need not be: it is the same path (RFC 3986, section
// 6.2.2.2).
func unescaped(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		plain, _ := url.PathUnescape(s) // find has seen to it that it can be
		segments[i] = strings.ReplaceAll((&url.URL{Path: plain}).EscapedPath(), "/", "%2F")
	}
	return strings.Join(segments, "/")
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
