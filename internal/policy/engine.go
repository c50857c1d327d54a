// This file exists because a policy is read once and asked often: Compile checks it and lays it out
// so that a decision is a few look-ups, however many rules there are.

package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// Engine decides by one policy. It never changes after Compile and is safe for concurrent use.
type Engine struct {
	policy   *Policy
	urls     []urlRule
	tcps     []hostPort
	udps     udpRules
	dns      dnsRules
	exact    map[string]*hostRules // http and ws rules by host
	suffixes map[string]*hostRules // … by what follows the one label of "*.": ".example.com"
	globs    []int                 // … whose host has other wildcards (Intrinsic): indices in urls
	services services
	files    map[Kind]*fileRules // Read, Write, Exec, Env

	bounds  []Bound // who must agree (see Within)
	bounded *Policy // policy with what the bounds leave of its settings; nil without bounds
	held    map[Kind]held
	ceiling *ceiling // what makes the policy a ceiling; nil if it is none
}

// hostRules are the url rules of one host, as indices in Engine.urls.
type hostRules struct {
	all     []int
	byPath  map[string][]int // those without wildcards in the path
	pattern []int            // the others
}

// fileRules are the rules of one kind, by path or name, as indices in Policy.Rules.
type fileRules struct {
	exact map[string]int
	deep  map[string]int // DIR of DIR/**
	globs []Glob         // finer patterns (Intrinsic)
	grant []string       // canonical patterns in the order of the policy, without doubles
}

// Check tells what is wrong with one rule by itself. The error is a *weir.Error at the rule's
// position.
func Check(r Rule) error {
	return new(Engine).add(0, &r)
}

// Compile checks and indexes a policy, which must not change afterwards. nil is the policy that
// allows nothing. Each error is a *weir.Error at the position of a rule: a bad pattern, one host:port as both http
// (or ws) and tcp, or a setting that no front end gives; several are joined.
func Compile(p *Policy) (*Engine, error) {
	if p == nil {
		p = &Policy{}
	}
	e := &Engine{policy: p}
	errs := checkSettings(p)
	for i := range p.Rules {
		if err := e.add(i, &p.Rules[i]); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, e.indexServices()...)
	switch len(errs) {
	case 0:
		e.indexURLs()
		return e, nil
	case 1:
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

// checkSettings refuses what no front end gives: a policy may come from a store that others can write.
func checkSettings(p *Policy) (errs []error) {
	refuse := func(setting string) {
		err := invalid("deploy the site anew", "the policy of %s has a %s that does not exist", clip(p.Function), setting)
		err.Pos = p.At(setting)
		errs = append(errs, err)
	}
	l, r := p.Limits, p.Running
	if p.Mode > Monitor {
		refuse("mode")
	}
	if min(int64(l.Timeout), l.Memory, l.Tmp, int64(l.Processes), int64(l.Files), l.Request, l.Response, l.Log) < 0 || l.CPU < 0 || l.CPU != l.CPU {
		refuse("limit")
	}
	if min(r.Node, r.Concurrency, r.KeepWarm) < 0 {
		refuse("count of instances")
	}
	if r.Isolation != "" && r.Isolation != weir.PerInstance && r.Isolation != weir.PerRequest {
		refuse("isolation")
	}
	return errs
}

// add compiles one rule.
func (e *Engine) add(i int, r *Rule) error {
	return placed(e.parse(i, r), r.Pos)
}

// placed puts the position of a rule into what is wrong with it.
func placed(err error, pos weir.Position) error {
	var bad *weir.Error
	if errors.As(err, &bad) {
		bad.Pos = pos
	}
	return err
}

func (e *Engine) parse(i int, r *Rule) error {
	if r.Query != nil && r.Kind != HTTP && r.Kind != WS {
		return invalid("remove it", "only http rules have a query")
	}
	if err := checkBudget(r); err != nil {
		return err
	}
	switch r.Kind {
	case HTTP, WS:
		u, err := parseURLRule(r)
		u.rule = i
		e.urls = append(e.urls, u)
		return err
	case TCP:
		t, err := parseHostPort(r)
		t.rule = i
		e.tcps = append(e.tcps, t)
		return err
	case UDP:
		u, err := parseUDPRule(r)
		u.rule = i
		if err == nil {
			e.udps.add(u)
		}
		return err
	case DNS:
		q, err := parseDNSRule(r)
		q.rule = i
		if err == nil {
			e.dns.add(q)
		}
		return err
	case Read, Write:
		if r.Globs && isFileGlob(r.Pattern) {
			g, err := parseFileGlob(r)
			if g.rule = i; err == nil {
				fs := e.filesOf(r.Kind)
				fs.globs = append(fs.globs, g)
			}
			return err
		}
		f, err := parseFileRule(r)
		if err == nil {
			e.addFile(i, r.Kind, f)
		}
		return err
	case Exec:
		e.addFile(i, r.Kind, fileRule{path: r.Pattern})
		return parseExecRule(r)
	case Env:
		e.addFile(i, r.Kind, fileRule{path: r.Pattern})
		return parseEnvRule(r)
	}
	return invalid("", "a rule of kind %d does not exist", r.Kind)
}

func (e *Engine) filesOf(k Kind) *fileRules {
	if e.files == nil {
		e.files = map[Kind]*fileRules{}
	}
	fs := e.files[k]
	if fs == nil {
		fs = &fileRules{exact: map[string]int{}, deep: map[string]int{}}
		e.files[k] = fs
	}
	return fs
}

func (e *Engine) addFile(i int, k Kind, f fileRule) {
	fs := e.filesOf(k)
	m := fs.exact
	if f.deep {
		m = fs.deep
	}
	if _, ok := m[f.path]; ok {
		return
	}
	m[f.path] = i
	if k == Read && (below(f.path, bundleDir) || below(f.path, tmpDir)) {
		return // there without a rule; the host's own /tmp is never meant
	}
	fs.grant = append(fs.grant, f.String())
}

func (e *Engine) indexURLs() {
	e.exact, e.suffixes = map[string]*hostRules{}, map[string]*hostRules{}
	for i := range e.urls {
		u := &e.urls[i]
		m, key := e.exact, u.host.exact
		switch {
		case u.host.labels != nil:
			e.globs = append(e.globs, i)
			continue
		case u.host.suffix != "":
			m, key = e.suffixes, u.host.suffix
		}
		h := m[key]
		if h == nil {
			h = &hostRules{byPath: map[string][]int{}}
			m[key] = h
		}
		h.all = append(h.all, i)
		if u.segs == nil {
			h.byPath[u.literal] = append(h.byPath[u.literal], i)
		} else {
			h.pattern = append(h.pattern, i)
		}
	}
}

// Policy gives the policy that was compiled, within bounds with what they leave of its settings.
func (e *Engine) Policy() *Policy {
	if e.bounded != nil {
		return e.bounded
	}
	return e.policy
}

// Grants gives the canonical patterns of the rules of kind k (Read, Write or Exec; for Env see Variables) in the
// order of the policy, without doubles; within bounds, what all grant. Read leaves out /var/task and /tmp, which can
// be read anyway.
func (e *Engine) Grants(k Kind) []string {
	if e.bounded != nil {
		return slices.Clone(e.held[k].grants)
	}
	return e.own(k)
}

// own gives the grants of the policy by itself.
func (e *Engine) own(k Kind) []string {
	if fs := e.files[k]; fs != nil {
		return append([]string(nil), fs.grant...)
	}
	return nil
}

// Decide tells whether the policy and all bounds allow r, and by which rule of the policy; of several, the first
// that stands in it. It is pure, allocates nothing and is safe for concurrent use.
func (e *Engine) Decide(r *Request) Decision {
	d := e.decide(r)
	if len(e.bounds) > 0 {
		d = e.bound(r, d)
	}
	return d
}

// decide asks the policy by itself.
func (e *Engine) decide(r *Request) Decision {
	if e.opens(r.Kind) {
		return Decision{Allow: true, Rule: -1, Nearest: -1}
	}
	d := Decision{Rule: -1, Nearest: -1, Reason: NoRule}
	switch r.Kind {
	case HTTP, WS:
		e.decideURL(r, &d)
	case TCP:
		e.decideTCP(r, &d)
	case UDP:
		e.udps.decide(r, &d)
	case DNS:
		e.dns.decide(r, &d)
	case Read, Write, Exec, Env:
		e.decideFile(r, &d)
	case Addon:
		if e.policy.Addons {
			d.Allow, d.Reason = true, Allowed
		}
	}
	if !d.Allow && d.Nearest < 0 && e.empty() {
		d.Reason = NoPolicy
	}
	return d
}

// empty tells whether the function has no policy at all.
func (e *Engine) empty() bool {
	return e.policy.Source == "" && len(e.policy.Rules) == 0 && !e.policy.Addons
}

func (e *Engine) decideURL(r *Request, d *Decision) {
	first := -1 // in e.urls
	exact, suffix := e.exact[r.URL.Host], e.suffixes[suffixOf(r.URL.Host)]
	for _, h := range [...]*hostRules{exact, suffix} {
		if h != nil {
			first = e.firstAllowing(h.byPath[r.URL.Path], r, first)
			first = e.firstAllowing(h.pattern, r, first)
		}
	}
	for _, i := range e.globs {
		if e.urls[i].host.match(r.URL.Host) {
			first = e.firstAllowing([]int{i}, r, first)
		}
	}
	if first >= 0 {
		d.Allow, d.Rule, d.Reason = true, e.urls[first].rule, Allowed
		return
	}
	var n nearest
	for _, h := range [...]*hostRules{exact, suffix} {
		if h != nil {
			for _, i := range h.all {
				n.consider(&e.urls[i], r)
			}
		}
	}
	for _, i := range e.globs {
		if e.urls[i].host.match(r.URL.Host) {
			n.consider(&e.urls[i], r)
		}
	}
	if n.rule != nil {
		d.Nearest, d.Reason = n.rule.rule, n.reason
	}
}

// firstAllowing gives the lowest of first and the rules of list that allow r; list is ascending.
func (e *Engine) firstAllowing(list []int, r *Request, first int) int {
	for _, i := range list {
		if first >= 0 && i >= first {
			break
		}
		if e.urls[i].mismatch(r) == Allowed {
			return i
		}
	}
	return first
}

// nearest keeps the rule that differs least: in the lightest respect, then with the same method,
// then with the longest beginning of the path in common, then the first.
type nearest struct {
	rule   *urlRule
	reason Reason
	method bool
	prefix int
}

func (n *nearest) consider(u *urlRule, r *Request) {
	c := nearest{u, u.mismatch(r), u.method == r.Method, commonPrefix(u.literal, r.URL.Path)}
	switch {
	case n.rule == nil, c.reason > n.reason:
	case c.reason < n.reason, c.method != n.method && n.method, c.method == n.method && c.prefix <= n.prefix:
		return
	}
	*n = c
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func (e *Engine) decideTCP(r *Request, d *Decision) {
	if s := e.services.find(r.Host, r.Port); s.service == TCPService {
		d.Allow, d.Rule, d.Reason = true, s.rule, Allowed
		return
	}
	if i := firstOf(e.services.tcpHosts, r.Host, suffixOf(r.Host)); i >= 0 {
		d.Nearest, d.Reason = i, OtherPort
	}
}

func (e *Engine) decideFile(r *Request, d *Decision) {
	if r.Kind == Read && (below(r.Path, bundleDir) || below(r.Path, tmpDir)) {
		d.Allow, d.Reason = true, Allowed
	}
	fs := e.files[r.Kind]
	if fs == nil {
		return
	}
	if i, ok := fs.exact[r.Path]; ok {
		d.Allow, d.Rule, d.Reason = true, i, Allowed
		return
	}
	for dir := r.Path; dir != "" && r.Kind != Env; dir = parent(dir) {
		if i, ok := fs.deep[dir]; ok {
			d.Allow, d.Rule, d.Reason = true, i, Allowed
			return
		}
	}
	for i := range fs.globs {
		if g := &fs.globs[i]; g.Match(r.Path) {
			d.Allow, d.Rule, d.Reason = true, g.rule, Allowed
			return
		}
	}
	if !d.Allow && r.Kind != Env {
		fs.near(r, d)
	}
}

// near finds the rule with the same program name, or with the longest directory in common.
func (fs *fileRules) near(r *Request, d *Decision) {
	best := 0
	for _, m := range [...]map[string]int{fs.exact, fs.deep} {
		for p, i := range m {
			n := strings.LastIndexByte(p[:commonPrefix(p, r.Path)], '/')
			switch {
			case r.Kind != Exec:
			case base(p) == base(r.Path):
				n = 1
			default:
				n = 0
			}
			if n > best || n > 0 && n == best && i < d.Nearest {
				best, d.Nearest, d.Reason = n, i, OtherPath
			}
		}
	}
}

func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// parent gives the directory of an absolute path, "" above the top ones.
func parent(p string) string {
	return p[:max(0, strings.LastIndexByte(p, '/'))]
}

// conflict is the error of a host:port that is both http and tcp.
func (e *Engine) conflict(http, tcp int) error {
	h, t := &e.policy.Rules[http], &e.policy.Rules[tcp]
	err := invalid("remove one of the two",
		"%s names a host and port as tcp that %s names as http; one host:port is either the one or the other", quote(t.Pattern), quote(h.Pattern))
	err.Pos = t.Pos
	if pos := h.Pos.String(); pos != "" {
		err.Message += fmt.Sprintf(" (the http rule stands at %s)", pos)
	}
	return err
}
