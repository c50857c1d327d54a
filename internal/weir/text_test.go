package weir

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"abc", 0, ""}, {"aü", 2, "a"}, {"aü", 3, "aü"}, {"a€b", 3, "a"}, {"😀😀", 7, "😀"}, {"😀", 3, ""},
		{"\x80\x80\x80\x80\x80\x80\x80", 6, "\x80\x80\x80\x80\x80\x80"},
	} {
		if got := Cut(c.s, c.n); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
	text := strings.Repeat("aü€😀", 5)
	for n := range len(text) + 1 {
		if got := Cut(text, n); !utf8.ValidString(got) || len(got) > n || len(got) < n-3 || !strings.HasPrefix(text, got) {
			t.Errorf("%d: %q", n, got)
		}
	}
}
