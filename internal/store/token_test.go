package store

import (
	"strings"
	"testing"
)

func FuzzToken(f *testing.F) {
	for _, text := range []string{"", "plain-1_", "x_", "x_61", "a.b", "*", ">", "Ünï\n\x00", strings.Repeat("a", 300)} {
		f.Add(text, "x_")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		token := Token(a)
		if !isToken(token) {
			t.Errorf("%q becomes %q, which is none", a, token)
		}
		if Text(token) != a {
			t.Errorf("%q comes back as %q", a, Text(token))
		}
		if a != b && token == Token(b) {
			t.Errorf("%q and %q are both %q", a, b, token)
		}
	})
}
