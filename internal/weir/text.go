package weir

// Texts of strangers are cut in one way everywhere.

import "unicode/utf8"

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
