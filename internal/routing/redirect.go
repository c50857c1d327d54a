package routing

// From what was written to a rule that requests can be compared with.

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// redirect is a rule.
type redirect struct {
	scheme, host string // of a rule for one host; "" for all
	pattern      pattern
	query        []pair // parameters that a request must have; :NAME takes any value, and gives it a name
	conditions   conditions
	target       target
	kind         Kind
	status       int
	force        bool
	headers      []pair
	sign         string // as in Action
	rateLimit    *weir.RateLimit
}

// conditions must all be met; of each list one entry, in lower case but for names of cookies and roles. Empty ones
// are met.
type conditions struct {
	countries, languages, cookies, roles []string
}

// add adds a rule, or tells what is wrong with it; forRole: it asks for a role.
func (p *parser) add(pos weir.Position, e entry, f *fault, forRole bool) {
	if f == nil {
		var r redirect
		if r, f = compile(e); f == nil {
			if !p.addRedirect(pos, r) && forRole {
				p.exposed("a role")
			}
			return
		}
	}
	remedy := f.remedy
	if remedy != "" {
		remedy = "the rule is left out; " + remedy
	}
	p.warn(pos, f.message, remedy)
	if forRole {
		p.exposed("a role")
	}
}

func (p *parser) addRedirect(pos weir.Position, r redirect) bool {
	rs := &p.rules.redirects
	switch {
	case len(rs.all) >= MaxRedirects:
		p.once(pos, fmt.Sprintf("there are more than %d redirects: those from here on are not applied", MaxRedirects), "merge them by placeholders and splats")
	case r.rateLimit != nil && len(rs.limits) >= MaxRateLimits:
		p.once(pos, fmt.Sprintf("there are more than %d redirects with a rate limit: the others of them are not applied", MaxRateLimits), "merge them")
	case !r.pattern.fixed() && rs.patterns >= MaxPatterns:
		p.once(pos, fmt.Sprintf("there are more than %d redirects with placeholders or splats: the others of them are not applied", MaxPatterns), "merge them")
	default:
		rs.add(r)
		return true
	}
	return false
}

func compile(e entry) (r redirect, f *fault) {
	if len(e.from) > maxLine || len(e.to) > maxLine {
		return r, faulty("make it shorter", "a path or target is longer than %d bytes", maxLine)
	}
	if e.sign != "" && !isVariable(e.sign) {
		return r, faulty("name the variable that holds the key", "%q, which a rule is to be signed with, is no name of a variable", e.sign)
	}
	from := e.from
	if isURL(from) {
		u, err := url.Parse(from)
		if err != nil || u.Host == "" || u.User != nil {
			return r, faulty("write it as in https://www.example.com/*", "%q is no URL that a rule can be for", from)
		}
		r.scheme, r.host = u.Scheme, canonicalHost(u.Scheme, u.Host)
		if from = u.EscapedPath(); u.RawQuery != "" || u.Fragment != "" {
			from += "?"
		}
	}
	if strings.HasPrefix(strings.TrimLeft(from, "/"), ".netlify") {
		return r, faulty("take another path", "the path %q belongs to the platform", from)
	}
	if r.pattern, f = parsePattern(from); f != nil {
		return r, f
	}
	if r.conditions, f = parseConditions(e.conditions); f != nil {
		return r, f
	}
	names := placeholders(&r.pattern)
	for _, q := range e.query {
		r.query = append(r.query, q)
		if name, ok := strings.CutPrefix(q.value, ":"); ok && name != "" {
			names = append(names, name)
		}
	}
	r.force, r.headers, r.sign, r.rateLimit = e.force, e.headers, e.sign, e.rateLimit
	if f = r.leadTo(e, from, names); f == nil && r.sign != "" && r.kind != Proxy {
		f = faulty("leave the key out", "only a proxy is signed, and the rule for %q is none", e.from)
	}
	return r, f
}

// leadTo reads a rule's status and target.
func (r *redirect) leadTo(e entry, from string, names []string) *fault {
	r.status = e.status
	if r.status == 0 {
		r.status = 301
	}
	to := e.to
	if to == "" {
		if !strings.HasSuffix(from, "/*") || r.status < 200 || r.status > 299 {
			return faulty("write: FROM TO STATUS", "the rule for %q has no target", e.from)
		}
		to = strings.TrimSuffix(from, "*") + ":splat"
	}
	switch {
	case slices.Contains([]int{301, 302, 303, 307, 308}, r.status):
		r.kind = Redirect
	case r.status < 200 || r.status > 599 || r.status >= 300 && r.status < 400 || r.status == 204 || r.status == 205:
		return faulty("take 301, 302, 303, 307 or 308 for a redirect, 200 for a rewrite or proxy, or 404, 410 or another error with a page", "the status %d can't be used", r.status)
	case isURL(to):
		r.kind = Proxy
	default:
		r.kind = Rewrite
	}
	var f *fault
	r.target, f = parseTarget(to, names, r.kind == Proxy)
	return f
}

func placeholders(p *pattern) []string {
	var names []string
	for _, s := range slices.Concat(p.head, p.tail) {
		if s.placeholder {
			names = append(names, s.text)
		}
	}
	if p.splat {
		names = append(names, "splat")
	}
	return names
}

// isVariable tells whether a text can be the name of a variable.
func isVariable(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s[:1], "0123456789") != "" &&
		strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// canonicalHost gives a host in lower case, without the port that its scheme has anyway.
func canonicalHost(scheme, host string) string {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.TrimSuffix(strings.ToLower(host), port)
}

func parseConditions(all []pair) (conditions, *fault) {
	var c conditions
	for _, p := range all {
		list := strings.FieldsFunc(p.value, func(r rune) bool { return r == ',' || r == ' ' })
		if len(list) == 0 {
			return c, faulty("name one or several, divided by commas", "the condition %s has no value", p.name)
		}
		switch strings.ToLower(p.name) {
		case "country":
			c.countries = append(c.countries, lower(list)...)
		case "language":
			c.languages = append(c.languages, lower(list)...)
		case "cookie":
			c.cookies = append(c.cookies, list...)
		case "role":
			c.roles = append(c.roles, list...)
		default:
			return c, faulty("there are Country, Language, Cookie and Role", "%q is no condition", p.name)
		}
	}
	return c, nil
}

func lower(list []string) []string {
	for i := range list {
		list[i] = strings.ToLower(list[i])
	}
	return list
}
