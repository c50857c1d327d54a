package learn

// From sums to a proposal: rules, each with its evidence and, if it deserves one, the reason for a
// second look.

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// Options says what is known beside the records. All may be zero.
type Options struct {
	// Sources gives what the own code of a function names, nothing if the site has no such function. nil: the
	// site's files are not there to be asked.
	Sources  func(function string) Sources
	Exists   func(path string) bool    // tells whether a file is there; nil: nobody knows
	Existing map[string]*policy.Policy // what each function may do now; no entry: it has no policy
}

// Proposal is what the records make of a policy. It is printed as JSON, too.
type Proposal struct {
	From      time.Time  `json:"from"` // of the records
	To        time.Time  `json:"to"`
	Records   int        `json:"records"`
	Lost      int        `json:"lost,omitempty"` // records that found no room: hostile ones, most likely
	Functions []Function `json:"functions"`      // by name; only those with something to say
	Grants    []Grant    `json:"grants"`         // the rules there are, and when each was last used
}

// Function is what is new for one function.
type Function struct {
	Name       string `json:"function"`
	Intrinsic  bool   `json:"intrinsic,omitempty"` // its policy is a bootstrap of its own: nothing is proposed for weir.toml
	Rules      []Rule `json:"rules"`               // live ones first
	Unnameable int    `json:"unnameable,omitempty"`
	OverBudget int    `json:"over_budget,omitempty"` // calls beyond the budget of a rule there is
	Lost       int    `json:"lost,omitempty"`        // records that found no room
	TooDeep    int    `json:"too_deep,omitempty"`    // … of them since their path has more than 16 segments
}

// Rule is one proposed rule.
type Rule struct {
	Key         string    `json:"key"`  // of weir.toml
	Text        string    `json:"rule"` // as in weir.toml, without quotes; "true" for addons
	Calls       int       `json:"calls"`
	Imported    int       `json:"at_import,omitempty"` // … of them at import
	Invocations int       `json:"invocations"`         // different ones, at most 8 are told apart
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Example     string    `json:"example,omitempty"` // a path with its values taken out
	NamedBy     string    `json:"named_by,omitempty"`
	Why         []string  `json:"second_look,omitempty"` // not empty: proposed as a comment only

	rule  policy.Rule
	host  string
	port  uint16
	alone bool // no more than one invocation tried it
}

// Live tells whether the rule is proposed as one, not as a comment.
func (r *Rule) Live() bool { return len(r.Why) == 0 }

// keys of weir.toml in the order in which a section has them.
var keys = []string{"http", "tcp", "udp", "dns", "read", "write", "exec", "env", "addons"}

func keyOf(k policy.Kind) string {
	switch k {
	case policy.WS:
		return "http"
	case policy.Addon:
		return "addons"
	}
	return k.String()
}

// Propose gives the proposal for all functions.
func (s *Set) Propose(o Options) (*Proposal, error) {
	p := &Proposal{From: s.first, To: s.last, Records: s.records, Lost: s.lost}
	j := s.judge(o)
	for _, name := range slices.Sorted(maps.Keys(s.functions)) {
		f := s.functions[name]
		j.about(name)
		have := o.Existing[name]
		eng, err := policy.Compile(have)
		if err != nil {
			return nil, err
		}
		p.Grants = append(p.Grants, f.grants(name, eng)...)
		out := Function{Name: name, Intrinsic: f.intrinsic || have != nil && have.Intrinsic, Unnameable: f.unnameable, OverBudget: f.overBudget, Lost: f.lost, TooDeep: f.deep,
			Rules: f.rules(j, eng)}
		if err := errors.Join(settle(have, out.Rules), spare(have, out.Rules)); err != nil {
			return nil, err
		}
		slices.SortStableFunc(out.Rules, func(a, b Rule) int {
			return cmp.Or(cmp.Compare(slices.Index(keys, a.Key), slices.Index(keys, b.Key)), live(b)-live(a), cmp.Compare(target(a), target(b)))
		})
		if len(out.Rules)+out.Unnameable+out.OverBudget+out.Lost > 0 {
			p.Functions = append(p.Functions, out)
		}
	}
	mark(p.Grants, s.last)
	return p, nil
}

// target is what rules are sorted by before their methods.
func target(r Rule) string {
	if _, url, ok := strings.Cut(r.Text, " "); ok && r.Key == "http" {
		return url
	}
	return r.Text
}

func live(r Rule) int {
	if r.Live() {
		return 1
	}
	return 0
}

// judge ranks all hosts: those that functions name, then by calls.
func (s *Set) judge(o Options) *judge {
	j := &judge{of: o.Sources, known: map[string]Sources{}, exists: o.Exists, rank: map[string]int{}}
	calls, named := map[string]int{}, map[string]bool{}
	note := func(kind policy.Kind, host string, e *evidence) {
		calls[host] += e.calls
		named[host] = named[host] || e.allowed > 0 || j.namedBy(&call{kind: kind, host: host, evidence: e}) != ""
	}
	for name, f := range s.functions {
		j.about(name)
		for p, t := range f.places {
			t.each(func(e *evidence) { note(p.kind, p.host, e) })
		}
		for k, e := range f.flat {
			if k.kind == policy.TCP || k.kind == policy.UDP {
				host, _ := splitPort(k.pattern)
				note(k.kind, host, e)
			}
		}
	}
	j.hosts = slices.SortedFunc(maps.Keys(calls), func(a, b string) int {
		switch {
		case named[a] && !named[b]:
			return -1
		case named[b] && !named[a]:
			return 1
		}
		return cmp.Or(calls[b]-calls[a], cmp.Compare(a, b))
	})
	for i, h := range j.hosts {
		j.rank[h] = i
	}
	return j
}

func splitPort(s string) (host string, port uint16) {
	i := strings.LastIndexByte(s, ':')
	n, _ := strconv.ParseUint(s[i+1:], 10, 16)
	return strings.Trim(s[:i], "[]"), uint16(n)
}

// rules gives what the function did and its policy does not allow.
func (f *function) rules(j *judge, eng *policy.Engine) []Rule {
	have := eng.Policy().Source != ""
	var out []Rule
	f.each(func(t *tried) {
		if eng.Decide(&t.request).Allow || t.allow && have {
			return
		}
		c := call{kind: t.rule.Kind, scheme: t.request.URL.Scheme, typ: t.request.Type, host: t.request.Host, port: t.request.Port,
			path: t.rule.Pattern, various: t.various, widens: t.widens, of: f.invocations, evidence: t.evidence}
		if t.rule.Kind == policy.HTTP || t.rule.Kind == policy.WS {
			c.host, c.port = t.request.URL.Host, t.request.URL.Port
		}
		c.known = c.host != "" && names(eng, c.host)
		r := newRule(j, &c, t.rule)
		r.Example, r.alone = t.example, t.alone()
		out = add(out, r)
	})
	return out
}

// tried is one thing that a function did, as a rule would have it.
type tried struct {
	rule    policy.Rule
	request policy.Request // one that the rule allows
	allow   bool           // a rule of the time allowed it
	example string
	various bool
	widens  bool // it is wider than what other invocations did, and one alone tried it
	*evidence
}

// widens tells whether a path that one invocation tried is wider than what others did at the same
// place, whether a rule of the time allowed them or not.
func widens(paths map[place][]found, p place, f *found) bool {
	if f.example == "" {
		return false
	}
	for _, p.allow = range []bool{true, false} {
		if slices.ContainsFunc(paths[p], func(o found) bool { return o.path != f.path && f.widens(&o) }) {
			return true
		}
	}
	return false
}

// each calls do for all that the function did, in order.
func (f *function) each(do func(*tried)) {
	paths := map[place][]found{}
	for p, t := range f.places {
		paths[p] = t.patterns()
	}
	for _, p := range slices.SortedFunc(maps.Keys(f.places), comparePlaces) {
		for _, found := range paths[p] {
			path := found.path
			if found.example != "" {
				path = strings.ReplaceAll(path, "*", "0")
			}
			do(&tried{rule: p.rule(found.path), allow: p.allow, example: found.example, various: found.various, widens: widens(paths, p, &found), evidence: &found.evidence,
				request: policy.Request{Kind: p.kind, Method: p.method, URL: policy.URL{Scheme: p.scheme, Host: p.host, Port: p.port, Path: path, Query: unknownQuery}}})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(f.flat), compareFlats) {
		t := &tried{rule: policy.Rule{Kind: k.kind, Pattern: k.pattern}, allow: k.allow, evidence: f.flat[k], request: policy.Request{Kind: k.kind}}
		switch k.kind {
		case policy.TCP, policy.UDP:
			t.request.Host, t.request.Port = splitPort(k.pattern)
		case policy.DNS:
			t.request.Type, t.request.Host, _ = strings.Cut(k.pattern, " ")
		default:
			t.request.Path = strings.TrimSuffix(k.pattern, "/**")
		}
		do(t)
	}
}

// add appends a rule; one that is there already gets the better evidence of the two: a call that was
// allowed and one that was not make one rule.
func add(rules []Rule, r Rule) []Rule {
	for i := range rules {
		if o := &rules[i]; o.Key == r.Key && o.Text == r.Text {
			if live(r) < live(*o) {
				r, *o = *o, r
			}
			r.Calls, r.Invocations = r.Calls+o.Calls, max(r.Invocations, o.Invocations)
			*o = r
			return rules
		}
	}
	return append(rules, r)
}

// names tells whether a rule of the policy names a host, on whatever port.
func names(eng *policy.Engine, host string) bool {
	req := policy.Request{Kind: policy.HTTP, URL: policy.URL{Scheme: "https", Host: host, Port: 443, Path: "/"}}
	tcp := policy.Request{Kind: policy.TCP, Host: host, Port: 1}
	return eng.Decide(&req).Nearest >= 0 || eng.Decide(&tcp).Nearest >= 0
}

func newRule(j *judge, c *call, rule policy.Rule) Rule {
	r := Rule{Key: keyOf(rule.Kind), rule: rule, Calls: c.calls, Imported: c.imported, Invocations: c.distinct,
		First: c.first, Last: c.last, Why: j.reasons(c), host: c.host, port: c.port}
	switch rule.Kind {
	case policy.WS:
		r.Text = "GET " + rule.Pattern
	case policy.Addon:
		r.Text = "true"
		return r
	default:
		r.Text = rule.Pattern
	}
	if c.host != "" {
		r.NamedBy = j.namedBy(c)
	}
	var bad *weir.Error
	if errors.As(policy.Check(rule), &bad) {
		r.Why = append(r.Why, "no rule can say it: "+bad.Message)
	}
	if !r.Live() {
		r.Text = guarded(c, r.Text)
	}
	return r
}

// guarded takes out of a rule that is only told in a comment what may be data or an id.
func guarded(c *call, text string) string {
	if c.host != "" {
		return strings.Replace(text, c.host, disguised(c.host), 1)
	}
	if c.kind == policy.Read || c.kind == policy.Write || c.kind == policy.Exec {
		segs := strings.Split(text, "/")
		for i, seg := range segs {
			if seg != "**" && isValue(strings.TrimPrefix(seg, "."), false) {
				segs[i] = "…"
			}
		}
		return strings.Join(segs, "/")
	}
	return text
}

// settle makes comments of the live rules that the others or the policy contradict: a host and port is
// either http or tcp.
func settle(have *policy.Policy, rules []Rule) error {
	p := &policy.Policy{}
	if have != nil {
		p.Rules = slices.Clone(have.Rules)
	}
	for _, kind := range []policy.Kind{policy.HTTP, policy.TCP} {
		eng, err := policy.Compile(p)
		if err != nil {
			return err
		}
		for i := range rules {
			r := &rules[i]
			if web := r.rule.Kind == policy.HTTP || r.rule.Kind == policy.WS; !r.Live() || r.rule.Kind != kind && !(web && kind == policy.HTTP) {
				continue
			}
			if s := eng.Service(r.host, r.port); s == policy.NoService || (s == policy.TCPService) == (kind == policy.TCP) {
				p.Rules = append(p.Rules, r.rule)
				continue
			}
			r.Why = append(r.Why, "the function speaks HTTP and another protocol there, and one host and port is either http or tcp")
		}
	}
	return nil
}

// spare makes comments of the live rules that would allow more of what rules of the policy are about:
// another query, or, if one invocation alone asks for it, other paths.
func spare(have *policy.Policy, rules []Rule) error {
	if have == nil {
		return nil
	}
	p := &policy.Policy{Rules: slices.Clone(have.Rules)}
	var live []*Rule
	for i := range rules {
		if r := &rules[i]; r.Live() && r.Key == "http" {
			p.Rules, live = append(p.Rules, r.rule), append(live, r)
		}
	}
	eng, err := policy.Compile(p)
	if err != nil {
		return err
	}
	c := policy.NewCoverage(eng)
	for n, r := range live {
		i := len(have.Rules) + n
		for _, j := range c.Near(i, c) {
			wider := r.alone && r.Example != ""
			if j >= len(have.Rules) || !wider && p.Rules[j].Query == nil || !c.Overlap(i, j) {
				continue
			}
			if p.Rules[j].Query != nil {
				r.Why = append(r.Why, "a rule of the policy has this URL with a query, and this one would allow any query")
			} else {
				r.Why = append(r.Why, "wider than a rule of the policy, and one invocation alone did it")
			}
			break
		}
		if c.Unsure() && r.Live() {
			r.Why = append(r.Why, "there are too many rules to tell whether it is wider than one of the policy")
		}
	}
	return nil
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.host, b.host), cmp.Compare(a.port, b.port), cmp.Compare(a.scheme, b.scheme), cmp.Compare(a.method, b.method),
		cmp.Compare(a.kind, b.kind), boolInt(b.allow)-boolInt(a.allow))
}

func compareFlats(a, b flat) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.pattern, b.pattern), boolInt(b.allow)-boolInt(a.allow))
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// LeftOut says what of the records the proposal is not about, "" if it is about all.
func (f *Function) LeftOut() string {
	if f.Lost == 0 {
		return ""
	}
	s := "records that found no room: " + strconv.Itoa(f.Lost)
	switch many := f.Lost - f.TooDeep; {
	case many == 0:
		return s + fmt.Sprintf(" (paths of more than %d segments)", maxDepth)
	case f.TooDeep == 0:
		return s + " (too many different things were tried)"
	default:
		return s + fmt.Sprintf(" (%d of paths of more than %d segments, %d since too many different things were tried)", f.TooDeep, maxDepth, many)
	}
}

// evidence in words, for a comment.
func (r *Rule) evidence() string {
	s := count(r.Calls, "call")
	switch {
	case r.Invocations == manyRequests:
		s += fmt.Sprintf(" in %d invocations or more", manyRequests)
	case r.Invocations > 0:
		s += " in " + count(r.Invocations, "invocation")
	}
	if r.Imported > 0 {
		s += fmt.Sprintf(", %d at import", r.Imported)
	}
	s += ", " + span(r.First, r.Last)
	if r.Example != "" {
		s += "; such as " + r.Example
	}
	if r.NamedBy != "" {
		s += "; named by " + r.NamedBy
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func span(from, to time.Time) string {
	a, b := from.UTC().Format(time.DateOnly), to.UTC().Format(time.DateOnly)
	if a == b {
		return a
	}
	return a + " to " + b
}
