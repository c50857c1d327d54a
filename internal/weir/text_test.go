package weir

import (
	"encoding/json"
	"errors"
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

// TestPrintable: a hostile text is one line that drives no terminal, and JSON means the same as before.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext": "plain\ttext", "ü€\u00a0😀": "ü€\u00a0😀", "\x1b[2J\r\n\x00\x7f": "�[2J����", "\u009b2J\u202e\u2028\ufeff": "�2J���", "\xff\x9b": "��", "\U000e0001": "�",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		safe := PrintableJSON(string(b))
		if Printable(safe) != safe {
			t.Errorf("%q is not printable", safe)
		}
		var before, after string
		if err := errors.Join(json.Unmarshal(b, &before), json.Unmarshal([]byte(safe), &after)); err != nil || before != after {
			t.Errorf("%q became %q: %v", before, after, err)
		}
	}
	if got := PrintableJSON("{\r\n\"\u009b\U000e0001\"}"); got != "{ \n\"\\u009b\\udb40\\udc01\"}" {
		t.Error(got)
	}
}
