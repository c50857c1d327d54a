package learn

// Paths of one place (a method and host) as a tree of segments, in which values have become "*".

import (
	"maps"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/policy"
)

const (
	// variety is how many different segments may stand in one place before they are taken for values,
	// however much they look like words. Each counts for the invocation that tried it first, and each
	// invocation counts once: one that was hijacked widens nothing, however much it tries.
	variety = 10
	// maxDepth bounds the segments of a path that is learned.
	maxDepth = 16
	// maxPlaceNodes bounds the different segments of one place.
	maxPlaceNodes = 500
)

// tree is all paths of one place.
type tree struct {
	node
	nodes int
}

// node is one segment of a path. Its child "*" holds the values.
type node struct {
	children map[string]*node
	first    uint64    // the invocation that tried it first
	various  bool      // what stands below was too various to be told apart, and became "*"
	hints    []string  // how values looked: "cus_…"
	end      *evidence // of calls whose path ends here
}

// insert gives the evidence of a path that an invocation tried; nil if there is no room.
func (s *Set) insert(f *function, t *tree, path string, invocation uint64) *evidence {
	segs := strings.Split(path[1:], "/")
	if len(segs) > maxDepth {
		f.deep++
		return nil
	}
	n, long := &t.node, false
	for i, seg := range segs {
		key := seg
		if n.various && seg != "" || isValue(seg, i == 0) {
			key = "*"
			long = long || len(seg) >= longValue && !isHash(seg)
		}
		child := n.children[key]
		if child == nil {
			if t.nodes >= maxPlaceNodes || !s.room(f) {
				return nil
			}
			t.nodes++
			child = &node{first: invocation}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[strings.Clone(key)] = child // not all of the record
			if n.isVarious() {
				child = n.collapse()
			}
		}
		if key == "*" {
			child.hinted(hint(seg))
		}
		n = child
	}
	if n.end == nil {
		n.end = &evidence{}
	}
	n.end.long = n.end.long || long
	return n.end
}

// isHash knows sums in hexadecimal: SHA-256 is longer than other values, and common in paths.
func isHash(seg string) bool {
	return len(seg) == 64 && strings.Trim(seg, "0123456789abcdef") == ""
}

func (n *node) hinted(h string) {
	if len(n.hints) < 3 && !slices.Contains(n.hints, h) {
		n.hints = append(n.hints, h)
	}
}

// isVarious tells whether more than variety invocations tried a word of their own below n.
func (n *node) isVarious() bool {
	if n.various || len(n.children) <= variety {
		return false
	}
	tried := map[uint64]bool{}
	for seg, child := range n.children {
		if seg != "" && seg != "*" {
			tried[child.first] = true
		}
	}
	return len(tried) > variety
}

// collapse makes all segments below n, but an empty one, its "*", which it gives.
func (n *node) collapse() *node {
	all := &node{}
	for _, seg := range slices.Sorted(maps.Keys(n.children)) {
		if seg == "" {
			continue
		}
		all.absorb(n.children[seg])
		delete(n.children, seg)
	}
	all.hinted("…")
	n.children["*"] = all
	n.various = true
	return all
}

// absorb adds what stands in o and below it.
func (n *node) absorb(o *node) {
	for _, h := range o.hints {
		n.hinted(h)
	}
	if o.end != nil {
		if n.end == nil {
			n.end = &evidence{}
		}
		n.end.merge(o.end)
	}
	for _, seg := range slices.Sorted(maps.Keys(o.children)) {
		child := o.children[seg]
		if n.various && seg != "" {
			seg = "*"
		}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if mine := n.children[seg]; mine != nil {
			mine.absorb(child)
		} else {
			n.children[seg] = child
		}
	}
	if o.various && !n.various || n.isVarious() {
		n.collapse()
	}
}

// each calls f for the evidence of each path.
func (n *node) each(f func(*evidence)) {
	if n.end != nil {
		f(n.end)
	}
	for _, child := range n.children {
		child.each(f)
	}
}

// found is a path pattern with its evidence.
type found struct {
	path    string
	segs    []string
	example string // the path with hints instead of values; "" if it has no values
	various bool   // a "*" of it stands for words that were many
	evidence
}

// widens tells whether f, which one invocation tried, would widen what others did.
func (f *found) widens(o *found) bool {
	return f.alone() && !f.holds(&o.evidence) && covers(f.segs, o.segs)
}

// patterns gives the paths of a tree in order, without those that another one covers, unless it is one
// invocation alone that makes it do so.
func (n *node) patterns() []found {
	var all []found
	n.walk("", "", false, &all)
	var wide []*found
	for i := range all {
		if all[i].example != "" {
			wide = append(wide, &all[i])
		}
	}
	var out []found
	covered := map[*found]bool{}
	for i := range all {
		f := &all[i]
		for _, w := range wide {
			if w != f && !covered[w] && covers(w.segs, f.segs) && !w.widens(f) {
				w.merge(&f.evidence)
				covered[f] = true
				break
			}
		}
	}
	for i := range all {
		if !covered[&all[i]] {
			out = append(out, all[i])
		}
	}
	return out
}

func (n *node) walk(path, example string, various bool, out *[]found) {
	if n.end != nil {
		f := found{path: path, segs: strings.Split(path, "/"), various: various, evidence: *n.end}
		if example != path {
			f.example = example
		}
		*out = append(*out, f)
	}
	for _, seg := range slices.Sorted(maps.Keys(n.children)) {
		child := n.children[seg]
		shown := seg
		if seg == "*" && len(child.hints) > 0 {
			shown = child.hints[0]
		}
		child.walk(path+"/"+seg, example+"/"+shown, various || n.various && seg == "*", out)
	}
}

// covers tells whether every path that segments b match is matched by a. Both have whole "*" only.
func covers(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && (a[i] != "*" || b[i] == "") {
			return false
		}
	}
	return true
}

// urlOf gives the URL pattern of a path at a place.
func (p place) urlOf(path string) string {
	u := policy.URL{Scheme: p.scheme, Host: p.host, Port: p.port}
	return u.Scheme + "://" + u.Authority() + path
}

// rule gives the rule for a path pattern at a place.
func (p place) rule(path string) policy.Rule {
	if p.kind == policy.WS {
		return policy.Rule{Kind: policy.WS, Pattern: p.urlOf(path)}
	}
	return policy.Rule{Kind: policy.HTTP, Pattern: p.method + " " + p.urlOf(path)}
}
