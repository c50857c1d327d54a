package site

import (
	"strings"
	"testing"
)

// TestCode: what is no code says nothing, and what can't be told from it says nothing at all.
func TestCode(t *testing.T) {
	for text, want := range map[string]string{
		"a // b\nc":              "a     \nc",
		"a /* b\n */ c":          "a     \n    c",
		"#!/usr/bin/env node\na": "                   \na",
		"'//a' + \"/*b*/\" // c": "'//a' + \"/*b*/\"     ",
		"'a\\'// b'":             "'a\\'// b'",
		"`// ${a /* b */ + `/* ${{ c: 1 }} */`} //` //d": "`// ${a         + `/* ${{ c: 1 }} */`} //`    ",
		"x = /[/'\"]\\/`/g.test(y) // z":                 "x =           g.test(y)     ",
		"return /'/":                                     "return    ",
		"a / b // c":                                     "a / b     ",
		"(a) / 2 / b; f(/'/, /\"/)":                      "(a) / 2 / b; f(   ,    )",
		"x = a[1] / b['/*'] /* c */":                     "x = a[1] / b['/*']        ",
		"<a href=\"https://a.test\">b</a>":               "<a href=\"https://a.test\">b</a>",
		"é = 'https://é.test' // é":                      "é = 'https://é.test'      ",
	} {
		if got, ok := code(text); !ok || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{"'a", "'a\n'", "/* a", "`a", "`${a`", "`${", "x = /a", "x = /[/]\n/", "a'", "\"\\"} {
		if got, ok := code(text); ok {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

// FuzzCode: a text of whatever kind ends, stays as long as it was and holds nothing that wasn't there.
func FuzzCode(f *testing.F) {
	for _, s := range []string{"a // b\n'c' /* d */ `e ${f} g` /h/", "`${`${`", "/*/", "a /= /b/", "\u2028//\u2028a", "}}{{`${}}`"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, ok := code(text)
		if !ok {
			return
		}
		if len(out) != len(text) || strings.Count(out, "\n") != strings.Count(text, "\n") {
			t.Fatalf("%q became %q", text, out)
		}
		for i := range len(out) {
			if out[i] != text[i] && out[i] != ' ' {
				t.Fatalf("%q became %q", text, out)
			}
		}
	})
}
