package store

// Keys that any text can be a part of.

import "encoding/hex"

// Token gives a text as one token of a key or subject: as it is if it has only letters, digits, "-" and "_" and
// doesn't begin with "x_", else "x_" and its bytes in hexadecimal. Different texts have different tokens.
func Token(text string) string {
	if isToken(text) && (len(text) < 2 || text[:2] != "x_") {
		return text
	}
	return "x_" + hex.EncodeToString([]byte(text))
}

// Text gives the text of a token that Token made.
func Text(token string) string {
	if len(token) >= 2 && token[:2] == "x_" {
		if b, err := hex.DecodeString(token[2:]); err == nil {
			return string(b)
		}
	}
	return token
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}
