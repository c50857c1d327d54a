// This file exists because whether one policy allows more than another is a question about sets of
// URLs: hosts and paths with wildcards are regular languages, and those can be compared exactly.

package policy

import (
	"slices"
	"strings"
)

// Bounds of a comparison: states seen, and transitions looked at. Whoever runs into them has written
// patterns that no person can compare either, and is told the careful answer.
const (
	maxSteps = 1 << 14
	maxWork  = 1 << 21
)

// label is what one transition takes: one unit of canonical text (see unit). Exactly one field is set.
type label struct {
	unit string
	set  *[4]uint64 // a byte of the set
	not  string     // any unit but these bytes
}

// other stands for every unit that no pattern of a comparison names.
const other = "\x00"

func (l label) takes(symbol string) bool {
	switch {
	case l.unit != "":
		return symbol == l.unit
	case l.set != nil:
		c := symbol[0]
		return len(symbol) == 1 && l.set[c>>6]&(1<<(c&63)) != 0
	}
	return len(symbol) > 1 || strings.IndexByte(l.not, symbol[0]) < 0
}

type edge struct {
	label label
	to    int
}

// automaton accepts a host followed by a path. It is not deterministic; state 0 is the first.
type automaton struct {
	edges  [][]edge
	accept []int
	now    []int // while it is built: where the next part begins
}

// newAutomaton makes the automaton of a host pattern and of a path: segs, or literal if segs is nil,
// or none at all if both are empty. It takes only what can be the path of a request.
func newAutomaton(h *hostPattern, segs []segment, literal string) *automaton {
	a := &automaton{edges: make([][]edge, 1), now: []int{0}}
	const notInLabel = "./"
	switch {
	case h.exact != "":
		a.text(h.exact)
	case h.suffix != "":
		a.some(notInLabel)
		a.text(h.suffix)
	}
	for i := range h.labels {
		if i > 0 {
			a.text(".")
		}
		a.segment(&h.labels[i], notInLabel)
	}
	if segs == nil {
		a.text(literal)
	}
	for i := range segs {
		last := i == len(segs)-1
		if segs[i].deep {
			a.anySegments(last)
			continue
		}
		a.text("/")
		s := segs[i]
		s.empty = s.empty && last // no request has an empty segment but at the end
		a.segment(&s, "/")
	}
	a.accept, a.now = a.now, nil
	return a
}

// step adds a transition to a new state.
func (a *automaton) step(l label) {
	to := len(a.edges)
	a.edges = append(a.edges, nil)
	for _, s := range a.now {
		a.edges[s] = append(a.edges[s], edge{l, to})
	}
	a.now = []int{to}
}

// loop lets what l takes stand here any number of times.
func (a *automaton) loop(l label) {
	for _, s := range a.now {
		a.edges[s] = append(a.edges[s], edge{l, s})
	}
}

func (a *automaton) text(s string) {
	for s != "" {
		n := unit(s)
		a.step(label{unit: s[:n]})
		s = s[n:]
	}
}

// some takes at least one unit but those of not.
func (a *automaton) some(not string) {
	a.step(label{not: not})
	a.loop(label{not: not})
}

// anySegments takes any number of whole segments, none included; at the end of a pattern at least one,
// which may be empty.
func (a *automaton) anySegments(last bool) {
	before := a.now
	a.text("/")
	empty := a.now
	a.some("/")
	for _, s := range a.now {
		a.edges[s] = append(a.edges[s], edge{label{unit: "/"}, empty[0]})
	}
	if last {
		a.now = append(a.now, empty...)
	} else {
		a.now = append(a.now, before...)
	}
}

func (a *automaton) segment(s *segment, not string) {
	if s.tokens == nil {
		a.text(s.literal)
		return
	}
	if !s.empty && !slices.ContainsFunc(s.tokens, func(t token) bool { return t.kind != tokenStar }) {
		a.some(not)
		return
	}
	for i := range s.tokens {
		switch t := &s.tokens[i]; t.kind {
		case tokenLiteral:
			a.text(t.text)
		case tokenStar:
			a.loop(label{not: not})
		case tokenAny:
			a.step(label{not: not})
		case tokenClass:
			a.step(label{set: &t.set})
		}
	}
}

// accepts tells whether one of the states is a last one.
func (a *automaton) accepts(states ...int) bool {
	return slices.ContainsFunc(states, func(s int) bool { return slices.Contains(a.accept, s) })
}

// next gives the states after a symbol, sorted, without doubles.
func (a *automaton) next(states []int, symbol string) []int {
	var out []int
	for _, s := range states {
		for _, e := range a.edges[s] {
			if e.label.takes(symbol) {
				out = append(out, e.to)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// union joins automata into one; its states 0 to len(list)-1 are the first ones.
func union(list []*automaton) *automaton {
	u := &automaton{edges: make([][]edge, len(list))}
	for i, a := range list {
		base := len(u.edges) - 1 // state 0 of a is state i of u, the others follow
		at := func(s int) int {
			if s == 0 {
				return i
			}
			return base + s
		}
		u.edges = append(u.edges, make([][]edge, len(a.edges)-1)...)
		for s, edges := range a.edges {
			for _, e := range edges {
				u.edges[at(s)] = append(u.edges[at(s)], edge{e.label, at(e.to)})
			}
		}
		for _, s := range a.accept {
			u.accept = append(u.accept, at(s))
		}
	}
	return u
}

// alphabet gives every unit that the automata tell apart, and other.
func alphabet(list ...*automaton) []string {
	symbols := []string{other, "/", "."}
	for _, a := range list {
		for _, edges := range a.edges {
			for _, e := range edges {
				if e.label.unit != "" {
					symbols = append(symbols, e.label.unit)
				}
				for c := 0; c < 256 && e.label.set != nil; c++ {
					if e.label.takes(string([]byte{byte(c)})) {
						symbols = append(symbols, string([]byte{byte(c)}))
					}
				}
			}
		}
	}
	slices.Sort(symbols)
	return slices.Compact(symbols)
}

// within tells whether everything that a accepts is accepted by one of list. If not, text is the
// shortest that isn't; it is empty if the comparison was given up, which it is, too, when the effort is
// spent. What was spent is taken from it.
func (a *automaton) within(list []*automaton, effort *int) (ok bool, text string) {
	type node struct {
		state  int
		others []int // where list can be
		from   int   // the node before
		symbol string
	}
	u := union(list)
	symbols := alphabet(a, u)
	first := node{others: make([]int, len(list)), from: -1}
	for i := range list {
		first.others[i] = i
	}
	nodes, seen := []node{first}, map[string]bool{key(0, first.others): true}
	work := len(u.edges)
	defer func() { *effort -= work }()
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		if a.accepts(n.state) && !u.accepts(n.others...) {
			for ; n.from >= 0; n = nodes[n.from] {
				text = n.symbol + text
			}
			return false, strings.ReplaceAll(text, other, stranger(symbols))
		}
		for _, symbol := range symbols {
			states := a.next([]int{n.state}, symbol)
			if len(states) == 0 {
				continue
			}
			others := u.next(n.others, symbol)
			work += 1 + len(n.others)
			for _, s := range states {
				if k := key(s, others); !seen[k] {
					seen[k] = true
					nodes = append(nodes, node{s, others, i, symbol})
				}
			}
		}
		if len(nodes) > maxSteps || work > min(maxWork, *effort) {
			return false, ""
		}
	}
	return true, ""
}

// key names a state and a set of states.
func key(state int, others []int) string {
	b := make([]byte, 0, 2+2*len(others))
	b = append(b, byte(state>>16), byte(state>>8), byte(state))
	for _, o := range others {
		b = append(b, byte(o>>16), byte(o>>8), byte(o))
	}
	return string(b)
}

// stranger gives a letter or digit that is none of the symbols; a space, which no text can hold, if
// there is none.
func stranger(symbols []string) string {
	for _, c := range "xyzabcdefghijklmnopqrstuvw0123456789" {
		if !slices.Contains(symbols, string(c)) {
			return string(c)
		}
	}
	return " "
}

// meets tells whether a and b accept a text in common, also if the comparison was given up. What was
// spent is taken from the effort.
func (a *automaton) meets(b *automaton, effort *int) bool {
	type pair struct{ a, b int }
	symbols := alphabet(a, b)
	pairs, seen := []pair{{}}, map[pair]bool{{}: true}
	for i := 0; i < len(pairs) && len(pairs) <= maxSteps; i++ {
		*effort -= len(symbols)
		p := pairs[i]
		if a.accepts(p.a) && b.accepts(p.b) {
			return true
		}
		for _, symbol := range symbols {
			for _, x := range a.next([]int{p.a}, symbol) {
				for _, y := range b.next([]int{p.b}, symbol) {
					if q := (pair{x, y}); !seen[q] {
						seen[q] = true
						pairs = append(pairs, q)
					}
				}
			}
		}
	}
	return len(pairs) > maxSteps
}
