package policy

import (
	"fmt"
	"testing"
)

// spent gives the effort to compare each rule with all others: n rules that are written as of.
func spent(t *testing.T, n int, of func(i int) string) (effort int, unsure bool) {
	t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, of(i))
	}
	c := NewCoverage(compile(t, lines...))
	for i := range n {
		if ok, _ := c.Covered(i, c, func(j int) bool { return j != i }); ok {
			t.Fatalf("%s is covered", lines[i])
		}
		for _, j := range c.Near(i, c) {
			if i != j {
				c.Overlap(i, j)
			}
		}
	}
	return maxEffort - c.effort, c.Unsure()
}

// TestManyRulesOfOneHost: rules that plainly have nothing in common are not compared with each other, and
// comparisons of those that may have are bounded.
func TestManyRulesOfOneHost(t *testing.T) {
	for name, of := range map[string]func(int) string{
		"paths":     func(i int) string { return fmt.Sprintf("http GET https://a.example/v1/item%d", i) },
		"wildcards": func(i int) string { return fmt.Sprintf("http GET https://a.example/v1/item%d/**", i) },
		"hosts":     func(i int) string { return fmt.Sprintf("http GET https://h%d.a.example/v1/*", i) },
		"ports":     func(i int) string { return fmt.Sprintf("tcp a.example:%d", i+1) },
		"names":     func(i int) string { return fmt.Sprintf("dns TXT x%d.a.example", i) },
		"files":     func(i int) string { return fmt.Sprintf("write /srv/%d/**", i) },
		"variables": func(i int) string { return fmt.Sprintf("env A%d", i) },
	} {
		few, _ := spent(t, 200, of)
		many, unsure := spent(t, 2000, of)
		if unsure || many > 20*few {
			t.Errorf("%s: %d for 200 rules, %d for 2000, too many: %v", name, few, many, unsure)
		}
	}
	effort, unsure := spent(t, 3000, func(i int) string { return fmt.Sprintf("http GET https://a.example/*x%d", i) })
	if !unsure || effort > maxEffort+2*maxWork {
		t.Errorf("%d was spent on rules that all may have something in common, too many: %v", effort, unsure)
	}
}
