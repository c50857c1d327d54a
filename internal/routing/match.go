package routing

// Which rule a request meets first, and what that makes of it. Rules are found by the plain text that their paths
// begin with, so that a request is compared with few of many.

import (
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/weir-run/weir/internal/weir"
)

// Kind is what a rule makes of a request.
type Kind uint8

// The kinds.
const (
	Redirect Kind = iota + 1 // the client is sent to Target
	Rewrite                  // what is at the path Target is the answer
	Proxy                    // the answer of the URL Target is the answer
	NotFound                 // there is nothing here: only rules for roles fit, and the client has none of them
)

// Request is what rules ask of a request.
type Request struct {
	Scheme   string // "http" or "https"
	Host     string // as in its Host header
	Path     string // percent-encoded
	Query    string // without its question mark
	Language string // of the client: a tag (BCP 47); "" if not known
	Country  string // where it is: two letters (ISO 3166-1); "" if not known
	// Cookies gives the values of cookies by their names. Roles gives the roles that were verified. They are asked only
	// if a rule does, but then by each of what may be very many; nil: there are none.
	Cookies func() map[string]string
	Roles   func() []string

	roles func() map[string]bool // these, as rules look for them
}

const (
	// maxWork bounds what comparing a request with the rules may cost, in bytes that are looked at or made. With more
	// to do, there is nothing for it: some rule may be there to keep it out.
	maxWork = 16 << 20
	// ruleCost is what a rule costs, roughly, and segmentCost what each part of its path does.
	ruleCost    = 64
	segmentCost = 32
	// maxTag bounds what names a language or a country.
	maxTag = 100
)

// Action is what becomes of a request.
type Action struct {
	Kind    Kind
	Status  int  // of a redirect; of the answer with a rewrite; a proxy's upstream has its own
	Force   bool // a file of the same path doesn't come first
	Target  string
	Headers map[string]string // to send to a proxy's upstream besides
	// Sign names the variable of the site whose value is the key that a request to a proxy's upstream is signed with;
	// "": it isn't.
	Sign string
	// RateLimit says how often the rule may be used, nil for as often as clients like. It is one of Rules.RateLimits.
	RateLimit *weir.RateLimit
}

// redirects are all rules, in order.
type redirects struct {
	all      []redirect
	patterns int              // how many have something open in their paths
	byPath   map[string][]int // those that have not, by their paths, decoded, without slashes at the ends
	byLead   map[string][]int // the others, by the segments that they begin with
	depth    int              // segments of the longest of these beginnings
	limits   []*weir.RateLimit
}

func newRedirects() redirects {
	return redirects{byPath: map[string][]int{}, byLead: map[string][]int{}}
}

func (rs *redirects) add(r redirect) {
	n := len(rs.all)
	rs.all = append(rs.all, r)
	if r.rateLimit != nil {
		rs.limits = append(rs.limits, r.rateLimit)
	}
	lead := r.pattern.literal()
	key := strings.Join(lead, "/")
	if r.pattern.fixed() {
		rs.byPath[key] = append(rs.byPath[key], n)
		return
	}
	rs.patterns++
	rs.depth = max(rs.depth, len(lead))
	rs.byLead[key] = append(rs.byLead[key], n)
}

// Empty tells whether there are no redirects, rewrites and proxies.
func (r *Rules) Empty() bool { return r == nil || len(r.redirects.all) == 0 }

// RateLimits gives the rate limits of all rules.
func (r *Rules) RateLimits() []*weir.RateLimit {
	if r == nil {
		return nil
	}
	return r.redirects.limits
}

// Signs gives the variables that hold keys of rules, each once.
func (r *Rules) Signs() []string {
	var out []string
	if r != nil {
		for i := range r.redirects.all {
			if s := r.redirects.all[i].sign; s != "" && !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}

// Match gives what the first rule that fits makes of a request, false if none does. A redirect that would lead to
// the very URL of the request is passed over. If a rule would fit but for its roles, no file comes before what is
// found instead: such rules are there to keep people out.
func (r *Rules) Match(q Request) (Action, bool) {
	if r.Empty() {
		return Action{}, false
	}
	p, ok := readPath(q.Path)
	if !ok {
		return Action{}, false
	}
	q.Language, q.Country = tag(q.Language), tag(q.Country)
	q.roles = sync.OnceValue(q.roleSet)
	query := parameters(q.Query)
	rs := &r.redirects
	lists := rs.candidates(p)
	barred, work := false, 0
	var room [4]pair
	for n := next(lists); n >= 0; n = next(lists) {
		rule := &rs.all[n]
		values, ok := rule.fits(&q, p, query, room[:0])
		if work += ruleCost + segmentCost*(len(rule.pattern.head)+len(rule.pattern.tail)); work > maxWork {
			return nothing, true
		}
		if !ok {
			continue
		}
		for _, v := range values {
			work += len(v.value)
		}
		if !rule.conditions.hasRole(&q) { // wherever it would have led
			barred = true
			continue
		}
		to, ok := rule.target.fill(values)
		if work += 2 * len(to); ok && !rule.returns(&q, to) {
			a := rule.action(&q, to)
			a.Force = a.Force || barred
			return a, true
		}
	}
	if barred {
		return nothing, true
	}
	return Action{}, false
}

// nothing is what there is for who is kept out.
var nothing = Action{Kind: NotFound, Status: 404, Force: true}

// tag gives the name of a language or a country in lower case, "" if it is too long to be one.
func tag(s string) string {
	if len(s) > maxTag {
		return ""
	}
	return strings.ToLower(s)
}

func (q *Request) roleSet() map[string]bool {
	out := map[string]bool{}
	if q.Roles != nil {
		for _, role := range q.Roles() {
			out[role] = true
		}
	}
	return out
}

// candidates gives lists of the rules that a path may match.
func (rs *redirects) candidates(p path) [][]int {
	bare := p.withoutSlash()
	whole := strings.Join(bare.decoded, "/")
	lists := [][]int{rs.byPath[whole], rs.byLead[""]}
	end := 0
	for i, s := range bare.decoded {
		if i >= rs.depth {
			break
		}
		if end += len(s); whole[:end] != "" {
			lists = append(lists, rs.byLead[whole[:end]])
		}
		end++
	}
	return lists
}

// next takes the lowest number out of lists that are in order, -1 if all are empty.
func next(lists [][]int) int {
	least := -1
	for i, l := range lists {
		if len(l) > 0 && (least < 0 || l[0] < lists[least][0]) {
			least = i
		}
	}
	if least < 0 {
		return -1
	}
	n := lists[least][0]
	lists[least] = lists[least][1:]
	return n
}

// parameters gives the values of a query's parameters, the last one of each name.
func parameters(raw string) map[string]string {
	out := map[string]string{}
	for p := range strings.SplitSeq(raw, "&") {
		name, value, ok := strings.Cut(p, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if ok && err1 == nil && err2 == nil {
			out[name] = value
		}
	}
	return out
}

// fits tells whether the rule is for a request, and gives what its placeholders stand for. It does not ask for roles.
func (r *redirect) fits(q *Request, p path, query map[string]string, values []pair) ([]pair, bool) {
	if r.host != "" && (r.host != canonicalHost(q.Scheme, q.Host) || r.scheme != q.Scheme) {
		return nil, false
	}
	if !r.conditions.met(q) {
		return nil, false
	}
	values, ok := r.pattern.match(p, values)
	if !ok {
		return values, false
	}
	for _, want := range r.query {
		got, ok := query[want.name]
		if !ok || !strings.HasPrefix(want.value, ":") && got != want.value || len(got) > maxPath {
			return values, false
		}
	}
	for _, want := range r.query {
		if name, open := strings.CutPrefix(want.value, ":"); open {
			values = append(values, pair{name, strings.ReplaceAll(url.QueryEscape(query[want.name]), "+", "%20")})
		}
	}
	return values, true
}

func (r *redirect) action(q *Request, to string) Action {
	a := Action{Kind: r.kind, Status: r.status, Force: r.force, Target: to, Sign: r.sign, RateLimit: r.rateLimit}
	if r.kind != Redirect {
		a.Target, _, _ = strings.Cut(to, "#")
	}
	switch {
	case q.Query == "":
	case r.target.query && r.kind == Rewrite:
		a.Target += "&" + asciiURL(q.Query)
	case !r.target.query:
		front, fragment, ok := strings.Cut(a.Target, "#")
		a.Target = strings.TrimSuffix(front, "?") + "?" + asciiURL(q.Query)
		if ok {
			a.Target += "#" + fragment
		}
	}
	if len(r.headers) > 0 {
		a.Headers = map[string]string{}
		for _, h := range r.headers {
			a.Headers[h.name] = h.value
		}
	}
	return a
}

// returns tells whether a redirect would lead back to where the request was, or go on for ever: /docs/* to
// /docs/new/:splat does not count for what is in /docs/new already.
func (r *redirect) returns(q *Request, to string) bool {
	if r.kind != Redirect {
		return false
	}
	if lead := strings.TrimSuffix(r.target.lead, "/"); r.pattern.splat && lead != "" {
		base := "/" + strings.Join(r.pattern.literal(), "/")
		if strings.HasPrefix(lead+"/", strings.TrimSuffix(base, "/")+"/") && strings.HasPrefix(q.Path+"/", lead+"/") {
			return true
		}
	}
	if r.target.external {
		u, err := url.Parse(to)
		if err != nil || u.Scheme != q.Scheme || canonicalHost(u.Scheme, u.Host) != canonicalHost(q.Scheme, q.Host) {
			return false
		}
		to = u.EscapedPath()
		if u.RawQuery != "" {
			to += "?" + u.RawQuery
		}
	}
	to, _, _ = strings.Cut(to, "#")
	path, query, _ := strings.Cut(to, "?")
	return strings.TrimSuffix(path, "/") == strings.TrimSuffix(q.Path, "/") && (!r.target.query || query == q.Query)
}

// met tells whether a request meets all conditions but roles.
func (c *conditions) met(q *Request) bool {
	if len(c.countries) > 0 && !slices.Contains(c.countries, q.Country) {
		return false
	}
	if len(c.languages) > 0 {
		primary, _, _ := strings.Cut(q.Language, "-")
		if !slices.Contains(c.languages, q.Language) && !slices.Contains(c.languages, primary) {
			return false
		}
	}
	if len(c.cookies) == 0 {
		return true
	}
	if q.Cookies == nil {
		return false
	}
	all := q.Cookies()
	return slices.ContainsFunc(c.cookies, func(name string) bool { return all[name] != "" })
}

// hasRole tells whether a request has one of the roles, if any is asked for.
func (c *conditions) hasRole(q *Request) bool {
	return len(c.roles) == 0 || slices.ContainsFunc(c.roles, func(role string) bool { return q.roles()[role] })
}
