// This file exists because a policy may have thousands of rules for one host, and comparing each with
// each takes their number squared: a rule is compared only with those that may have to do with it, and
// what remains is bounded.

package policy

import (
	"slices"
	"sort"
	"strings"
)

// maxEffort bounds all comparisons of one Coverage: rules looked at one by one, and transitions of
// automata. It is some seconds' worth.
const maxEffort = 1 << 24

// index finds the rules of a Coverage that may have to do with another one.
type index struct {
	groups map[groupKey]*group
	hosts  map[place][]string // exact ones
	named  map[nameKey][]int  // rules that name an exact host
	files  map[fileKey][]int
	globs  map[Kind][]int
}

// groupKey is what all rules of a group have in common; host is "" for those with a wildcard.
type groupKey struct {
	host  string
	place place
}

// nameKey is a host and port as a rule names it.
type nameKey struct {
	host string
	port uint16
	udp  bool
}

type fileKey struct {
	kind Kind
	path string
}

// group is the rules for one host and place.
type group struct {
	literal   byText // by their paths
	wild      byText // by their paths up to the first wildcard
	endpoints []int  // without a path
}

func newIndex(rules []covered) index {
	x := index{groups: map[groupKey]*group{}, hosts: map[place][]string{}, named: map[nameKey][]int{}, files: map[fileKey][]int{}, globs: map[Kind][]int{}}
	for i := range rules {
		r := &rules[i]
		switch {
		case r.glob != nil:
			x.globs[r.rule.Kind] = append(x.globs[r.rule.Kind], i)
		case r.places == nil:
			k := fileKey{r.rule.Kind, r.file.path}
			x.files[k] = append(x.files[k], i)
		}
		for _, p := range r.places {
			x.put(r, p, i)
		}
	}
	for _, g := range x.groups {
		g.literal.sort()
		g.wild.sort()
	}
	return x
}

func (x *index) put(r *covered, p place, i int) {
	k := groupKey{r.host.exact, p}
	g := x.groups[k]
	if g == nil {
		g = &group{}
		x.groups[k] = g
		if k.host != "" {
			x.hosts[p] = append(x.hosts[p], k.host)
		}
	}
	switch {
	case r.url == nil:
		g.endpoints = append(g.endpoints, i)
	case r.url.segs == nil:
		g.literal.put(r.url.literal, i)
	default:
		g.wild.put(r.url.literal, i)
	}
	if k.host != "" && p.kind != DNS {
		n := nameKey{k.host, p.port, p.kind == UDP}
		x.named[n] = append(x.named[n], i)
	}
}

// near gives the rules that may allow at a place some of what r allows there; all others plainly don't.
// When the effort is spent, it gives none.
func (x *index) near(r *covered, p place, effort *int) []int {
	var out []int
	if *effort < 0 {
		return nil
	}
	add := func(host string) {
		if g := x.groups[groupKey{host, p}]; g != nil {
			out = append(out, g.near(r)...)
		}
	}
	add("")
	if r.host.exact != "" {
		add(r.host.exact)
	} else {
		*effort -= len(x.hosts[p])
		for _, host := range x.hosts[p] {
			if r.host.match(host) {
				add(host)
			}
		}
	}
	*effort -= len(out)
	return out
}

func (g *group) near(r *covered) []int {
	switch {
	case r.url == nil:
		return g.endpoints
	case r.url.segs == nil:
		return slices.Concat(g.literal.rules[r.url.literal], g.wild.beginning(r.url.literal))
	}
	return slices.Concat(g.wild.beginning(r.url.literal), g.wild.below(r.url.literal), g.literal.rules[r.url.literal], g.literal.below(r.url.literal))
}

// nearFiles is near for rules about files, programs and variables.
func (x *index) nearFiles(r *covered, effort *int) []int {
	if *effort < 0 {
		return nil
	}
	out := slices.Clone(x.globs[r.rule.Kind])
	for p := r.file.path; p != ""; p = p[:strings.LastIndexByte(p, '/')] {
		out = append(out, x.files[fileKey{r.rule.Kind, p}]...)
		if !strings.Contains(p, "/") {
			break
		}
	}
	*effort -= len(out)
	return out
}

// byText finds rules by a text and by its beginning.
type byText struct {
	rules   map[string][]int
	texts   []string // sorted
	lengths []int    // of texts, each once
}

func (b *byText) put(text string, i int) {
	if b.rules == nil {
		b.rules = map[string][]int{}
	}
	if b.rules[text] == nil {
		b.texts, b.lengths = append(b.texts, text), append(b.lengths, len(text))
	}
	b.rules[text] = append(b.rules[text], i)
}

func (b *byText) sort() {
	slices.Sort(b.texts)
	slices.Sort(b.lengths)
	b.lengths = slices.Compact(b.lengths)
}

// beginning gives the rules whose text a text begins with.
func (b *byText) beginning(text string) (out []int) {
	for _, n := range b.lengths {
		if n <= len(text) {
			out = append(out, b.rules[text[:n]]...)
		}
	}
	return out
}

// below gives the rules whose text is longer than a text and begins with it.
func (b *byText) below(text string) (out []int) {
	for _, t := range b.texts[sort.SearchStrings(b.texts, text):] {
		if !strings.HasPrefix(t, text) {
			break
		}
		if t != text {
			out = append(out, b.rules[t]...)
		}
	}
	return out
}
