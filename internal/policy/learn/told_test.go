package learn

import (
	"strings"
	"testing"
)

// TestADoubtAboutTwoFunctionsIsToldTwice: what is written of one function hides nothing of another.
func TestADoubtAboutTwoFunctionsIsToldTwice(t *testing.T) {
	r := newRun()
	for _, name := range []string{"one", "two"} {
		r.invocation(name).tried("http", "POST", "https://drop.evil.test/x")
	}
	text, err := propose(t, r.set, Options{Sources: all(own)}).Edit("weir.toml", "", nil)
	if err != nil || strings.Count(text, "drop.evil.test") != 2 {
		t.Errorf("%v\n%s", err, text)
	}
}
