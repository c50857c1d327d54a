package policy

import (
	"fmt"
	"testing"
)

// large is a policy of 10,000 rules over 1,000 hosts.
func large(t testing.TB) *Engine {
	p := &Policy{Source: "weir.toml"}
	for i := range 10000 {
		pattern := fmt.Sprintf("POST https://host-%d.example.com/v1/items/%d", i%1000, i/1000)
		if i/1000 == 9 {
			pattern = fmt.Sprintf("GET https://host-%d.example.com/v1/items/*/parts/**", i%1000)
		}
		p.Rules = append(p.Rules, Rule{Kind: HTTP, Pattern: pattern})
	}
	e, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var cases = map[string]string{
	"exact":    "POST https://host-500.example.com/v1/items/3",
	"wildcard": "GET https://host-500.example.com/v1/items/3/parts/4/5",
	"path":     "POST https://host-500.example.com/v1/items/300",
	"host":     "POST https://evil.example/v1/items/3",
}

func BenchmarkDecide(b *testing.B) {
	e := large(b)
	for name, s := range cases {
		r := request(b, s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(r)
			}
		})
	}
}

// BenchmarkDecideOther is about the other rules of the network, 10,000 of each over 1,000 hosts.
func BenchmarkDecideOther(b *testing.B) {
	p := &Policy{Source: "weir.toml"}
	for i := range 10000 {
		host := fmt.Sprintf("host-%d.example.com", i%1000)
		p.Rules = append(p.Rules, Rule{Kind: TCP, Pattern: fmt.Sprintf("%s:%d", host, 5000+i/1000)}, Rule{Kind: UDP, Pattern: fmt.Sprintf("%s:%d", host, 5000+i/1000)},
			Rule{Kind: DNS, Pattern: fmt.Sprintf("TXT _%d.%s", i/1000, host)})
	}
	e, err := Compile(p)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range []string{"tcp host-500.example.com:5003", "tcp host-500.example.com:22", "udp host-999.example.com:5003", "udp evil.example:5003",
		"dns TXT _9.host-999.example.com", "dns MX _9.host-999.example.com", "dns TXT c2.evil.example"} {
		r := request(b, s)
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(r)
			}
		})
	}
}

func BenchmarkNewHTTP(b *testing.B) {
	for b.Loop() {
		if _, err := NewHTTP("POST", "https", "api.example.com", "/v1/charges?expand=1"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	e := compile(t, "http POST https://a.example.com/x", "glob GET https://b?.example.com/**/x*", "tcp db.internal:5432", "udp *.internal:8125", "dns TXT a.example.com", "read /srv/a/**", "exec /usr/bin/cal", "env A")
	big := large(t)
	for _, s := range cases {
		r := request(t, s)
		if n := testing.AllocsPerRun(100, func() { big.Decide(r) }); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
	for _, s := range []string{"POST https://a.example.com/x", "POST https://a.example.com/y", "GET https://bc.example.com/a/b/xyz", "tcp db.internal:5432", "tcp db.internal:1", "udp stats.internal:8125", "udp stats.internal:1", "dns TXT a.example.com", "dns MX a.example.com", "dns A b",
		"read /srv/a/b/c", "read /etc/x", "exec /usr/bin/cal", "exec cal", "env A", "env B", "addon /x"} {
		r := request(t, s)
		for _, e := range []*Engine{e, e.Within(capped(t, nil), approved(e))} {
			if n := testing.AllocsPerRun(100, func() { e.Decide(r) }); n != 0 {
				t.Errorf("%s: %v allocations", s, n)
			}
		}
	}
}
