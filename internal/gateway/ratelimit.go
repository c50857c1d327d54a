package gateway

// How often a function may be called, as its config says (Netlify's rateLimit), and how often a rule be used (rate_limit
// in netlify.toml). Each server counts by itself, and anew with each deploy.

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

const (
	maxWindow  = 180    // seconds, as on Netlify
	maxCallers = 10_000 // that one function or rule counts apart; all beyond share one count
)

// limiters bound the functions that ask for it, by name.
type limiters map[string]*limiter

// limiter counts requests in windows of time. How many there were in the last window's length is told by the counts of
// this window and, in proportion, of the one before.
type limiter struct {
	rule   weir.RateLimit
	window time.Duration

	mu          sync.Mutex
	number      int64 // of the window that now counts
	now, before map[string]int
}

func newLimiters(configs map[string]weir.FunctionConfig) limiters {
	out := limiters{}
	for name, c := range configs {
		if c.RateLimit == nil || c.RateLimit.Limit <= 0 {
			continue
		}
		out[name] = newLimiter(c.RateLimit)
	}
	return out
}

func newLimiter(rule *weir.RateLimit) *limiter {
	window := time.Duration(min(max(rule.Window, 1), maxWindow)) * time.Second
	return &limiter{rule: *rule, window: window, now: map[string]int{}, before: map[string]int{}}
}

// newRuleLimiters makes the limiters of a site's rules.
func newRuleLimiters(rules *routing.Rules) map[*weir.RateLimit]*limiter {
	out := map[*weir.RateLimit]*limiter{}
	for _, rule := range rules.RateLimits() {
		out[rule] = newLimiter(rule)
	}
	return out
}

// take counts a call, and tells whether it is one too many, and then when to come again. Those are not counted.
func (l *limiter) take(caller string, at time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	number := at.UnixNano() / int64(l.window)
	switch number - l.number {
	case 0:
	case 1:
		l.before, l.now = l.now, map[string]int{}
	default:
		l.before, l.now = map[string]int{}, map[string]int{}
	}
	l.number = number
	if _, known := l.now[caller]; !known && len(l.now) >= maxCallers {
		caller = ""
	}
	passed := time.Duration(at.UnixNano() % int64(l.window))
	left := 1 - float64(passed)/float64(l.window)
	if float64(l.now[caller])+float64(l.before[caller])*left >= float64(l.rule.Limit) {
		return l.window - passed, false
	}
	l.now[caller]++
	return 0, true
}

// callerOf gives what is counted apart.
func (l *limiter) callerOf(addr, host string) string {
	caller := "*"
	if len(l.rule.By) == 0 || slices.Contains(l.rule.By, "domain") {
		name, _, _ := strings.Cut(strings.ToLower(host), ":") // and no other way to write the same
		caller += strings.TrimSuffix(name, ".")
	}
	if slices.Contains(l.rule.By, "ip") {
		caller += " " + network(addr)
	}
	return caller
}

// network gives what belongs to one client: an IPv4 address, or of an IPv6 address the network, of which one client
// has all addresses (RFC 6177).
func network(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, _ := a.Prefix(64)
	return p.String()
}

// admitsCall tells whether a function may be called once more. If not it answers.
func (g *gateway) admitsCall(w http.ResponseWriter, r *http.Request, name string) bool {
	return g.within(w, r, g.limits[name], name)
}

// admitsRule tells whether a rule may be used once more. If not it answers.
func (g *gateway) admitsRule(w http.ResponseWriter, r *http.Request, a routing.Action) bool {
	return g.within(w, r, g.ruleLimits[a.RateLimit], "")
}

// within tells whether a request is within a limit, nil for none. If not it answers; name is the function, "" for none.
func (g *gateway) within(w http.ResponseWriter, r *http.Request, l *limiter, name string) bool {
	if l == nil {
		return true
	}
	wait, ok := l.take(l.callerOf(g.clientOf(r).addr, r.Host), g.clock())
	if ok {
		return true
	}
	to := "/" + strings.TrimLeft(l.rule.To, "/")
	m, _ := g.find(to, r.Method)
	switch {
	case l.rule.To != "" && m != nil && g.limits[m.name] == nil:
		g.call(w, r, m)
	case l.rule.To != "" && g.file(w, r, to, http.StatusOK):
	default:
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		g.refuse(w, http.StatusTooManyRequests, name, cmp.Or(name, "this path")+" takes no more than "+strconv.Itoa(l.rule.Limit)+" requests in "+l.window.String(), "")
	}
	return false
}
