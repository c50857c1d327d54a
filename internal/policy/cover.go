// This file exists because a change of a policy must be judged by what it allows, not by how it is
// written, and a rule that allows nothing of its own is noise.

package policy

import (
	"slices"
	"strconv"
)

// Coverage compares the rules of policies as sets of requests. Where patterns can't be compared in
// bounded time, and across kinds of rules, it says that something is not covered: never the opposite.
// Budgets are not looked at.
type Coverage struct {
	rules []covered
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
	c := &Coverage{}
	for i := range e.policy.Rules {
		c.rules = append(c.rules, newCovered(&e.policy.Rules[i]))
	}
	return c
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

// Covered tells whether all that rule i allows is allowed by those rules of by that are listed, together.
// That includes leading to private addresses, which only a rule that names the very host does. If not,
// example is a request that shows it, as "METHOD URL"; it may be empty.
func (c *Coverage) Covered(i int, by *Coverage, list []int) (ok bool, example string) {
	r := &c.rules[i]
	if r.places == nil {
		return r.coveredFile(by, list), ""
	}
	for _, p := range r.places {
		if ok, example := r.coveredPlace(p, by, list); !ok {
			return false, example
		}
	}
	return true, ""
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

func (r *covered) coveredPlace(p place, by *Coverage, list []int) (ok bool, example string) {
	named := r.host.exact == "" || p.kind == DNS
	var patterns []*automaton
	for _, j := range list {
		o := &by.rules[j]
		named = named || o.names(r.host.exact, p)
		if !slices.Contains(o.places, p) || !o.near(r) || !o.takesQueryOf(r) {
			continue
		}
		if o.rule.Pattern == r.rule.Pattern && o.rule.Globs == r.rule.Globs {
			return true, "" // and it names the host if r does
		}
		patterns = append(patterns, o.automaton())
	}
	if !named {
		return false, ""
	}
	ok, text := r.automaton().within(patterns)
	if !ok && text != "" && r.url != nil {
		example = exampleURL(p, text)
	}
	return ok, example
}

// names tells whether o names this very host and the port of p, so that it may lead to a private address.
func (o *covered) names(host string, p place) bool {
	return o.host.exact == host && slices.ContainsFunc(o.places, func(q place) bool {
		return q.port == p.port && q.kind != DNS && (q.kind == UDP) == (p.kind == UDP)
	})
}

// near leaves out what can't cover r because the hosts are plainly different ones.
func (o *covered) near(r *covered) bool {
	return o.host.exact == "" || r.host.match(o.host.exact)
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

// exampleURL gives "METHOD URL" for what an automaton takes, if it can be requested.
func exampleURL(p place, text string) string {
	for i := range text {
		if text[i] != '/' {
			continue
		}
		u, err := newURL(p.scheme, bracketed(text[:i])+":"+strconv.Itoa(int(p.port)), text[i:])
		if err != nil {
			return ""
		}
		return clip(p.method + " " + u.String())
	}
	return ""
}

// Overlap tells whether rules i and j, both of them about hosts, may allow a request in common, queries
// aside.
func (c *Coverage) Overlap(i, j int) bool {
	a, b := &c.rules[i], &c.rules[j]
	return slices.ContainsFunc(a.places, func(p place) bool { return slices.Contains(b.places, p) }) &&
		a.automaton().meets(b.automaton())
}
