package weir

// Texts of strangers are cut and made harmless in one way everywhere.

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Cut gives the beginning of a text, no more than n bytes, and never cuts inside a character: what
// strangers wrote is bounded everywhere, and stays text.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for back := range min(n+1, utf8.UTFMax) {
		if utf8.RuneStart(s[n-back]) {
			return s[:n-back]
		}
	}
	return s[:n] // no characters there
}

// Printable makes hostile text fit for one line of a terminal or an error: control characters, ends of
// lines, marks that turn the direction of a text or can't be seen, and what is no UTF-8 become U+FFFD.
// Tabs and spaces of all kinds stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if printable(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

// PrintableJSON gives JSON that means the same and drives no terminal: what Printable takes out is
// escaped (RFC 8259, section 7).
func PrintableJSON(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && !printable(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\r':
			b.WriteByte(' ') // outside of strings, where it means nothing; inside, JSON has none
		case r == '\n' || printable(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func printable(r rune) bool {
	return r == '\t' || unicode.IsPrint(r) || unicode.Is(unicode.Zs, r)
}
