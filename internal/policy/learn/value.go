package learn

// Which segments of a path are words of an API, and which are values: ids, dates, names of users, keys.
// Values become "*" and are never written down, for they may be secrets.

import (
	"strings"
	"unicode"
)

// longValue is the length, in bytes, from which a value can carry data away unnoticed. UUIDs and
// SHA-1 sums are shorter.
const longValue = 41

// isValue tells whether a segment is a value. At the start of a path a date is a version of the API.
func isValue(seg string, first bool) bool {
	switch {
	case seg == "":
		return false
	case len(seg) > longValue, strings.ContainsAny(seg, "%*[]{}"):
		return true
	case isVersion(seg), first && isDate(seg):
		return false
	case isDate(seg), strings.Trim(seg, "0123456789") == "":
		return true
	}
	for _, part := range strings.FieldsFunc(seg, func(c rune) bool { return strings.ContainsRune("-_.~,:@+=!$&'()", c) }) {
		if !isWord(part) {
			return true
		}
	}
	return false
}

// isVersion knows "v1", "v2.1", "v1beta2".
func isVersion(s string) bool {
	if len(s) < 2 || len(s) > 12 || s[0] != 'v' || !digit(s[1]) {
		return false
	}
	rest := strings.TrimLeft(s[1:], "0123456789.")
	rest = strings.TrimRight(rest, "0123456789")
	return rest == "" || rest == "alpha" || rest == "beta" || rest == "p" || rest == "rc"
}

func isDate(s string) bool {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	for _, i := range []int{0, 1, 2, 3, 5, 6, 8, 9} {
		if !digit(s[i]) {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// isWord tells whether a part of a segment reads like a word of a language or an API: letters with
// vowels among them, or few characters.
func isWord(s string) bool {
	letters := strings.TrimRight(s, "0123456789")
	digits := len(s) - len(letters)
	switch {
	case letters == "":
		return digits <= 2
	case digits > 3 || digits > 1 && len(letters) < 3:
		return false
	case len(s) <= 3:
		return true
	case len(s) <= 5 && digits == 0 && strings.ToLower(s) == s && strings.IndexFunc(s, unicode.IsDigit) < 0:
		return true // abbreviations: "html", "https"
	}
	words := camelWords(letters)
	for _, w := range words {
		if !readable(w) {
			return false
		}
	}
	return len(words) < 4 || len(letters) >= 3*len(words) // "aBcDeFgH" is no sentence
}

// camelWords splits "listAllUsers" and "HTTPServer" where a word begins.
func camelWords(s string) []string {
	var out []string
	start := 0
	for i := 1; i < len(s); i++ {
		if upper(s[i]) && (!upper(s[i-1]) || i+1 < len(s) && !upper(s[i+1])) {
			out = append(out, s[start:i])
			start = i
		}
	}
	return append(out, s[start:])
}

func upper(c byte) bool { return c >= 'A' && c <= 'Z' }

// readable tells whether letters could be a word: no digits, a vowel, no long run without one.
func readable(w string) bool {
	run, vowels := 0, 0
	for i := range len(w) {
		c := w[i] | 0x20
		switch {
		case c < 'a' || c > 'z':
			return false
		case strings.IndexByte("aeiouy", c) >= 0:
			run = 0
			vowels++
		default:
			if run++; run > 5 {
				return false
			}
		}
	}
	switch {
	case len(w) <= 3, len(w) <= 5 && strings.ToUpper(w) == w:
		return true
	case len(w) <= 10:
		return vowels > 0
	}
	return len(w) <= 20 && 5*vowels >= len(w)
}

// hint gives a value as it may be written in a comment: what stands before its first "_" if that is a
// short lower-case prefix ("cus_…"), nothing else of it.
func hint(seg string) string {
	if i := strings.IndexByte(seg, '_'); i > 0 && i <= 5 && strings.Trim(seg[:i], "abcdefghijklmnopqrstuvwxyz") == "" {
		return seg[:i] + "_…"
	}
	return "…"
}

// carriesData tells whether a label of a host name looks like data in disguise.
func carriesData(label string) bool {
	if strings.HasPrefix(label, "xn--") {
		return false // told by itself
	}
	return len(label) > 30 || len(label) >= 10 && isValue(label, true)
}
