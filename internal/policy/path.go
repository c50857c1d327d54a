// This file exists because the path that is decided on must be the path that the upstream reads:
// whatever servers decode, fold or strip in different ways is refused here.

package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// What becomes of a byte that stands in a path as it is.
const (
	refuse = iota
	keep   // pchar or "/" of RFC 3986, section 3.3, except ";"
	encode // printable, not a pchar: clients differ in whether they encode it, so it always is
)

var pathBytes = func() (t [256]uint8) {
	for c := byte('!'); c <= '~'; c++ {
		t[c] = encode
	}
	for _, c := range []byte("!$&'()*+,=:@/-._~") {
		t[c] = keep
	}
	for c := range 256 {
		if isAlnum(byte(c)) {
			t[c] = keep
		}
	}
	for _, c := range []byte(`\;#?%`) {
		t[c] = refuse
	}
	return t
}()

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// refusedByte says why a byte can't stand in a path.
func refusedByte(c byte) string {
	switch {
	case c == '\\':
		return "the path holds a backslash"
	case c == ';':
		return "the path holds a semicolon, which some servers cut off with what follows it"
	case c == '#':
		return "the URL holds a fragment"
	case c == '?':
		return "the path holds a question mark"
	case c >= 0x80:
		return "the path holds a character outside ASCII that is not percent-encoded"
	}
	return "the path holds a space or control character"
}

// canonicalPath gives the one spelling of a path that starts with "/": escapes in upper case, and
// printable characters that RFC 3986 does not allow in a path escaped. The error is an *Ambiguous.
func canonicalPath(s string) (string, error) {
	out, err := canonicalText(s)
	if err != nil {
		return "", err
	}
	for rest := out[1:]; ; {
		segment, after, more := strings.Cut(rest, "/")
		if err := checkSegment(segment, !more); err != nil {
			return "", err
		}
		if !more {
			return out, nil
		}
		rest = after
	}
}

// checkSegment refuses dot segments and empty ones, also those that turn into one when a server
// decodes "%3B" early and strips path parameters.
func checkSegment(s string, last bool) error {
	bare, _, parameter := strings.Cut(s, "%3B")
	switch {
	case isDots(s):
		return ambiguous("the path holds a dot segment")
	case bare == "" && (parameter || !last):
		return ambiguous("the path holds an empty segment")
	}
	return nil
}

// canonicalText is canonicalPath without the rules about segments.
func canonicalText(s string) (string, error) {
	var b []byte // nil as long as nothing changed
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '%':
			n, err := checkEscapes(s[i:])
			if err != nil {
				return "", err
			}
			up := strings.ToUpper(s[i : i+n])
			if b == nil && up != s[i:i+n] {
				b = append(make([]byte, 0, len(s)), s[:i]...)
			}
			if b != nil {
				b = append(b, up...)
			}
			i += n
			continue
		case pathBytes[c] == refuse:
			return "", ambiguous(refusedByte(c))
		case pathBytes[c] == encode:
			if b == nil {
				b = append(make([]byte, 0, len(s)+2), s[:i]...)
			}
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		case b != nil:
			b = append(b, c)
		}
		i++
	}
	if b == nil {
		return s, nil
	}
	return string(b), nil
}

// checkEscapes looks at the escape that s begins with, or at all escapes of one character outside
// ASCII, and gives their length.
func checkEscapes(s string) (int, error) {
	c, ok := unescape(s)
	switch {
	case !ok:
		return 0, ambiguous("the path holds a broken percent escape")
	case c >= utf8.RuneSelf:
		return checkUTF8(s)
	case c == '/' || c == '\\' || c == '.':
		return 0, ambiguous("the path holds an encoded slash, backslash or dot")
	case isAlnum(c) || c == '-' || c == '_' || c == '~':
		return 0, ambiguous("the path holds an escape of a character that needs none")
	case c < ' ' || c == 0x7f:
		return 0, ambiguous("the path holds an encoded control character")
	case c == '%' && len(s) >= 5 && isHex(s[3]) && isHex(s[4]):
		return 0, ambiguous("the path is percent-encoded twice")
	}
	return 3, nil
}

// checkUTF8 wants the escapes at the start of s to be one character in its shortest UTF-8 form.
func checkUTF8(s string) (int, error) {
	var buf [utf8.UTFMax]byte
	n := 0
	for n < len(buf) {
		c, ok := unescape(s[3*n:])
		if !ok {
			break
		}
		buf[n] = c
		n++
		if utf8.FullRune(buf[:n]) {
			break
		}
	}
	r, size := utf8.DecodeRune(buf[:n])
	if r == utf8.RuneError && size <= 1 {
		return 0, ambiguous("the path holds escapes that are not UTF-8")
	}
	switch look := lookalikes[r]; {
	case unicode.IsControl(r):
		return 0, ambiguous("the path holds an encoded control character")
	case look == "/" || look == `\` || look == "%":
		return 0, ambiguous("the path holds a character that some servers take for a slash, backslash or percent sign")
	}
	return 3 * size, nil
}

// unescape reads the escape "%XX" that s begins with.
func unescape(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' || !isHex(s[1]) || !isHex(s[2]) {
		return 0, false
	}
	return unhex(s[1])<<4 | unhex(s[2]), true
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// checkQuery refuses what can't be forwarded byte for byte. What a query means is the upstream's
// business, unless a rule has a query (see matchQuery).
func checkQuery(s string) error {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '#':
			return ambiguous("the URL holds a fragment")
		case c <= ' ' || c >= 0x7f:
			return ambiguous("the query holds a space, a control character or one outside ASCII that is not percent-encoded")
		}
	}
	return nil
}
