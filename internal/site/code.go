package site

// JavaScript and TypeScript without what says nothing about what the code does: a host in a comment or
// in a regular expression is no host that the code names.

import (
	"slices"
	"strings"
)

// code gives the text of a file with spaces in the place of comments and regular expressions; false if it
// can't be told where these end. Line breaks stay. It is no parser: a slash that could divide as well as
// begin a regular expression divides, and a text that does not end on its line makes the file one that
// can't be told.
func code(text string) (string, bool) {
	l := lexer{in: text, out: []byte(text)}
	if strings.HasPrefix(text, "#!") {
		l.blank(l.line())
	}
	for l.at < len(l.in) {
		if !l.step() {
			return "", false
		}
	}
	return string(l.out), len(l.braces) == 0
}

type lexer struct {
	in     string
	out    []byte
	at     int
	last   byte   // the last character that counts, 0 at the start
	word   string // … and the word that ends there, "" if none does
	braces []int  // of each template that is open, the braces open in its ${ }
}

// step goes over one thing; false if its end is not there.
func (l *lexer) step() bool {
	rest := l.in[l.at:]
	c := rest[0]
	switch {
	case strings.HasPrefix(rest, "//"):
		l.blank(l.line())
		return true
	case strings.HasPrefix(rest, "/*"):
		end := strings.Index(rest[2:], "*/")
		l.blank(end + 4)
		return end >= 0
	case c == '"' || c == '\'':
		return l.quoted(c)
	case c == '`':
		l.at++
		return l.template()
	case c == '/' && l.expects():
		return l.regexp()
	case isName(c) || c == '$' || c >= 0x80:
		n := 1
		for n < len(rest) && (isName(rest[n]) || rest[n] == '$' || rest[n] >= 0x80) {
			n++
		}
		l.at, l.last, l.word = l.at+n, c, rest[:n]
		return true
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		l.at++
		return true
	}
	if open := len(l.braces) - 1; open >= 0 {
		switch {
		case c == '{':
			l.braces[open]++
		case c == '}' && l.braces[open] > 0:
			l.braces[open]--
		case c == '}':
			l.braces = l.braces[:open]
			l.at++
			return l.template()
		}
	}
	l.pass(c, 1)
	return true
}

// pass goes over n bytes that end with a character that is part of no word.
func (l *lexer) pass(last byte, n int) { l.at, l.last, l.word = l.at+n, last, "" }

// line gives the number of bytes up to the end of the line.
func (l *lexer) line() int {
	for i := l.at; i < len(l.in); i++ {
		if l.in[i] == '\n' || l.in[i] == '\r' || strings.HasPrefix(l.in[i:], "\u2028") || strings.HasPrefix(l.in[i:], "\u2029") {
			return i - l.at
		}
	}
	return len(l.in) - l.at
}

// blank takes n bytes out.
func (l *lexer) blank(n int) {
	for end := min(l.at+max(n, 0), len(l.in)); l.at < end; l.at++ {
		if l.out[l.at] != '\n' {
			l.out[l.at] = ' '
		}
	}
}

func (l *lexer) quoted(quote byte) bool {
	for i := l.at + 1; i < len(l.in); i++ {
		switch l.in[i] {
		case '\\':
			i++
		case '\n', '\r':
			return false
		case quote:
			l.pass(quote, i+1-l.at)
			return true
		}
	}
	return false
}

// template goes on to the end of a template or to its next ${.
func (l *lexer) template() bool {
	for i := l.at; i < len(l.in); i++ {
		switch {
		case l.in[i] == '\\':
			i++
		case l.in[i] == '`':
			l.pass('`', i+1-l.at)
			return true
		case strings.HasPrefix(l.in[i:], "${"):
			l.braces = append(l.braces, 0)
			l.pass('{', i+2-l.at)
			return true
		}
	}
	return false
}

// before are the words behind which a regular expression can stand.
var before = []string{"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "instanceof", "else", "do", "yield", "await"}

// expects tells whether a value is expected, so that a slash begins a regular expression. "</" is JSX.
func (l *lexer) expects() bool {
	if l.word != "" {
		return slices.Contains(before, l.word)
	}
	return strings.IndexByte(")]}\"'`<", l.last) < 0
}

func (l *lexer) regexp() bool {
	class := false
	for i := l.at + 1; i < len(l.in); i++ {
		switch c := l.in[i]; {
		case c == '\\':
			i++
		case c == '\n' || c == '\r':
			return false
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			l.blank(i + 1 - l.at)
			l.last, l.word = ')', "" // a value
			return true
		}
	}
	return false
}
