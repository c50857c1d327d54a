package gateway

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestClientAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		remote, forwarded, proto string
		want                     string
	}{
		"no proxy":            {"198.51.100.7:1", "", "", "198.51.100.7 http"},
		"a lie":               {"198.51.100.7:1", "1.1.1.1", "https", "198.51.100.7 http"},
		"a proxy":             {"10.0.0.1:1", "1.1.1.1", "https", "1.1.1.1 https"},
		"a lie to a proxy":    {"10.0.0.1:1", "9.9.9.9, 1.1.1.1", "", "1.1.1.1 http"},
		"two proxies":         {"10.0.0.1:1", "1.1.1.1, 10.0.0.2", "", "1.1.1.1 http"},
		"a proxy's own":       {"10.0.0.1:1", "", "", "10.0.0.1 http"},
		"nonsense":            {"10.0.0.1:1", "1.1.1.1, unknown", "gopher", "10.0.0.1 http"},
		"IPv6":                {"[fd00::1]:1", "2001:db8::5", "", "2001:db8::5 http"},
		"IPv4 in IPv6":        {"[::ffff:10.0.0.1]:1", "1.1.1.1", "", "1.1.1.1 http"},
		"no address at all":   {"@", "1.1.1.1", "", "@ http"},
		"a proxy of the same": {"10.0.0.1:1", "10.0.0.3,10.0.0.2", "", "10.0.0.3 http"},
	} {
		g := New(Options{TrustedProxies: prefixes("10.0.0.0/8", "fd00::/8"), Logger: quiet}).(*gateway)
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if got := g.clientOf(r); fmt.Sprint(got.addr, " ", got.scheme) != c.want {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

func TestRateLimits(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	rule := weir.RateLimit{Window: 60, Limit: 3, By: []string{"ip", "domain"}}
	limited := func(o *Options) {
		o.clock = func() time.Time { return at }
		o.Configs = map[string]weir.FunctionConfig{"fn": {RateLimit: &rule}}
		o.AllowHost = func(string) bool { return true }
		o.Rules, _ = routing.Parse(routing.Sources{Redirects: routing.Text{Name: "_redirects", Text: "/short /.netlify/functions/fn 200"}})
		o.Files = shelf{"slow.html": "slow down"}
	}
	site := func() func(addr, host string) (int, string, string) {
		o := Options{Functions: echo(), Logger: quiet}
		limited(&o)
		g, calls := New(o), 0
		return func(addr, host string) (int, string, string) {
			r := request("GET", []string{"/.netlify/functions/fn", "/short"}[calls%2], "") // no rule leads round a limit
			calls++
			r.RemoteAddr, r.Host = addr+":1", host
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			return w.Code, w.Header().Get("Retry-After"), w.Body.String()
		}
	}
	call := site()
	for i, want := range []int{200, 200, 200, 429, 429} {
		if code, retry, _ := call("192.0.2.1", "a.test"); code != want || (retry != "") != (want == 429) {
			t.Errorf("call %d: %d, come again in %q", i, code, retry)
		}
	}
	if code, _, _ := call("192.0.2.1", "A.test.:443"); code != 429 {
		t.Errorf("the same domain, written otherwise: %d", code)
	}
	for _, other := range [][2]string{{"192.0.2.2", "a.test"}, {"192.0.2.1", "b.test"}, {"[2001:db8::1]", "a.test"}} {
		if code, _, _ := call(other[0], other[1]); code != 200 {
			t.Errorf("%v: %d", other, code)
		}
	}
	for i := range 3 {
		if code, _, _ := call(fmt.Sprintf("[2001:db8::%x]", i+2), "a.test"); code != map[int]int{0: 200, 1: 200, 2: 429}[i] {
			t.Errorf("address %d of one network: %d", i, code)
		}
	}
	at = at.Add(45 * time.Second) // into the next window, a part of the last still counts
	for i, want := range []int{200, 200, 429} {
		if code, _, _ := call("192.0.2.1", "a.test"); code != want {
			t.Errorf("after a while, call %d: %d", i, code)
		}
	}
	at = at.Add(3 * time.Minute)
	for i := range 3 {
		if code, _, _ := call("192.0.2.1", "a.test"); code != 200 {
			t.Errorf("long after, call %d: %d", i, code)
		}
	}
	rule = weir.RateLimit{Window: 1000, Limit: 1, To: "/slow"}
	call = site()
	call("192.0.2.1", "a.test")
	if code, _, body := call("192.0.2.9", "a.test"); code != 200 || body != "slow down" {
		t.Errorf("rewritten: %d %s", code, body)
	}
}

// TestRulesAreUsedNoMoreOftenThanTheySay: whatever they lead to, a file that comes before it, too, and whatever other
// rules are used meanwhile.
func TestRulesAreUsedNoMoreOftenThanTheySay(t *testing.T) {
	rules, warnings := routing.Parse(routing.Sources{Config: routing.Text{Name: "netlify.toml", Text: `
[[redirects]]
from = "/files/*"
to = "/files/:splat"
status = 200
[redirects.rate_limit]
window_limit = 2
window_size = 60
aggregate_by = ["ip", "domain"]
[[redirects]]
from = "/away"
to = "https://example.com/"
rate_limit = {action = "rewrite", to = "/slow", window_limit = 1, window_size = 60, aggregate_by = "ip", algorithm = "sliding_window"}
[[redirects]]
from = "/free"
to = "/a"
`}})
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	o := Options{Logger: quiet, Functions: echo(), Rules: rules, Files: shelf{"files/a.txt": "a", "slow.html": "slow down"}, AllowHost: func(string) bool { return true },
		clock: func() time.Time { return time.Unix(1_000_000, 0) }}
	g := New(o)
	for i, c := range []struct {
		path, addr string
		want       int
	}{{"/files/a.txt", "192.0.2.1", 200}, {"/free", "192.0.2.1", 301}, {"/files/none", "192.0.2.1", 404}, {"/files/a.txt", "192.0.2.1", 429}, {"/files/a.txt", "192.0.2.2", 200},
		{"/away", "192.0.2.1", 301}, {"/away", "192.0.2.1", 200}, {"/free", "192.0.2.1", 301}} {
		r := request("GET", c.path, "")
		r.RemoteAddr = c.addr + ":1"
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != c.want || (w.Header().Get("Retry-After") != "") != (c.want == 429) {
			t.Errorf("request %d, of %s: %d %s, want %d", i, c.path, w.Code, w.Body, c.want)
		}
	}
}

// TestManyCallersTakeLittleMemory: who has many addresses neither fills the memory nor gets round the limit.
func TestManyCallersTakeLittleMemory(t *testing.T) {
	l := newLimiters(map[string]weir.FunctionConfig{"fn": {RateLimit: &weir.RateLimit{Window: 60, Limit: 2, By: []string{"ip"}}}})["fn"]
	at := time.Unix(1_000_000, 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	passed := 0
	for i := range 20 * maxCallers {
		if _, ok := l.take(l.callerOf(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "a.test"), at); ok {
			passed++
		}
	}
	runtime.GC()
	if runtime.ReadMemStats(&after); passed > maxCallers+2 || after.HeapAlloc > before.HeapAlloc+10<<20 {
		t.Errorf("%d passed, %d bytes", passed, after.HeapAlloc-before.HeapAlloc)
	}
}
