// This file exists because patterns are matched by segments of the canonical path, without
// allocating and in time bounded by the product of both lengths, so that a hostile path can't
// stall a decision.

package policy

import "strings"

// segment is one compiled segment of a path pattern, or one label of a host pattern.
type segment struct {
	deep    bool    // "**": any number of whole segments
	literal string  // if tokens is nil: exactly this
	tokens  []token // wildcards and what stands between them
	empty   bool    // the wildcards may match an empty segment
}

// token is one part of a segment with wildcards. An escape "%XX" counts as one character.
type token struct {
	kind tokenKind
	text string    // tokenLiteral
	set  [4]uint64 // tokenClass: a bit for each byte
}

type tokenKind uint8

const (
	tokenLiteral tokenKind = iota
	tokenStar              // any characters, none included
	tokenAny               // one character
	tokenClass             // one character of a set
)

// pathPattern is one segment of a pattern for paths.
type pathPattern[S any] interface {
	*S
	isDeep() bool // "**": any number of whole segments
	match(text string) bool
}

// matchPath tells whether a canonical path fits the segments. A "**" at the end needs at least one
// segment, which may be the empty one after a trailing slash.
func matchPath[S any, P pathPattern[S]](segs []S, path string) bool {
	next, pos := 0, 0      // next segment of the pattern; the slash before the next one of the path
	deep, deepPos := -1, 0 // last "**" seen, and how far it reaches
	for pos < len(path) {
		if next < len(segs) && P(&segs[next]).isDeep() {
			if next == len(segs)-1 {
				return true
			}
			deep, deepPos = next, pos
			next++
			continue
		}
		end := segmentEnd(path, pos)
		if next < len(segs) && P(&segs[next]).match(path[pos+1:end]) {
			next, pos = next+1, end
			continue
		}
		if deep < 0 {
			return false
		}
		deepPos = segmentEnd(path, deepPos)
		next, pos = deep+1, deepPos
	}
	return next == len(segs)
}

// segmentEnd gives the index after the segment whose slash stands at pos.
func segmentEnd(path string, pos int) int {
	if i := strings.IndexByte(path[pos+1:], '/'); i >= 0 {
		return pos + 1 + i
	}
	return len(path)
}

func (s *segment) isDeep() bool { return s.deep }

func (s *segment) match(text string) bool {
	if s.tokens == nil {
		return text == s.literal
	}
	if text == "" && !s.empty {
		return false
	}
	next, pos := 0, 0
	star, starPos := -1, 0
	for pos < len(text) || next < len(s.tokens) {
		if next < len(s.tokens) {
			t := &s.tokens[next]
			if t.kind == tokenStar {
				star, starPos = next, pos
				next++
				continue
			}
			if n := t.match(text[pos:]); n > 0 {
				next, pos = next+1, pos+n
				continue
			}
		}
		if star < 0 || starPos >= len(text) {
			return false
		}
		starPos += unit(text[starPos:])
		next, pos = star+1, starPos
	}
	return true
}

// match gives the number of bytes that t takes from the start of text, 0 if it does not fit.
func (t *token) match(text string) int {
	switch {
	case text == "":
		return 0
	case t.kind == tokenLiteral:
		if strings.HasPrefix(text, t.text) {
			return len(t.text)
		}
		return 0
	case t.kind == tokenClass:
		if c := text[0]; t.set[c>>6]&(1<<(c&63)) == 0 {
			return 0
		}
	}
	return unit(text)
}

// unit gives the length of the character that canonical text begins with: an escape is one.
func unit(text string) int {
	if text[0] == '%' && len(text) >= 3 {
		return 3
	}
	return 1
}
