package learn

// Streaming: a million records become a few hundred places with counts, first and last times.

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

// Bounds of what is kept, whatever the records say. Each function has its own, so that none crowds
// out the others; all together have one, too, since there may be many functions.
const (
	maxFunctions = 1000
	maxPlaces    = 1000 // hosts with method and port, of one function
	maxFlat      = 1000 // files, programs, variables and so on, of one function
	maxUsed      = 1000 // rules that were in use, of one function
	maxNodes     = 5000 // hosts and segments of paths, of one function
	maxAllNodes  = 50_000
	maxAllFlat   = 10_000 // flat things and rules in use, of all functions
)

// Set is what records say, summed up. It is a record.Recorder; unlike others it must not be used by
// several goroutines at once.
type Set struct {
	functions   map[string]*function
	nodes, flat int // kept, of all functions
	period
	records int
	lost    int // records that found no room
	seed    maphash.Seed
}

// function is what one function did.
type function struct {
	invocations int
	intrinsic   bool // its policy is an Intrinsic bootstrap
	nodes       int
	places      map[place]*tree
	flat        map[flat]*evidence
	used        map[grant]*use
	unnameable  int // denied calls that no rule can allow
	overBudget  int // denied calls that went beyond the budget of their rule
	lost        int // records that found no room
	deep        int // … of them for the depth of their path
}

// grant is a rule of the policy of the time, by its text as records give it.
type grant struct {
	kind policy.Kind
	text string
}

// use is how often a grant allowed something, and when last.
type use struct {
	calls int
	period
}

// place is where HTTP and WebSocket calls went, and whether a rule allowed them.
type place struct {
	allow  bool
	kind   policy.Kind
	method string
	scheme string
	host   string
	port   uint16
}

// flat is anything that has no path to generalise, as the pattern of a rule.
type flat struct {
	allow   bool
	kind    policy.Kind
	pattern string
}

// manyRequests is how many invocations are told apart.
const manyRequests = 8

// evidence is how often something was tried, and when.
type evidence struct {
	calls    int
	imported int // … of them while the function was imported
	allowed  int // … that a rule allowed
	enforced int // … that were refused, not only marked
	period
	requests [manyRequests]uint64 // the first different invocations
	distinct int                  // how many of them
	named    string               // the site's variable that names the host
	long     bool                 // a value in the path was long enough to carry data away
}

// NewSet makes an empty Set.
func NewSet() *Set { return &Set{functions: map[string]*function{}, seed: maphash.MakeSeed()} }

// Invoked counts an invocation.
func (s *Set) Invoked(i record.Invocation) {
	s.seen(i.Time)
	if f := s.function(i.Function); f != nil {
		f.invocations++
	}
}

// Decided takes a decision into account.
func (s *Set) Decided(d record.Decision) {
	s.records++
	s.seen(d.Time)
	s.seen(d.Last)
	f := s.function(d.Function)
	if f == nil {
		return
	}
	f.intrinsic = f.intrinsic || ofIntrinsic(&d)
	r, ok := requestOf(&d)
	if !ok || d.Verdict == record.Deny && d.Fix == "" {
		switch {
		case ok && d.Verdict == record.Deny && strings.HasPrefix(d.Reason, policy.OverBudget.String()):
			f.overBudget += calls(&d)
			s.use(f, grant{r.Kind, d.Nearest}, &d) // who uses up a budget needs its rule
		case d.Verdict == record.Deny:
			f.unnameable += calls(&d)
		}
		return
	}
	allow := d.Verdict == record.Allow
	if allow {
		s.use(f, grant{r.Kind, d.Nearest}, &d)
	}
	if allow && d.Rule == "" {
		return // no rule allowed it: every sandbox may
	}
	request := "" // all that was tried outside of any counts as one
	if among := d.Among(); len(among) > 0 {
		request = among[0] // one of them it was
	}
	invocation := maphash.String(s.seed, request)
	if e := s.find(f, &r, allow, invocation); e != nil {
		e.add(&d, invocation)
		return
	}
	s.lost++
	f.lost++
}

// ofIntrinsic tells whether the function's policy is an Intrinsic bootstrap, by how fixes are worded
// there and by where its rules stand.
func ofIntrinsic(d *record.Decision) bool {
	file, _, _ := strings.Cut(d.Rule, ":")
	return strings.HasPrefix(d.Fix, "policy.") || file != "" && !strings.HasSuffix(file, ".toml")
}

func (s *Set) use(f *function, g grant, d *record.Decision) {
	u := f.used[g]
	if u == nil {
		if len(f.used) >= maxUsed || s.flat >= maxAllFlat {
			return
		}
		s.flat++
		u, g.text = &use{}, strings.Clone(g.text)
		f.used[g] = u
	}
	u.calls += calls(d)
	u.seen(d.Time)
	u.seen(d.Last)
}

// Functions gives the names of the functions that the records are about, sorted.
func (s *Set) Functions() []string { return slices.Sorted(maps.Keys(s.functions)) }

func (s *Set) function(name string) *function {
	f := s.functions[name]
	if f == nil {
		if !validName(name) || len(s.functions) >= maxFunctions {
			s.lost++
			return nil
		}
		f = &function{places: map[place]*tree{}, flat: map[flat]*evidence{}, used: map[grant]*use{}}
		s.functions[name] = f
	}
	return f
}

// validName holds names to what weir.toml can hold and a site can have.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}) < 0
}

// find gives the evidence that a request belongs to, made if it isn't there; nil if there is no room.
func (s *Set) find(f *function, r *policy.Request, allow bool, invocation uint64) *evidence {
	if r.Kind == policy.HTTP || r.Kind == policy.WS {
		p := place{allow, r.Kind, r.Method, r.URL.Scheme, r.URL.Host, r.URL.Port}
		root := f.places[p]
		if root == nil {
			if len(f.places) >= maxPlaces || !s.room(f) {
				return nil
			}
			root, p.host, p.method = &tree{}, strings.Clone(p.host), strings.Clone(p.method)
			f.places[p] = root
		}
		return s.insert(f, root, r.URL.Path, invocation)
	}
	key := flat{allow, r.Kind, patternOf(r)}
	e := f.flat[key]
	if e == nil {
		if len(f.flat) >= maxFlat || s.flat >= maxAllFlat {
			return nil
		}
		s.flat++
		e, key.pattern = &evidence{}, strings.Clone(key.pattern)
		f.flat[key] = e
	}
	return e
}

func (s *Set) room(f *function) bool {
	if f.nodes >= maxNodes || s.nodes >= maxAllNodes {
		return false
	}
	f.nodes++
	s.nodes++
	return true
}

func (e *evidence) add(d *record.Decision, invocation uint64) {
	n := calls(d)
	e.calls += n
	switch {
	case d.Verdict == record.Allow:
		e.allowed += n
	case d.Mode != record.Monitor:
		e.enforced += n
	}
	if d.Import {
		e.imported += n
	}
	if d.Named != "" {
		e.named = d.Named
	}
	e.seen(d.Time)
	e.seen(d.Last)
	if len(d.Among()) > 0 {
		e.requested(invocation)
	}
}

// period is the time between the first and the last of some things.
type period struct{ first, last time.Time }

// seen makes a time, unless it is zero, part of the period.
func (p *period) seen(t time.Time) {
	if t.IsZero() {
		return
	}
	if p.first.IsZero() || t.Before(p.first) {
		p.first = t
	}
	if t.After(p.last) {
		p.last = t
	}
}

func (e *evidence) requested(request uint64) {
	for _, r := range e.requests[:e.distinct] {
		if r == request {
			return
		}
	}
	if e.distinct < len(e.requests) {
		e.requests[e.distinct] = request
		e.distinct++
	}
}

// alone tells whether no more than one invocation, or nothing but imports, tried it.
func (e *evidence) alone() bool { return e.distinct <= 1 }

// holds tells whether e, which is alone, knows all invocations that o tells of.
func (e *evidence) holds(o *evidence) bool {
	return (o.imported == 0 || e.imported > 0) && (o.distinct == 0 || o.distinct == 1 && e.distinct == 1 && o.requests[0] == e.requests[0])
}

// merge adds what o says.
func (e *evidence) merge(o *evidence) {
	e.calls += o.calls
	e.imported += o.imported
	e.allowed += o.allowed
	e.enforced += o.enforced
	e.seen(o.first)
	e.seen(o.last)
	for _, r := range o.requests[:o.distinct] {
		e.requested(r)
	}
	if o.named != "" {
		e.named = o.named
	}
	e.long = e.long || o.long
}

// calls is how many calls a record tells of: one, or, in a line that sums up, those after the first,
// which has a line of its own.
func calls(d *record.Decision) int { return max(1, d.Count) }
