// This file exists because a server may trim, cut or fold what it has decoded before it looks for dot
// segments: what any of these leaves as "." or ".." is one here, too.

package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// lookalikes are the characters outside ASCII that a server may take for those that mean something in
// a path: what their compatibility form (NFKC; Unicode Standard Annex #15, Unicode 14) is or begins
// with, and what Windows' code pages 1252, 932 and 949 make of them (unicode.org, Mappings/VENDORS/
// MICSFT/WindowsBestFit). Three dots in one character are missing: they make no dot segment.
var lookalikes = map[rune]string{
	0x2024: ".", 0xfe52: ".", 0xff0e: ".", 0x2025: "..", 0xfe30: "..",
	0x2044: "/", 0x2215: "/", 0xff0f: "/", 0x2100: "/", 0x2101: "/", 0x2105: "/", 0x2106: "/", // ℀ is a/c
	0x2216: `\`, 0xfe68: `\`, 0xff3c: `\`,
	0xfe6a: "%", 0xff05: "%",
	0x037e: ";", 0xfe14: ";", 0xfe54: ";", 0xff1b: ";",
	0x2047: "?", 0x2048: "?", 0xfe16: "?", 0xfe56: "?", 0xff1f: "?",
	0xfe5f: "#", 0xff03: "#",
	0xa5: yen, 0xffe5: yen, 0x20a9: yen, 0xffe6: yen, // ¥ and ₩, which have the backslash's place there
}

// yen stands for a sign of money that only beside dots is taken for a backslash.
const yen = "\x00"

// isDots tells whether a canonical segment is a dot segment, or is one to a server that drops white
// space and what can't be seen, folds look-alikes, or cuts at what ends a path.
func isDots(s string) bool {
	if strings.IndexByte(s, '%') < 0 {
		return s == "." || s == ".."
	}
	for part := range strings.SplitSeq(folded(s), yen) {
		part = strings.TrimLeft(part, " ")
		if i := strings.IndexAny(part, " ;?#"); i >= 0 {
			part = part[:i]
		}
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// folded gives a canonical segment in ASCII as the most careless server may see it: without what
// can't be seen, with look-alikes replaced, and "x" for all else.
func folded(s string) string {
	b := make([]byte, 0, len(s))
	for s != "" {
		r, n := segmentRune(s)
		s = s[n:]
		switch look, ok := lookalikes[r]; {
		case ok:
			b = append(b, look...)
		case unicode.IsSpace(r):
			b = append(b, ' ')
		case r < utf8.RuneSelf:
			b = append(b, byte(r))
		case !unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			b = append(b, 'x')
		}
	}
	return string(b)
}

// segmentRune decodes the first character of a canonical segment and gives its length there.
func segmentRune(s string) (rune, int) {
	var buf [utf8.UTFMax]byte
	n := 0
	for n < len(buf) && !utf8.FullRune(buf[:n]) {
		c, ok := unescape(s[3*n:])
		if !ok {
			break
		}
		buf[n] = c
		n++
	}
	if n == 0 {
		return rune(s[0]), 1
	}
	r, size := utf8.DecodeRune(buf[:n])
	return r, 3 * size
}
