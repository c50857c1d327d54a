package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// rules makes the rules of a policy from lines "KIND PATTERN", with a position for each.
func rules(lines ...string) []Rule {
	var out []Rule
	for i, line := range lines {
		kind, pattern, _ := strings.Cut(line, " ")
		r := Rule{Pattern: pattern, Pos: weir.Position{File: "weir.toml", Line: i + 1, Column: 3}}
		r.Kind = map[string]Kind{"http": HTTP, "glob": HTTP, "ws": WS, "tcp": TCP, "udp": UDP, "dns": DNS, "read": Read, "write": Write, "exec": Exec, "env": Env, "globfile": Read}[kind]
		r.Globs = strings.HasPrefix(kind, "glob")
		out = append(out, r)
	}
	return out
}

func compile(t testing.TB, lines ...string) *Engine {
	t.Helper()
	e, err := Compile(&Policy{Source: "weir.toml", Function: "charge", Rules: rules(lines...)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request makes a request from "METHOD URL", "tcp host:port" or "read /path" and so on.
func request(t testing.TB, s string) *Request {
	t.Helper()
	verb, rest, _ := strings.Cut(s, " ")
	var r Request
	var err error
	switch kinds := map[string]Kind{"read": Read, "write": Write, "exec": Exec, "addon": Addon}; {
	case verb == "tcp", verb == "udp":
		var host string
		var port uint16
		if host, port, err = splitAuthority(rest); err == nil {
			r, err = map[string]func(string, uint16) (Request, error){"tcp": NewTCP, "udp": NewUDP}[verb](host, port)
		}
	case verb == "dns":
		typ, name, _ := strings.Cut(rest, " ")
		r, err = NewDNS(typ, name)
	case verb == "env":
		r = Request{Kind: Env, Path: rest}
	case kinds[verb] != 0:
		r, err = NewFile(kinds[verb], rest)
	default:
		scheme, after, _ := strings.Cut(rest, "://")
		i := strings.IndexByte(after, '/')
		r, err = newRequest(verb, scheme, after[:i], after[i:])
	}
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return &r
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		rule string
		yes  []string
		no   []string
	}{
		{"http POST https://api.example.com/v1/charges",
			[]string{"POST https://api.example.com/v1/charges", "POST https://api.example.com/v1/charges?x=1"},
			[]string{"GET https://api.example.com/v1/charges", "POST http://api.example.com/v1/charges", "POST https://api.example.com:8443/v1/charges",
				"POST https://api.example.com/v1/charges/", "POST https://api.example.com/v1/Charges", "POST https://api.example.com/v1/charges/1",
				"POST https://xapi.example.com/v1/charges", "POST https://example.com/v1/charges", "post https://api.example.com/v1/charges"}},
		{"http GET https://a.example", []string{"GET https://a.example/"}, []string{"GET https://a.example/x", "HEAD https://a.example/"}},
		{"http GET https://A.Example:443/", []string{"GET https://a.example/"}, nil},
		{"http GET *://a.example/", []string{"GET https://a.example/", "GET http://a.example/"}, []string{"GET wss://a.example/", "GET ws://a.example/", "GET http://a.example:443/"}},
		{"http GET *://a.example:8080/", []string{"GET https://a.example:8080/", "GET http://a.example:8080/"}, []string{"GET http://a.example/"}},
		{"http GET https://*.example.com/", []string{"GET https://a.example.com/", "GET https://_x.example.com/"},
			[]string{"GET https://example.com/", "GET https://a.b.example.com/", "GET https://aexample.com/", "GET https://a.example.com.evil.test/"}},
		{"http GET https://192.0.2.1/", []string{"GET https://192.0.2.1/"}, []string{"GET https://192.0.2.10/"}},
		{"http GET https://[2001:DB8::0:1]:8443/x", []string{"GET https://[2001:db8::1]:8443/x"}, []string{"GET https://[2001:db8::1]/x"}},
		{"http GET https://a.example/v1/*", []string{"GET https://a.example/v1/x", "GET https://a.example/v1/%20"},
			[]string{"GET https://a.example/v1", "GET https://a.example/v1/", "GET https://a.example/v1/x/", "GET https://a.example/v1/x/y"}},
		{"http GET https://a.example/v1/cus_*", []string{"GET https://a.example/v1/cus_", "GET https://a.example/v1/cus_1"}, []string{"GET https://a.example/v1/cu", "GET https://a.example/v1/cus_1/x"}},
		{"http GET https://a.example/*.json", []string{"GET https://a.example/a.json", "GET https://a.example/.json", "GET https://a.example/a.json.json"}, []string{"GET https://a.example/a.jsonx"}},
		{"http GET https://a.example/a*b*c", []string{"GET https://a.example/abc", "GET https://a.example/aXbYc", "GET https://a.example/abbcbc"}, []string{"GET https://a.example/acb", "GET https://a.example/ab/c"}},
		{"http GET https://a.example/*0", []string{"GET https://a.example/0", "GET https://a.example/%2B0"}, []string{"GET https://a.example/a%20"}},
		{"http GET https://a.example/v1/**", []string{"GET https://a.example/v1/", "GET https://a.example/v1/x", "GET https://a.example/v1/x/y/"}, []string{"GET https://a.example/v1", "GET https://a.example/v10/x"}},
		{"http GET https://a.example/**", []string{"GET https://a.example/", "GET https://a.example/x/y"}, nil},
		{"http GET https://a.example/a/**/z", []string{"GET https://a.example/a/z", "GET https://a.example/a/b/z", "GET https://a.example/a/b/z/z", "GET https://a.example/a/z/z"},
			[]string{"GET https://a.example/a", "GET https://a.example/a/z/", "GET https://a.example/az", "GET https://a.example/z"}},
		{"http GET https://a.example/**/x/**/y", []string{"GET https://a.example/x/y", "GET https://a.example/q/x/x/y/y"}, []string{"GET https://a.example/y/x"}},
		{"http GET https://a.example/caf%c3%a9", []string{"GET https://a.example/caf%C3%A9"}, nil},
		{"http GET https://a.example/a b", nil, nil},
		{"glob GET https://a.example/v[12]/item-?", []string{"GET https://a.example/v1/item-x", "GET https://a.example/v2/item-%20"},
			[]string{"GET https://a.example/v3/item-x", "GET https://a.example/v1/item-", "GET https://a.example/v1/item-xy", "GET https://a.example/v[12]/item-x"}},
		{"glob GET https://a.example/v1/*", []string{"GET https://a.example/v1/", "GET https://a.example/v1/x"}, []string{"GET https://a.example/v1", "GET https://a.example/v1/x/y"}},
		{"glob GET https://a.example/[a-c0-9]x", []string{"GET https://a.example/bx", "GET https://a.example/7x"}, []string{"GET https://a.example/dx", "GET https://a.example/x"}},
		{"glob GET https://api-*.Example.com/", []string{"GET https://api-1.example.com/", "GET https://api-eu.example.com/"},
			[]string{"GET https://api.example.com/", "GET https://api-1.x.example.com/", "GET https://api-1.example.com.evil.test/"}},
		{"glob GET https://*.*.example.com/", []string{"GET https://a.b.example.com/"}, []string{"GET https://a.example.com/", "GET https://a.b.c.example.com/"}},
		{"ws wss://a.example/feed", []string{"GET wss://a.example/feed"}, []string{"GET ws://a.example/feed", "GET https://a.example/feed", "GET wss://a.example/other"}},
		{"tcp DB.internal:5432", []string{"tcp db.internal:5432"}, []string{"tcp db.internal:5433", "tcp x.db.internal:5432", "GET http://db.internal:5432/"}},
		{"tcp *.internal:5432", []string{"tcp a.internal:5432"}, []string{"tcp internal:5432", "tcp a.b.internal:5432"}},
		{"tcp [::1]:80", []string{"tcp [::1]:80"}, []string{"tcp [::2]:80"}},
		{"udp Stats.internal:8125", []string{"udp stats.internal:8125"}, []string{"udp stats.internal:8126", "udp x.stats.internal:8125", "tcp stats.internal:8125"}},
		{"udp *.internal:8125", []string{"udp a.internal:8125"}, []string{"udp internal:8125", "udp a.b.internal:8125"}},
		{"udp [::1]:8125", []string{"udp [::1]:8125"}, []string{"udp [::2]:8125", "dns TXT a.example"}},
		{"udp stats.internal:53", nil, nil},
		{"dns SRV _mongodb._tcp.Cluster0.example.net", []string{"dns SRV _mongodb._tcp.cluster0.example.net", "dns SRV _MongoDB._tcp.cluster0.example.net.", "dns A any.example", "dns AAAA any.example"},
			[]string{"dns TXT _mongodb._tcp.cluster0.example.net", "dns SRV cluster0.example.net", "dns SRV x._mongodb._tcp.cluster0.example.net", "udp cluster0.example.net:53"}},
		{"dns TXT *.example.com", []string{"dns TXT a.example.com", "dns TXT _x.example.com"}, []string{"dns TXT example.com", "dns TXT a.b.example.com", "dns MX a.example.com", "dns ANY a.example.com", "dns TYPE99 a.example.com"}},
		{"dns PTR 1.2.0.192.in-addr.arpa", []string{"dns PTR 1.2.0.192.in-addr.arpa"}, []string{"dns PTR 2.2.0.192.in-addr.arpa"}},
		{"read /etc/hosts", []string{"read /etc/hosts", "read /var/task/x", "read /tmp/x", "read /tmp"}, []string{"read /etc/host", "read /etc/hosts/x", "write /etc/hosts", "read /var/taskx", "write /tmp/x"}},
		{"read /srv/a/**", []string{"read /srv/a", "read /srv/a/b", "read /srv/a/b/c"}, []string{"read /srv", "read /srv/ab", "write /srv/a/b"}},
		{"write /tmp/**", []string{"write /tmp/x", "write /tmp/a/b"}, []string{"write /tmpx", "write /var/task/x"}},
		{"exec /usr/bin/convert", []string{"exec /usr/bin/convert"}, []string{"exec /bin/convert", "exec convert", "read /usr/bin/convert"}},
		{"env STRIPE_KEY", []string{"env STRIPE_KEY"}, []string{"env STRIPE", "env STRIPE_KEYS"}},
	} {
		p := &Policy{Source: "weir.toml", Rules: rules(c.rule)}
		e, err := Compile(p)
		if err != nil {
			if c.yes != nil {
				t.Errorf("%s: %v", c.rule, err)
			}
			continue
		}
		for _, s := range c.yes {
			if d := e.Decide(request(t, s)); !d.Allow || d.Reason != Allowed {
				t.Errorf("%s denies %s: %+v", c.rule, s, d)
			}
		}
		for _, s := range c.no {
			if d := e.Decide(request(t, s)); d.Allow || d.Reason == Allowed || d.Rule != -1 {
				t.Errorf("%s allows %s: %+v", c.rule, s, d)
			}
		}
	}
}

func TestQueryRules(t *testing.T) {
	rule := Rule{Kind: HTTP, Pattern: "GET https://a.example/x", Query: []QueryParam{{"expand", "*"}, {"scope", "a b"}}}
	none := Rule{Kind: HTTP, Pattern: "GET https://a.example/none", Query: []QueryParam{}}
	e, err := Compile(&Policy{Source: "x", Rules: []Rule{rule, none}})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]bool{
		"/x?scope=a+b": true, "/x?scope=a%20b": true, "/x?expand=1&scope=a%20b": true, "/x?scope=a%20b&expand": true,
		"/x?%65xpand=%26&sc%6fpe=a%20%62": true, "/x?scope=a+b&expand=a=b": true,
		"/x": false, "/x?expand=1": false, "/x?scope=a": false, "/x?scope=a+bc": false, "/x?scope=a%2Bb": false, "/x?scope": false,
		"/x?scope=a+b&other=1": false, "/x?scope=a+b&scope=a+b": false, "/x?scope=a+b&expand=1&expand=2": false, "/x?scope=a+b&%65xpand&expand": false,
		"/x?scope=a+b&": false, "/x?&scope=a+b": false, "/x?scope=a+b&&expand": false, "/x?scope=a+b;other=1": false, "/x?scope=a+b&expand=1;other=2": false,
		"/x?scope=a+b&expand=%": false, "/x?scope=a+b&expand=%zz": false, "/x?scope=a+b&expand=%e": false, "/x?Scope=a+b": false, "/x?scope=a+b&expand[]=1": false,
		"/none": true, "/none?": true, "/none?x": false, "/none?=": false,
	} {
		r, err := NewHTTP("GET", "https", "a.example", target)
		if err != nil {
			t.Fatal(err)
		}
		d := e.Decide(&r)
		if d.Allow != want || !want && d.Reason != OtherQuery {
			t.Errorf("%s: %+v", target, d)
		}
	}
}

func TestFirstRuleCounts(t *testing.T) {
	e := compile(t, "http GET https://*.example.com/**", "http GET https://a.example.com/x", "http GET https://a.example.com/*", "glob GET https://?.example.com/x")
	if d := e.Decide(request(t, "GET https://a.example.com/x")); d.Rule != 0 {
		t.Errorf("got %+v", d)
	}
	for _, kind := range []string{"tcp %s:5432", "udp %s:5432", "dns TXT %s"} {
		for _, order := range [][2]string{{"*.example.com", "a.example.com"}, {"a.example.com", "*.example.com"}} {
			e := compile(t, fmt.Sprintf(kind, order[0]), fmt.Sprintf(kind, order[1]))
			if d := e.Decide(request(t, fmt.Sprintf(kind, "a.example.com"))); d.Rule != 0 {
				t.Errorf("%q: %+v", order, d)
			}
		}
	}
	e = compile(t, "glob GET https://?.example.com/x", "http GET https://a.example.com/x")
	if d := e.Decide(request(t, "GET https://a.example.com/x")); d.Rule != 0 {
		t.Errorf("got %+v", d)
	}
}

func TestNearest(t *testing.T) {
	e := compile(t,
		"http POST https://api.example.com/v1/charges", // 0
		"http GET https://api.example.com/v1/charges/*",
		"http GET http://plain.example.com/",
		"tcp db.internal:5432", // 3
		"read /srv/prices/today.json",
		"exec /usr/bin/uname",
		"ws wss://live.example.com/feed", // 6
		"http GET https://*.wild.example/a",
		"udp stats.internal:8125", // 8
		"dns TXT cluster0.example.net",
		"dns SRV *.example.net", // 10
		"udp *.internal:8127",
	)
	for s, want := range map[string]Decision{
		"GET https://api.example.com/v1/charges":     {Nearest: 0, Reason: OtherMethod},
		"POST https://api.example.com/v1/charges/x":  {Nearest: 1, Reason: OtherMethod},
		"POST https://api.example.com/v1/refunds":    {Nearest: 0, Reason: OtherPath},
		"GET https://api.example.com/v1/refunds":     {Nearest: 1, Reason: OtherPath},
		"GET https://api.example.com:444/v1/charges": {Nearest: 1, Reason: OtherPort},
		"GET https://plain.example.com/":             {Nearest: 2, Reason: OtherScheme},
		"GET https://live.example.com/feed":          {Nearest: 6, Reason: OtherScheme},
		"GET https://a.wild.example/b":               {Nearest: 7, Reason: OtherPath},
		"GET https://evil.example/":                  {Nearest: -1, Reason: NoRule},
		"tcp db.internal:22":                         {Nearest: 3, Reason: OtherPort},
		"tcp evil.example:22":                        {Nearest: -1, Reason: NoRule},
		"udp stats.internal:8126":                    {Nearest: 8, Reason: OtherPort},
		"udp evil.example:8125":                      {Nearest: -1, Reason: NoRule},
		"dns MX cluster0.example.net":                {Nearest: 9, Reason: OtherType},
		"dns TXT other.example.net":                  {Nearest: 10, Reason: OtherType},
		"dns TXT c2.evil.example":                    {Nearest: -1, Reason: NoRule},
		"read /srv/prices/old.json":                  {Nearest: 4, Reason: OtherPath},
		"read /etc/passwd":                           {Nearest: -1, Reason: NoRule},
		"exec uname":                                 {Nearest: 5, Reason: OtherPath},
		"exec /bin/sh":                               {Nearest: -1, Reason: NoRule},
		"addon /var/task/x.node":                     {Nearest: -1, Reason: NoRule},
		"env SECRET":                                 {Nearest: -1, Reason: NoRule},
	} {
		want.Rule = -1
		if got := e.Decide(request(t, s)); got != want {
			t.Errorf("%s: got %+v, want %+v", s, got, want)
		}
	}
}

func TestNoPolicyAndAddons(t *testing.T) {
	for _, p := range []*Policy{nil, {}, {Function: "charge"}} {
		e, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"GET https://a.example/", "tcp a:1", "udp a:1", "dns TXT a", "read /etc/x", "write /tmp/x", "exec sh", "addon /x"} {
			if d := e.Decide(request(t, s)); d.Allow || d.Reason != NoPolicy {
				t.Errorf("%s: %+v", s, d)
			}
		}
	}
	e, err := Compile(&Policy{Addons: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := e.Decide(request(t, "addon /x")); !d.Allow {
		t.Errorf("got %+v", d)
	}
	if _, err := Compile(&Policy{Mode: Monitor}); err != nil {
		t.Errorf("monitor mode: %v", err)
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		a, b     string
		conflict bool
	}{
		{"http GET https://a.example/", "tcp a.example:443", true},
		{"http GET http://a.example/", "tcp a.example:443", false},
		{"http GET *://a.example/", "tcp a.example:80", true},
		{"http GET http://A.example:9000/", "tcp a.EXAMPLE:9000", true},
		{"ws ws://a.example/", "tcp a.example:80", true},
		{"http GET https://*.example.com/", "tcp a.example.com:443", true},
		{"http GET https://*.example.com/", "tcp a.b.example.com:443", false},
		{"http GET https://*.example.com/", "tcp *.example.com:443", true},
		{"http GET https://a.example.com/", "tcp *.example.com:443", true},
		{"http GET https://a.example.com/", "tcp *.a.example.com:443", false},
		{"glob GET https://a?.example.com/", "tcp ab.example.com:443", true},
		{"glob GET https://a?.example.com/", "tcp abc.example.com:443", false},
		{"glob GET https://a?.example.com/", "tcp *.example.com:443", true},
		{"glob GET https://a.b*.example.com/", "tcp *.bc.example.com:443", true},
		{"glob GET https://a.b*.example.com/", "tcp *.c.example.com:443", false},
		{"http GET https://[::1]:8443/", "tcp [0::1]:8443", true},
		{"http GET https://a.example/", "udp a.example:443", false},
		{"tcp a.example:5000", "udp a.example:5000", false},
	} {
		for _, order := range [][]string{{c.a, c.b}, {c.b, c.a}} {
			_, err := Compile(&Policy{Source: "weir.toml", Rules: rules(order...)})
			if (err != nil) != c.conflict {
				t.Errorf("%q: %v", order, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "weir.toml:1:3") || !strings.Contains(err.Error(), "weir.toml:2:3")) {
				t.Errorf("%q: a position is missing: %v", order, err)
			}
		}
	}
}

func TestAllErrorsAreTold(t *testing.T) {
	_, err := Compile(&Policy{Rules: rules("http GET a", "tcp a:1", "tcp b", "env A-B", "read x")})
	if err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("got %v", err)
	}
	var e *weir.Error
	if !errors.As(err, &e) || e.Pos.Line != 1 {
		t.Errorf("got %+v", e)
	}
}

func TestFacts(t *testing.T) {
	e := compile(t,
		"http GET https://api.example.com/", "http POST https://api.example.com/", "http GET *://*.wild.example/", "ws ws://live.example.com:8080/",
		"glob GET https://g?.example.com:7000/", "http GET http://192.0.2.1:9000/", "http GET http://localhost:3000/",
		"tcp db.internal:5432", "tcp *.cache.internal:6379", "tcp 127.0.0.1:18999", "tcp [::1]:1", "tcp localhost:3001",
		"udp stats.internal:8125", "udp *.stats.internal:8126", "udp localhost:514", "udp 192.0.2.9:8125", "dns TXT txt.example",
		"read /etc/hosts", "read /srv/a/**", "read /etc/hosts", "read /var/task/**", "read /tmp/**", "write /tmp/**", "exec /usr/bin/cal", "env B", "env A",
	)
	for name, c := range map[string][2]any{
		"Hosts":    {e.Hosts(), []string{"api.example.com", "db.internal", "live.example.com", "localhost", "stats.internal"}},
		"Ports":    {e.Ports(), []uint16{1, 80, 443, 3000, 3001, 5432, 6379, 7000, 8080, 9000, 18999}},
		"Loopback": {e.Loopback(), []uint16{1, 3000, 3001, 18999}},
		"UDPPorts": {e.UDPPorts(), []uint16{514, 8125, 8126}},
		"UDPLoop":  {e.UDPLoopback(), []uint16{514}},
		"read":     {e.Grants(Read), []string{"/etc/hosts", "/srv/a/**"}},
		"write":    {e.Grants(Write), []string{"/tmp/**"}},
		"exec":     {e.Grants(Exec), []string{"/usr/bin/cal"}},
	} {
		if fmt.Sprint(c[0]) != fmt.Sprint(c[1]) {
			t.Errorf("%s: got %v, want %v", name, c[0], c[1])
		}
	}
	for _, c := range []struct {
		host    string
		port    uint16
		service Service
		names   bool
	}{
		{"api.example.com", 443, HTTPService, true}, {"api.example.com", 80, NoService, false}, {"a.wild.example", 80, HTTPService, false},
		{"a.b.wild.example", 80, NoService, false}, {"live.example.com", 8080, HTTPService, true}, {"gx.example.com", 7000, HTTPService, false},
		{"db.internal", 5432, TCPService, true}, {"x.cache.internal", 6379, TCPService, false}, {"127.0.0.1", 18999, TCPService, true},
		{"evil.example", 443, NoService, false}, {"", 443, NoService, false}, {".wild.example", 443, HTTPService, false},
	} {
		if s, n := e.Service(c.host, c.port), e.Names(c.host, c.port); s != c.service && c.host[:1] != "." || n != c.names {
			t.Errorf("%s:%d: %v, %v", c.host, c.port, s, n)
		}
	}
	for _, c := range []struct {
		host          string
		port          uint16
		serves, names bool
	}{
		{"stats.internal", 8125, true, true}, {"x.stats.internal", 8126, true, false}, {".stats.internal", 8126, true, false}, {"192.0.2.9", 8125, true, true},
		{"stats.internal", 8126, false, false}, {"db.internal", 5432, false, false}, {"", 8125, false, false},
	} {
		if s, n := e.ServesUDP(c.host, c.port), e.NamesUDP(c.host, c.port); s != c.serves && c.host[:1] != "." || n != c.names {
			t.Errorf("udp %s:%d: %v, %v", c.host, c.port, s, n)
		}
	}
	if e.Service("stats.internal", 8125) != NoService || e.Names("stats.internal", 8125) {
		t.Error("a udp rule is taken for a tcp rule")
	}
	empty := compile(t)
	if !slices.Equal(empty.Ports(), []uint16{80, 443}) || empty.Hosts() != nil || empty.Loopback() != nil || empty.Grants(Read) != nil {
		t.Error("an empty policy names something")
	}
}
