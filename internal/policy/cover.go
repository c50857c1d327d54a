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
// Budgets are not looked at.
type Coverage struct {
	rules  []covered
	byHost map[string][]int // rules about hosts, by the exact one; "" for those with a wildcard
	files  []int            // the others
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
	c := &Coverage{byHost: map[string][]int{}}
	for i := range e.policy.Rules {
		r := newCovered(&e.policy.Rules[i])
		c.rules = append(c.rules, r)
		if r.places == nil {
			c.files = append(c.files, i)
		} else {
			c.byHost[r.host.exact] = append(c.byHost[r.host.exact], i)
		}
	}
	return c
}

// near gives the rules of which some may allow what r allows, those with the same exact host first.
func (c *Coverage) near(r *covered) []int {
	switch {
	case r.places == nil:
		return c.files
	case r.host.exact != "":
		return slices.Concat(c.byHost[r.host.exact], c.byHost[""])
	}
	list := slices.Clone(c.byHost[""])
	for host, rules := range c.byHost {
		if host != "" && r.host.match(host) {
			list = append(list, rules...)
		}
	}
	return list
}

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

// Near gives the rules of by of which some may allow something that rule i allows: no others can.
func (c *Coverage) Near(i int, by *Coverage) []int { return by.near(&c.rules[i]) }

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
	var list []int
	for _, j := range by.near(r) {
		if among(j) {
			list = append(list, j)
		}
	}
	if r.places == nil {
		return r.coveredFile(by, list), Gap{}
	}
	for _, p := range r.places {
		if ok, gap := r.coveredPlace(p, by, list); !ok {
			return false, gap
		}
	}
	return true, Gap{}
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

func (r *covered) coveredPlace(p place, by *Coverage, list []int) (bool, Gap) {
	named := r.host.exact == "" || p.kind == DNS
	var patterns []*automaton
	for _, j := range list {
		o := &by.rules[j]
		named = named || o.names(r.host.exact, p)
		if !slices.Contains(o.places, p) || !o.takesQueryOf(r) {
			continue
		}
		if o.rule.Pattern == r.rule.Pattern && o.rule.Globs == r.rule.Globs {
			return true, Gap{} // and it names the host if r does
		}
		if !o.apart(r) {
			patterns = append(patterns, o.automaton())
		}
	}
	ok, text := r.automaton().within(patterns)
	switch {
	case ok:
		return named, Gap{Private: !named}
	case text == "" || r.url == nil:
		return false, Gap{}
	}
	return false, Gap{Example: exampleURL(p, text, r.url.query)}
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
// aside.
func (c *Coverage) Overlap(i, j int) bool {
	a, b := &c.rules[i], &c.rules[j]
	if a.host.exact != "" && b.host.exact != "" && a.host.exact != b.host.exact || a.url != nil && b.url != nil && a.apart(b) {
		return false
	}
	return slices.ContainsFunc(a.places, func(p place) bool { return slices.Contains(b.places, p) }) &&
		a.automaton().meets(b.automaton())
}
