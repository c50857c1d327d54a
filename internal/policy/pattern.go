// This file exists because patterns are text by people: it turns them into what is matched, by the
// same rules that requests are made canonical by, and says what is wrong with those it refuses.

package policy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// invalid makes the error of a rule; Check adds the position.
func invalid(remedy, format string, args ...any) *weir.Error {
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf(format, args...), Remedy: remedy}
}

// schemes is a set of URL schemes.
type schemes uint8

func schemeOf(s string) schemes {
	switch s {
	case "http":
		return 1
	case "https":
		return 2
	case "ws":
		return 4
	case "wss":
		return 8
	case "*":
		return 1 | 2
	}
	return 0
}

// hostPattern is a host as a rule names it. Exactly one field is set.
type hostPattern struct {
	exact  string    // canonical
	suffix string    // ".example.com": exactly one label in front of it
	labels []segment // Intrinsic only: label by label
}

func (h *hostPattern) match(host string) bool {
	switch {
	case h.exact != "":
		return host == h.exact
	case h.suffix != "":
		return suffixOf(host) == h.suffix
	}
	for i := range h.labels {
		label, rest, more := strings.Cut(host, ".")
		if !h.labels[i].match(label) || more != (i < len(h.labels)-1) {
			return false
		}
		host = rest
	}
	return true
}

// suffixOf gives what follows the first label of a host, dot included; "" if nothing does.
func suffixOf(host string) string {
	if i := strings.IndexByte(host, '.'); i >= 0 {
		return host[i:]
	}
	return ""
}

// parseAuthority reads the host and port of a pattern. Port 0: none was written.
func parseAuthority(s string, globs bool) (h hostPattern, port uint16, err error) {
	name, portText, found := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, portText, found = s[:i], s[i+1:], true
	}
	switch {
	case strings.IndexByte(s, '@') >= 0:
		return h, 0, invalid("remove what stands before the @", "user information in a URL is not part of a rule")
	case name == "":
		return h, 0, invalid("name a host", "the host is missing")
	case found:
		if port, err = parsePort(portText); err != nil {
			return h, 0, invalid("name each port by its number", "port %q is not a number from 1 to 65535", portText)
		}
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") && strings.IndexByte(name, ':') >= 0 {
		name = name[1 : len(name)-1]
	} else if strings.IndexByte(name, ':') >= 0 {
		return h, 0, invalid("put an IPv6 address in brackets, as in [::1]:8080", "%q is not a host and port", s)
	}
	h, err = parseHost(name, globs)
	return h, port, err
}

const hostRemedy = "name the host, or write *.example.com for exactly one label"

func parseHost(name string, globs bool) (hostPattern, error) {
	rest, wild := strings.CutPrefix(name, "*.")
	glob := strings.ContainsAny(rest, "*?[]")
	if glob && globs {
		return parseHostGlob(strings.ToLower(name))
	}
	if glob {
		return hostPattern{}, invalid(hostRemedy, "host %q holds a wildcard where none is possible", name)
	}
	host, err := CanonicalHost(rest)
	if err != nil {
		return hostPattern{}, invalid(hostRemedy, "%q can't be the host of a rule: %v", name, err)
	}
	if !wild {
		return hostPattern{exact: host}, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return hostPattern{}, invalid("name each address", "a wildcard can't stand before an address")
	}
	return hostPattern{suffix: "." + host}, nil
}

// parseHostGlob reads a host with wildcards inside its labels. No wildcard crosses a dot, and the
// last label must be a plain name: a pattern can't match an address.
func parseHostGlob(name string) (hostPattern, error) {
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	if len(labels) == 1 || strings.ContainsAny(last, "*?[]") || numeric(last) {
		return hostPattern{}, invalid(hostRemedy, "host %q has a wildcard in its last label", name)
	}
	var h hostPattern
	for _, l := range labels {
		// A stand-in for the wildcards leaves what CanonicalHost has to judge.
		plain := strings.NewReplacer("*", "x", "?", "x", "[", "x", "]", "x").Replace(l)
		if _, err := CanonicalHost(plain + ".x"); err != nil {
			return hostPattern{}, invalid(hostRemedy, "%q can't be the host of a rule: %v", name, err)
		}
		s, err := parseSegment(l, true)
		if err != nil {
			return hostPattern{}, err
		}
		if s.deep {
			return hostPattern{}, invalid(hostRemedy, "host %q holds **, which only paths have", name)
		}
		s.empty = false
		h.labels = append(h.labels, s)
	}
	return h, nil
}

// parsePath compiles the path of a pattern. literal is the canonical path if there is no wildcard,
// else what stands before the first segment with one.
func parsePath(path string, globs bool) (segs []segment, literal string, err error) {
	parts := strings.Split(path[1:], "/")
	plain := true
	for i, part := range parts {
		s, err := parseSegment(part, globs)
		if err != nil {
			return nil, "", err
		}
		if s.tokens == nil && !s.deep {
			if err := checkSegment(s.literal, i == len(parts)-1); err != nil {
				return nil, "", invalid("write the path as the server receives it", "%v", err)
			}
		}
		if plain = plain && s.tokens == nil && !s.deep; plain {
			literal += "/" + s.literal
		}
		segs = append(segs, s)
	}
	if plain {
		return nil, literal, nil
	}
	return segs, literal, nil
}

// parseSegment compiles one segment. With globs, "?" and "[...]" are wildcards too, and a lone "*"
// matches an empty segment.
func parseSegment(s string, globs bool) (segment, error) {
	if s == "**" {
		return segment{deep: true}, nil
	}
	if strings.Contains(s, "**") {
		return segment{}, invalid("write * for a part of a segment, /**/ for any number of segments", "** must be a whole segment")
	}
	if i := strings.IndexAny(s, "{}<>"); i >= 0 {
		return segment{}, invalid("write * for a part that varies", "%q is not a wildcard", s[i:i+1])
	}
	if len(s) > 1 && s[0] == ':' && !globs {
		return segment{}, invalid("write * for a part that varies", "%q is not a wildcard", s)
	}
	seg := segment{empty: globs}
	wild := false
	for s != "" {
		t, rest, err := parseToken(s, globs)
		if err != nil {
			return segment{}, err
		}
		wild = wild || t.kind != tokenLiteral
		seg.tokens = append(seg.tokens, t)
		s = rest
	}
	if !wild {
		for _, t := range seg.tokens {
			seg.literal = t.text
		}
		seg.tokens = nil
	}
	return seg, nil
}

// parseToken reads the token that s, which is not empty, begins with.
func parseToken(s string, globs bool) (t token, rest string, err error) {
	switch {
	case s[0] == '*':
		return token{kind: tokenStar}, s[1:], nil
	case s[0] == '?' && globs:
		return token{kind: tokenAny}, s[1:], nil
	case s[0] == '[' && globs:
		return parseClass(s)
	case s[0] == '[' || s[0] == ']':
		return t, "", invalid("write %5B for [ and %5D for ]; * matches any characters of a segment", "%q is not a wildcard here", s[:1])
	}
	end := strings.IndexAny(s, "*?[]")
	if end < 0 {
		end = len(s)
	}
	if end == 0 { // a "]" without a "[", or a "?" that is no wildcard
		return t, "", invalid("", "%q can't stand here", s[:1])
	}
	text, err := canonicalText(s[:end])
	if err != nil {
		return t, "", invalid("write the path as the server receives it", "%v", err)
	}
	return token{kind: tokenLiteral, text: text}, s[end:], nil
}

// parseClass reads "[abc]" or "[a-z]".
func parseClass(s string) (t token, rest string, err error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return t, "", invalid("close it with ]", "the [ in %q has no end in its segment", s)
	}
	set, rest := s[1:end], s[end+1:]
	if set == "" || set[0] == '!' || set[0] == '^' {
		return t, "", invalid("name the characters that are allowed", "[%s] is not a set of characters", set)
	}
	t.kind = tokenClass
	for i := 0; i < len(set); i++ {
		lo, hi := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' {
			hi = set[i+2]
			i += 2
		}
		if lo > hi || lo != hi && (!isAlnum(lo) || !isAlnum(hi)) || pathBytes[lo] != keep || pathBytes[hi] != keep {
			return t, "", invalid("name letters, digits and ranges of them", "[%s] is not a set of characters", set)
		}
		for c := int(lo); c <= int(hi); c++ {
			t.set[c>>6] |= 1 << (c & 63)
		}
	}
	return t, rest, nil
}
