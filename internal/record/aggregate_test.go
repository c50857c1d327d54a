package record

import (
	"fmt"
	"testing"
	"time"
)

// flood gives what an aggregator lets through of what add is told, in one window.
func flood(add func(*aggregator)) []Decision {
	var out []Decision
	a := newAggregator(func(d Decision) { out = append(out, d) })
	a.close() // no window ends during the test
	add(a)
	a.flush()
	return out
}

func counts(ds []Decision) map[Verdict]int {
	n := map[Verdict]int{}
	for _, d := range ds {
		n[d.Verdict] += max(1, d.Count)
	}
	return n
}

// TestEqualCallsOfManyRequestsAreCounted: of what is allowed it counts by which rule and how often, of
// what is denied in which request.
func TestEqualCallsOfManyRequestsAreCounted(t *testing.T) {
	const n = 1000
	got := flood(func(a *aggregator) {
		for i := range n {
			a.add(Decision{Time: noon.Add(time.Duration(i)), Verdict: Allow, Function: "fn", Request: fmt.Sprint(i), Kind: "http", Target: "https://api.test/", Rule: "weir.toml:1"})
		}
	})
	if len(got) != 2 || got[0].Count != 0 || got[0].Request != "0" || got[1].Count != n-1 || !got[1].Time.Equal(noon) || !got[1].Last.Equal(noon.Add(n-1)) {
		t.Errorf("%+v", got)
	}
	got = flood(func(a *aggregator) {
		for i := range 10 {
			a.add(Decision{Verdict: Deny, Function: "fn", Request: fmt.Sprint(i), Kind: "http", Target: "https://api.test/"})
		}
	})
	if len(got) != 10 {
		t.Errorf("%d denials of 10 requests", len(got))
	}
}

// TestFloodOfAllowedCallsIsBounded: it costs few lines, loses no count and hides no denial.
func TestFloodOfAllowedCallsIsBounded(t *testing.T) {
	const n = 10 * maxKeys
	got := flood(func(a *aggregator) {
		for i := range n {
			a.add(Decision{Verdict: Allow, Function: "fn", Kind: "http", Target: fmt.Sprint("https://api.test/", i), Source: Egress})
			if i%1000 == 0 {
				a.add(Decision{Verdict: Deny, Function: "fn", Kind: "http", Target: fmt.Sprint("https://evil.test/", i), Source: Egress})
			}
		}
	})
	denied := 0
	for _, d := range got {
		if d.Verdict == Deny && d.Target != "(many)" {
			denied++
		}
	}
	if c := counts(got); c[Allow] != n || c[Deny] != denied || denied != n/1000+1 || len(got) != maxKeys+2+denied {
		t.Errorf("%v in %d lines, %d denials told apart", c, len(got), denied)
	}
}

func TestImportIsToldApart(t *testing.T) {
	got := flood(func(a *aggregator) {
		for i := range 10 {
			a.add(Decision{Verdict: Allow, Import: i%2 == 0, Function: "fn", Kind: "http", Target: "https://api.test/"})
		}
	})
	n := map[bool]int{}
	for _, d := range got {
		n[d.Import] += max(1, d.Count)
	}
	if n[true] != 5 || n[false] != 5 {
		t.Errorf("%v", n)
	}
}

// TestWhatStandsForManyCountsAsMany: a decision may come with a count of its own.
func TestWhatStandsForManyCountsAsMany(t *testing.T) {
	d := Decision{Time: noon, Last: noon.Add(time.Second), Verdict: Deny, Function: "fn", Kind: "udp", Target: "a.test:1", Count: 5}
	got := flood(func(a *aggregator) { a.add(d); a.add(d) })
	if c := counts(got); len(got) != 2 || c[Deny] != 10 || !got[1].Last.Equal(d.Last) {
		t.Errorf("%+v", got)
	}
}

// TestSitesAreToldApart: a flood of one site's denials hides none of another's function of the same name, and is told
// as its own.
func TestSitesAreToldApart(t *testing.T) {
	got := flood(func(a *aggregator) {
		for i := range 2 * maxKeys {
			a.add(Decision{Verdict: Deny, Site: "loud", Function: "fn", Kind: "http", Target: fmt.Sprint("https://evil.test/", i), Source: Egress})
		}
		a.add(Decision{Verdict: Deny, Site: "quiet", Function: "fn", Kind: "http", Target: "https://evil.test/0", Source: Egress})
	})
	n := map[string]int{}
	quiet := ""
	for _, d := range got {
		n[d.Site] += max(1, d.Count)
		if d.Site == "quiet" {
			quiet += d.Target
		}
	}
	if n["loud"] != 2*maxKeys || n["quiet"] != 1 || quiet != "https://evil.test/0" {
		t.Errorf("%v, %q", n, quiet)
	}
}
