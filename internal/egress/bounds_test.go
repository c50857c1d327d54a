package egress

// A policy within bounds, seen from inside: what a bound does not allow does not go out, whatever the policy says.

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
)

func boundBy(t *testing.T, budget *policy.Budget, rules ...string) policy.Bound {
	return policy.Bound{Engine: compileWith(t, policy.Enforce, budget, rules...), Name: "what was approved before", Remedy: "have it approved"}
}

func TestBoundHoldsOnTheWayOut(t *testing.T) {
	w := newWorld(t, config{mode: policy.Monitor, rules: []string{"GET https://api.test/**", "POST https://api.test/**", "tcp api.test:8443", "wss://other.test/x"},
		bounds: []policy.Bound{boundBy(t, nil, "GET https://api.test/v1/*", "GET https://api.test:8443/**", "GET https://other.test/**")}})
	for _, two := range []bool{false, true} {
		c := w.client(two)
		for url, want := range map[string]int{"GET https://api.test/v1/x": 200, "GET https://api.test/v2/x": 403, "POST https://api.test/v1/x": 403, "GET https://other.test/x": 403} {
			method, target, _ := strings.Cut(url, " ")
			resp, body := w.do(c, method, target, "")
			if resp.StatusCode != want {
				t.Errorf("%s: %d %s", url, resp.StatusCode, body)
			}
			if want == 403 && method == "POST" {
				if p := problemOf(t, resp, body); p.Fix != "" || p.Rule != "weir.toml:2" || !strings.Contains(p.Detail, "what was approved before does not allow it; have it approved") {
					t.Errorf("%+v", p)
				}
			}
		}
	}
	if _, err := w.client(false).Get("https://api.test:8443/x"); err == nil {
		t.Error("what is tcp to the policy and http to its bound went out")
	}
	d := w.denied("the spliced connection", func(d record.Decision) bool { return d.Kind == "tcp" })
	if d.Mode == record.Monitor || !strings.Contains(d.Reason, "what was approved before does not allow it") {
		t.Errorf("%+v", d)
	}
}

// TestBudgetsOfBothCount: a call takes from the policy's budget and from the bound's; the smaller is over first,
// and a call that one has no room for takes from none.
func TestBudgetsOfBothCount(t *testing.T) {
	for name, c := range map[string]struct {
		own, bound *policy.Budget
		want, says string
	}{
		"the bound's is smaller": {&policy.Budget{MaxCalls: 3}, &policy.Budget{MaxCalls: 2}, "200 200 403 403", "that of what was approved before (2 calls per invocation)"},
		"the own is smaller":     {&policy.Budget{MaxCalls: 1}, &policy.Budget{MaxCalls: 2}, "200 403 403 403", "(1 calls per invocation)"},
		"only the bound has one": {nil, &policy.Budget{MaxCalls: 1, Per: policy.PerMinute}, "200 403 403 403", "that of what was approved before (1 calls per minute)"},
		"bytes of the bound":     {nil, &policy.Budget{MaxBytes: 1}, "cut cut cut cut", "that of what was approved before (1B per invocation)"},
	} {
		w := newWorld(t, config{rules: []string{"GET https://api.test/*"}, budget: c.own, bounds: []policy.Bound{boundBy(t, c.bound, "GET https://api.test/**")}})
		client, got, last := w.client(false), []string{}, ""
		for range 4 {
			resp, err := client.Get("https://api.test/x")
			if err != nil {
				got = append(got, "cut")
				continue
			}
			resp.Body.Close()
			got = append(got, fmt.Sprint(resp.StatusCode))
		}
		w.denied(name, func(d record.Decision) bool { last = d.Reason; return strings.Contains(d.Reason, c.says) })
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(last, c.says) {
			t.Errorf("%s: %s", name, last)
		}
	}
}

// TestCeilingKeepsPrivateAddressesAway: a rule that names a host leads to a private address only if the ceiling
// lists that host, whatever it leaves open.
func TestCeilingKeepsPrivateAddressesAway(t *testing.T) {
	private := func(hosts ...string) policy.Bound {
		c := policy.DefaultCeiling()
		for _, h := range hosts {
			c.Private = append(c.Private, policy.Rule{Kind: policy.TCP, Pattern: h})
		}
		e, err := policy.CompileCeiling(c)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Bound{Engine: e, Name: "the organisation's ceiling"}
	}
	e, err := New(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.5")}, nil
	}
	eng := compile(t, "tcp db.internal:5432", "tcp other.internal:5432", "tcp *.wild.internal:5432", "GET http://169.254.169.254/**", "udp db.internal:8125")
	f := e.Function("pay", eng.Within(private("db.internal:5432", "*.wild.internal:5432")), nil)
	for host, want := range map[string]bool{"db.internal": true, "other.internal": false, "x.wild.internal": false, "169.254.169.254": false, "10.0.0.5": false} {
		if _, err := f.addresses(context.Background(), host, 5432, f.engine.Names(host, 5432)); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := f.addresses(context.Background(), "169.254.169.254", 80, f.engine.Names("169.254.169.254", 80)); err == nil {
		t.Error("a rule alone leads to a metadata service")
	}
	if f.engine.NamesUDP("db.internal", 8125) || !eng.Within(private("db.internal:8125")).NamesUDP("db.internal", 8125) {
		t.Error("the list of private hosts does not count for udp rules")
	}
}
