package tomlpolicy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func withSections(t *testing.T, names ...string) *File {
	t.Helper()
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, "[functions.%q]\n", n)
	}
	f, err := Parse("weir.toml", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSamples(t *testing.T) {
	for _, c := range []struct {
		a, b []string
		want []string // labels
	}{
		{nil, nil, []string{otherFunctions}},
		{[]string{"charge"}, []string{"charge", "refund"}, []string{otherFunctions, "charge", "refund"}},
		{[]string{"*"}, []string{"admin-*", "admin-x"}, []string{"*", "admin-*", "admin-x"}},
		{[]string{"a*"}, []string{"*b"}, []string{otherFunctions, "*b", "*b and a*", "a*"}},
	} {
		got, err := Samples(withSections(t, c.a...), withSections(t, c.b...))
		if err != nil {
			t.Fatal(err)
		}
		if labels := slices.Sorted(maps.Values(got)); !slices.Equal(labels, c.want) {
			t.Errorf("%q and %q: got %q", c.a, c.b, got)
		}
	}
}

// TestSamplesStandForEveryName: whatever the name, one sample is in the same sections.
func TestSamplesStandForEveryName(t *testing.T) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	word := func(letters string, n int) string {
		s := ""
		for range n {
			s += string(letters[r.IntN(len(letters))])
		}
		return s
	}
	for range 300 {
		seen := map[string]bool{}
		for range 1 + r.IntN(5) {
			if s := word("ab*", 1+r.IntN(4)); !strings.Contains(s, "**") {
				seen[s] = true
			}
		}
		sections := slices.Sorted(maps.Keys(seen))
		samples, err := Samples(withSections(t, sections...))
		if err != nil {
			t.Fatal(err)
		}
		in := func(name string) (out []string) {
			for _, s := range sections {
				if matchName(s, name) {
					out = append(out, s)
				}
			}
			return out
		}
		for range 40 {
			name := word("abc", 1+r.IntN(6))
			if !slices.ContainsFunc(slices.Collect(maps.Keys(samples)), func(s string) bool { return slices.Equal(in(s), in(name)) }) {
				t.Fatalf("sections %q, samples %q: none is like %q", sections, samples, name)
			}
		}
	}
}

func TestTooManyGlobs(t *testing.T) {
	var names []string
	for i := range 26 {
		names = append(names, fmt.Sprintf("*%c*", 'a'+i))
	}
	if _, err := Samples(withSections(t, names...)); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("got %v", err)
	}
}
