// This file exists because a change of a policy must be judged by what it allows, not by how it is
// written, and a rule that allows nothing of its own is noise.

package policy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Coverage compares the rules of policies as sets of requests. Where patterns can't be compared in
// bounded time, and across kinds of rules, it says that something is not covered: never the opposite.
// Budgets are not looked at. It must not be used by several goroutines at once.
type Coverage struct {
	rules  []covered
	index  index
	effort int // what is left of maxEffort
}

// covered is one rule as a set: for rules about hosts, the places to which it leads.
type covered struct {
	rule   *Rule
	host   hostPattern
	places []place
	url    *urlRule // HTTP, WS
	file   fileRule // Read, Write, Exec, Env; of a glob: all of its directory
	glob   *Glob    // Read, Write: finer than file
}

// place is what must be equal for two rules about hosts to have a request in common.
type place struct {
	kind   Kind
	method string // HTTP; DNS: the type
	scheme string // HTTP, WS
	port   uint16 // not DNS
}

// NewCoverage compares the rules of the engine's policy.
func NewCoverage(e *Engine) *Coverage {
	c := &Coverage{effort: maxEffort}
	for i := range e.policy.Rules {
		c.rules = append(c.rules, newCovered(&e.policy.Rules[i]))
	}
	c.index = newIndex(c.rules)
	return c
}

// Unsure tells whether there were too many rules to compare them all, so that some may be covered, or
// apart, that this Coverage says are not.
func (c *Coverage) Unsure() bool { return c.effort < 0 }

// newCovered reads a rule that Compile has taken.
func newCovered(r *Rule) covered {
	c := covered{rule: r}
	switch r.Kind {
	case HTTP, WS:
		u, _ := parseURLRule(r)
		c.url, c.host = &u, u.host
		for _, scheme := range []string{"http", "https", "ws", "wss"} {
			if u.schemes&schemeOf(scheme) != 0 {
				port := u.port
				if port == 0 {
					port = defaultPort(scheme)
				}
				c.places = append(c.places, place{r.Kind, u.method, scheme, port})
			}
		}
	case TCP, UDP:
		h, _ := parseHostPort(r)
		c.host, c.places = h.host, []place{{kind: r.Kind, port: h.port}}
	case DNS:
		d, _ := parseDNSRule(r)
		c.host, c.places = hostPattern{exact: d.question.name}, []place{{kind: DNS, method: d.question.typ}}
		if d.question.name[0] == '.' {
			c.host = hostPattern{suffix: d.question.name}
		}
	case Read, Write:
		if r.Globs && isFileGlob(r.Pattern) {
			g, _ := parseFileGlob(r)
			c.glob, c.file = &g, fileRule{path: g.Dir, deep: true}
			break
		}
		c.file, _ = parseFileRule(r)
	default:
		c.file = fileRule{path: r.Pattern}
	}
	return c
}

// Near gives, in order, the rules of by of which some may allow something that rule i allows: no others
// can.
func (c *Coverage) Near(i int, by *Coverage) []int {
	r := &c.rules[i]
	var out []int
	if r.places == nil {
		out = by.index.nearFiles(r, &c.effort)
	}
	for _, p := range r.places {
		out = append(out, by.index.near(r, p, &c.effort)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Gap is what keeps a rule from being covered.
type Gap struct {
	// Example is a request that the rule allows and the others don't, as "METHOD URL"; "" if none can be
	// given.
	Example string
	// Private: the others allow the same requests, but none of them names the host, so that only the
	// rule may lead to a private address.
	Private bool
}

// Covered tells whether all that rule i allows is allowed by those rules of by that among takes, together;
// if not, what is missing.
func (c *Coverage) Covered(i int, by *Coverage, among func(j int) bool) (bool, Gap) {
	r := &c.rules[i]
	if r.places == nil {
		return r.coveredFile(by, slices.DeleteFunc(by.index.nearFiles(r, &c.effort), func(j int) bool { return !among(j) })), Gap{}
	}
	for _, p := range r.places {
		list := slices.DeleteFunc(by.index.near(r, p, &c.effort), func(j int) bool { return !among(j) })
		ok, example := r.coveredPlace(p, by, list, &c.effort)
		if !ok {
			return false, Gap{Example: example}
		}
		if r.host.exact != "" && p.kind != DNS && !c.named(r.host.exact, p, by, among) {
			return false, Gap{Private: true}
		}
	}
	return true, Gap{}
}

// CoveredBy tells whether all that rule i allows is allowed by rule j of by.
func (c *Coverage) CoveredBy(i int, by *Coverage, j int) bool {
	r, o := &c.rules[i], &by.rules[j]
	if c.effort--; r.places == nil {
		return r.coveredFile(by, []int{j})
	}
	for _, p := range r.places {
		if ok, _ := r.coveredPlace(p, by, []int{j}, &c.effort); !ok || r.host.exact != "" && p.kind != DNS && !o.names(r.host.exact, p) {
			return false
		}
	}
	return true
}

// named tells whether a rule of by that among takes names a host and the port of a place.
func (c *Coverage) named(host string, p place, by *Coverage, among func(j int) bool) bool {
	for _, j := range by.index.named[nameKey{host, p.port, p.kind == UDP}] {
		if c.effort--; c.effort < 0 {
			return false
		}
		if among(j) {
			return true
		}
	}
	return false
}

func (r *covered) coveredFile(by *Coverage, list []int) bool {
	if r.rule.Kind == Read && (below(r.file.path, bundleDir) || below(r.file.path, tmpDir)) {
		return true // needs no rule
	}
	for _, j := range list {
		o := &by.rules[j]
		switch {
		case o.rule.Kind != r.rule.Kind:
		case o.glob != nil && r.glob != nil && o.glob.Pattern == r.glob.Pattern,
			o.glob != nil && r.glob == nil && !r.file.deep && o.glob.Match(r.file.path),
			o.glob == nil && (o.file == r.file || o.file.deep && below(r.file.path, o.file.path)):
			return true
		}
	}
	return false
}

// coveredPlace tells whether the rules of list allow what r does at a place, private addresses aside; if
// not, it gives an example, if it can.
func (r *covered) coveredPlace(p place, by *Coverage, list []int, effort *int) (bool, string) {
	var patterns []*automaton
	literal := r.host.exact != "" && (r.url == nil || r.url.segs == nil)
	for _, j := range list {
		o := &by.rules[j]
		switch {
		case !slices.Contains(o.places, p) || !o.takesQueryOf(r):
		case o.rule.Pattern == r.rule.Pattern && o.rule.Globs == r.rule.Globs, literal && o.takes(r):
			return true, ""
		case !literal && !o.apart(r):
			patterns = append(patterns, o.automaton())
		}
	}
	if literal && r.url == nil || *effort < 0 {
		return false, ""
	}
	if literal {
		return false, exampleURL(p, r.host.exact+r.url.literal, r.url.query)
	}
	ok, text := r.automaton().within(patterns, effort)
	if ok || text == "" || r.url == nil {
		return ok, ""
	}
	return false, exampleURL(p, text, r.url.query)
}

// takes tells whether o takes the one host and path of r.
func (o *covered) takes(r *covered) bool {
	if !o.host.match(r.host.exact) {
		return false
	}
	return o.url == nil || o.url.segs == nil && o.url.literal == r.url.literal || o.url.segs != nil && matchPath(o.url.segs, r.url.literal)
}

// names tells whether o names this very host and the port of p, so that it may lead to a private address.
func (o *covered) names(host string, p place) bool {
	return o.host.exact == host && slices.ContainsFunc(o.places, func(q place) bool {
		return q.port == p.port && q.kind != DNS && (q.kind == UDP) == (p.kind == UDP)
	})
}

// apart tells whether the paths of two rules plainly have nothing in common, to save the comparison.
func (o *covered) apart(r *covered) bool {
	if o.url == nil {
		return false
	}
	n := commonPrefix(o.url.literal, r.url.literal)
	if n < len(o.url.literal) && n < len(r.url.literal) {
		return true
	}
	return o.url.segs == nil && n < len(r.url.literal) || r.url.segs == nil && n < len(o.url.literal)
}

// takesQueryOf tells whether o allows every query that r allows.
func (o *covered) takesQueryOf(r *covered) bool {
	if o.url == nil || o.url.query == nil {
		return true
	}
	if r.url.query == nil {
		return false
	}
	for _, p := range r.url.query {
		if !slices.Contains(o.url.query, p) && !slices.Contains(o.url.query, QueryParam{p.Name, "*"}) {
			return false
		}
	}
	for _, p := range o.url.query {
		if p.Value != "*" && !slices.Contains(r.url.query, p) {
			return false
		}
	}
	return true
}

func (r *covered) automaton() *automaton {
	if r.url == nil {
		return newAutomaton(&r.host, nil, "")
	}
	return newAutomaton(&r.host, r.url.segs, r.url.literal)
}

// exampleURL gives "METHOD URL" for what an automaton takes, if it can be requested. A query is that
// which a rule asks for.
func exampleURL(p place, text string, query []QueryParam) string {
	host, path, _ := strings.Cut(text, "/")
	values := url.Values{}
	for _, q := range query {
		if q.Value != "*" {
			values.Set(q.Name, q.Value)
		}
	}
	u, err := newURL(p.scheme, bracketed(host)+":"+strconv.Itoa(int(p.port)), "/"+path+"?"+values.Encode())
	if err != nil {
		return ""
	}
	return clip(p.method + " " + u.String())
}

// Overlap tells whether rules i and j, both of them about hosts, may allow a request in common, queries
// aside; also if there were too many to compare them all.
func (c *Coverage) Overlap(i, j int) bool {
	a, b := &c.rules[i], &c.rules[j]
	if a.host.exact != "" && b.host.exact != "" && a.host.exact != b.host.exact || a.url != nil && b.url != nil && a.apart(b) {
		return false
	}
	return slices.ContainsFunc(a.places, func(p place) bool { return slices.Contains(b.places, p) }) &&
		(c.Unsure() || a.automaton().meets(b.automaton(), &c.effort))
}
