package routing

// What a rule's path matches: segments, each a text or a placeholder, and at most one splat.

import (
	"net/url"
	"slices"
	"strings"
)

// maxPath bounds a request's path, in bytes: a longer one matches no rule.
const maxPath = 8 << 10

// pattern is the path of a rule.
type pattern struct {
	head []segment // before the splat, or all
	// With a splat, stem is what the segment that it stands in begins with, as in /old-*, and tail what comes after it.
	splat bool
	stem  string
	tail  []segment
}

// segment is a part of a path between slashes.
type segment struct {
	text        string // decoded; or a placeholder's name
	placeholder bool
}

// path is a request's path.
type path struct {
	raw     []string // its segments, percent-encoded as they came
	decoded []string
}

// readPath takes a percent-encoded path apart. What can be read in two ways, because of dots, backslashes or control
// characters, matches no rule.
func readPath(escaped string) (path, bool) {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok || len(escaped) > maxPath || ambiguous(escaped) {
		return path{}, false
	}
	p := path{raw: strings.Split(rest, "/")}
	if !strings.Contains(rest, "%") {
		p.decoded = p.raw
		return p, true
	}
	p.decoded = make([]string, len(p.raw))
	for i, s := range p.raw {
		p.decoded[i], _ = url.PathUnescape(s) // ambiguous has seen to it that it can be
	}
	return p, true
}

// ambiguous tells whether programs may take an encoded path for different ones.
func ambiguous(escaped string) bool {
	plain, err := url.PathUnescape(escaped)
	if err != nil || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return true
	}
	return strings.Contains(plain, "/.") && slices.ContainsFunc(strings.Split(plain, "/"), func(s string) bool { return s == "." || s == ".." })
}

// Plain tells whether an encoded path is the only way to write what it leads to, but for a slash at its end and for
// what is encoded without need: no . or .. and no empty segments, no encoded slashes, no backslashes and no
// control characters. Rules may shield a path only if nothing is found by another that isn't plain.
func Plain(escaped string) bool {
	return strings.HasPrefix(escaped, "/") && len(escaped) <= maxPath && !ambiguous(escaped) &&
		!strings.Contains(escaped, "//") && !strings.Contains(strings.ToLower(escaped), "%2f")
}

// withoutSlash leaves out a slash at the end: /old/ is /old.
func (p path) withoutSlash() path {
	if n := len(p.raw) - 1; p.raw[n] == "" {
		return path{p.raw[:n], p.decoded[:n]}
	}
	return p
}

// parsePattern reads the path of a rule. A star stands for whatever follows, slashes too, as a segment of its own
// or at the end of one; elsewhere in a segment it is a plain character. A segment that begins with a colon is a placeholder.
func parsePattern(from string) (pattern, *fault) {
	const remedy = "write a path, as in /old, /blog/:year/:slug or /docs/*"
	switch {
	case strings.ContainsAny(from, "?#"):
		return pattern{}, faulty("write query parameters after the path, as in: /store id=:id /blog/:id", "the path %q has a query or a fragment in it, and would never match", from)
	case strings.HasPrefix(from, "//"):
		return pattern{}, faulty(remedy, "the path %q begins with two slashes", from)
	case ambiguous(from):
		return pattern{}, faulty(remedy, "the path %q has . or .. segments, backslashes, control characters or broken percent escapes in it", from)
	}
	var p pattern
	for s := range strings.SplitSeq(strings.Trim(from, "/"), "/") {
		text, _ := url.PathUnescape(s)
		seg := segment{text: text}
		stem, star := strings.CutSuffix(s, "*")
		switch name, colon := strings.CutPrefix(s, ":"); {
		case colon && name != "" && !star:
			seg = segment{name, true}
		case star && !strings.Contains(stem, "*"):
			if p.splat {
				return pattern{}, faulty("leave one of them", "the path %q has two splats", from)
			}
			p.splat = true
			p.stem, _ = url.PathUnescape(stem)
			continue
		}
		switch {
		case p.splat:
			p.tail = append(p.tail, seg)
		case s != "":
			p.head = append(p.head, seg)
		}
	}
	return p, nil
}

// literal gives the segments in front that are plain text.
func (p *pattern) literal() []string {
	var out []string
	for _, s := range p.head {
		if s.placeholder {
			break
		}
		out = append(out, s.text)
	}
	return out
}

// fixed tells whether the pattern is a path with nothing open in it.
func (p *pattern) fixed() bool { return !p.splat && len(p.literal()) == len(p.head) }

// match tells whether a path matches, and gives what the placeholders and the splat stand for, as encoded.
func (p *pattern) match(full path, values []pair) ([]pair, bool) {
	at := full
	if !p.splat || len(p.tail) > 0 {
		at = full.withoutSlash()
	}
	n, ends := len(p.head), len(at.raw)-len(p.tail)
	if p.stem != "" {
		n++
	}
	if ends < n || !p.splat && ends > n {
		return nil, false
	}
	values, ok := matchSegments(p.head, at, 0, values)
	if !ok || !p.splat {
		return values, ok
	}
	own := ""
	if p.stem != "" {
		if own, ok = strings.CutPrefix(at.decoded[len(p.head)], p.stem); !ok {
			return nil, false
		}
	}
	if values, ok = matchSegments(p.tail, at, ends, values); !ok {
		return nil, false
	}
	rest := at.raw[len(p.head):ends] // put together only now: a request may be compared with very many
	splat := strings.Join(rest, "/")
	if p.stem != "" {
		splat = strings.Join(append([]string{url.PathEscape(own)}, rest[1:]...), "/")
		splat = strings.TrimPrefix(splat, "/")
	}
	return append(values, pair{"splat", splat}), true
}

func matchSegments(segments []segment, p path, from int, values []pair) ([]pair, bool) {
	for i, s := range segments {
		switch {
		case !s.placeholder && p.decoded[from+i] != s.text, s.placeholder && p.raw[from+i] == "":
			return nil, false
		case s.placeholder:
			values = append(values, pair{s.text, p.raw[from+i]})
		}
	}
	return values, true
}
