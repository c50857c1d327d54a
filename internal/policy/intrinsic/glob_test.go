package intrinsic

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
)

// What a URL pattern of a bootstrap file means for requests. Each case is METHOD URL, as a client sends
// it.
func TestURLPatterns(t *testing.T) {
	for call, c := range map[string]struct{ yes, no []string }{
		`allowGet('https://a.example/')`: {
			[]string{"GET https://a.example/", "GET https://a.example:443/", "GET https://a.example/?q=1", "GET https://A.EXAMPLE/"},
			[]string{"GET http://a.example/", "HEAD https://a.example/", "GET https://a.example:8443/", "GET https://a.example/x", "GET https://b.example/"},
		},
		`allowGet('https://a.example')`:                    {[]string{"GET https://a.example/"}, []string{"GET https://a.example/x"}},
		`allowGet('https://a.example:443/x')`:              {[]string{"GET https://a.example/x"}, []string{"GET http://a.example/x"}},
		`allowGet('http://a.example:80/x')`:                {[]string{"GET http://a.example/x"}, []string{"GET https://a.example/x"}},
		`allowGet('http://a.example:8080/x')`:              {[]string{"GET http://a.example:8080/x"}, []string{"GET http://a.example/x"}},
		`allowGet('*://a.example/x')`:                      {[]string{"GET http://a.example/x", "GET https://a.example/x"}, []string{"GET http://a.example:443/x"}},
		`allowGet('https://a.example/x?y=z')`:              {[]string{"GET https://a.example/x", "GET https://a.example/x?y=other"}, []string{"GET https://a.example/xx"}},
		`allowGet('https://a.example/x#top')`:              {[]string{"GET https://a.example/x"}, []string{"GET https://a.example/y"}},
		`allowGet('https://a.example/x?')`:                 {[]string{"GET https://a.example/xy"}, []string{"GET https://a.example/x", "GET https://a.example/xyz"}},
		`allowGet('https://a.example/x?y/z')`:              {[]string{"GET https://a.example/xay/z"}, []string{"GET https://a.example/x"}},
		`allowPost('https://a.example/*')`:                 {[]string{"POST https://a.example/x", "POST https://a.example/.x", "POST https://a.example/"}, []string{"POST https://a.example/x/y", "GET https://a.example/x"}},
		`allowPost('https://a.example/a*c')`:               {[]string{"POST https://a.example/ac", "POST https://a.example/a.b.c"}, []string{"POST https://a.example/a/c", "POST https://a.example/acd"}},
		`allowPut('https://a.example/**')`:                 {[]string{"PUT https://a.example/", "PUT https://a.example/x/.y/z"}, nil},
		`allowPut('https://a.example/v1/**')`:              {[]string{"PUT https://a.example/v1/x", "PUT https://a.example/v1/x/y", "PUT https://a.example/v1/"}, []string{"PUT https://a.example/v1", "PUT https://a.example/v10"}},
		`allowPut('https://a.example/a/**/z')`:             {[]string{"PUT https://a.example/a/z", "PUT https://a.example/a/b/c/z"}, []string{"PUT https://a.example/az", "PUT https://a.example/a/b"}},
		`allowDelete('https://a.example/[abc]/[0-9]-[x]')`: {[]string{"DELETE https://a.example/b/7-x"}, []string{"DELETE https://a.example/d/7-x", "DELETE https://a.example/b/77-x", "DELETE https://a.example/[abc]/7-x"}},
		`allowPatch('https://*.a.example/')`:               {[]string{"PATCH https://x.a.example/"}, []string{"PATCH https://a.example/", "PATCH https://x.y.a.example/", "PATCH https://evil.example/.a.example/"}},
		`allowHead('https://api-?.a.example/')`:            {[]string{"HEAD https://api-1.a.example/"}, []string{"HEAD https://api-12.a.example/", "HEAD https://api-..a.example/", "GET https://api-1.a.example/"}},
		`allowOptions('http://localhost:5984/users/*')`:    {[]string{"OPTIONS http://localhost:5984/users/1"}, []string{"OPTIONS http://localhost/users/1"}},
		`allowGet('https://a.example/a%20b')`:              {[]string{"GET https://a.example/a%20b"}, []string{"GET https://a.example/a+b"}},
	} {
		b, err := load(t, before+"policy.outboundHttp."+call+after)
		if err != nil {
			t.Errorf("%s: %v", call, err)
			continue
		}
		e, err := policy.Compile(b.Policy)
		if err != nil {
			t.Fatal(err)
		}
		for want, requests := range map[bool][]string{true: c.yes, false: c.no} {
			for _, text := range requests {
				method, url, _ := strings.Cut(text, " ")
				scheme, rest, _ := strings.Cut(url, "://")
				i := strings.IndexByte(rest, '/')
				r, err := policy.NewHTTP(method, scheme, rest[:i], rest[i:])
				if got := err == nil && e.Decide(&r).Allow; got != want {
					t.Errorf("%s, %s: %v (%v)", call, text, got, err)
				}
			}
		}
	}
}

func TestNetRules(t *testing.T) {
	b, err := load(t, before+"policy.outboundNet.allowTcp('DB.internal', 5432).allowTcp('10.0.0.1', '6379').allowUdp('stats.internal', 8125).allowUdp('::1', 9)"+after)
	if err != nil {
		t.Fatal(err)
	}
	e, err := policy.Compile(b.Policy)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		make func(string, uint16) (policy.Request, error)
		host string
		port uint16
		want bool
	}{
		{policy.NewTCP, "db.internal", 5432, true},
		{policy.NewTCP, "db.internal", 5433, false},
		{policy.NewTCP, "10.0.0.1", 6379, true},
		{policy.NewTCP, "stats.internal", 8125, false},
		{policy.NewUDP, "stats.internal", 8125, true},
		{policy.NewUDP, "db.internal", 5432, false},
		{policy.NewUDP, "::1", 9, true},
	} {
		r, err := c.make(c.host, c.port)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Decide(&r).Allow; got != c.want {
			t.Errorf("%s %s:%d: %v", r.Kind, c.host, c.port, got)
		}
	}
}
