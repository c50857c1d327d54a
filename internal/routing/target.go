package routing

// Where a rule leads: a text with the values of placeholders in it. What the values are, whoever sends a request
// chooses, so they can't become a part of the target that they don't stand in.

import (
	"net/url"
	"slices"
	"strings"
)

// target is what stands behind a rule's path.
type target struct {
	external bool // a URL, not a path
	pieces   []piece
	query    bool   // it has a query of its own
	lead     string // its path up to the first placeholder
}

// maxTarget bounds where a rule leads, in bytes, as a placeholder may stand in it again and again.
const maxTarget = 64 << 10

// piece is a text, or a placeholder in some part of a URL.
type piece struct {
	text  string // as it is sent, or the placeholder's name
	param bool
	in    part
}

type part uint8

const (
	inHost part = iota
	inPath
	inQuery // or in the fragment
)

// parseTarget reads a target. names are the placeholders that it may have. Proxies must not have one in their host.
func parseTarget(to string, names []string, proxy bool) (target, *fault) {
	t := target{external: isURL(to)}
	if f := checkTarget(to, t.external); f != nil {
		return t, f
	}
	hostFrom, hostEnd := 0, 0
	if t.external {
		hostFrom = strings.Index(to, "://") + 3
		hostEnd = len(to)
		if i := strings.IndexAny(to[hostFrom:], "/?#"); i >= 0 {
			hostEnd = hostFrom + i
		}
	}
	queryFrom := len(to)
	if i := strings.IndexAny(to, "?#"); i >= 0 {
		queryFrom = i
		t.query = to[i] == '?' && len(to) > i+1 && to[i+1] != '#'
	}
	text := 0 // where the text begins that is in no piece yet
	for i := 0; i < len(to); i++ {
		name := ""
		if to[i] == ':' {
			name = longestPrefix(to[i+1:], names)
		}
		if name == "" {
			continue
		}
		p := piece{text: name, param: true, in: inPath}
		end := i + 1 + len(name)
		switch {
		case i < hostEnd:
			p.in = inHost
			if proxy || to[i-1] != '.' && i != hostFrom || end >= hostEnd || to[end] != '.' {
				return t, faulty("write the host out", "in %q whoever sends a request would choose the host", to)
			}
		case i > queryFrom:
			p.in = inQuery
		}
		t.addText(to[text:i])
		t.pieces = append(t.pieces, p)
		i, text = end-1, end
	}
	t.addText(to[text:])
	if t.external && !slices.ContainsFunc(t.pieces, func(p piece) bool { return p.param && p.in == inHost }) {
		if u, err := url.Parse(to[:hostEnd]); err != nil || u.Hostname() == "" {
			return t, faulty("write it as in https://example.com/", "the target %q has no host that can be used", to)
		}
	}
	if first := t.pieces[0]; !first.param && !t.external {
		t.lead, _, _ = strings.Cut(first.text, "?")
	}
	return t, nil
}

// checkTarget tells what is wrong with a target as it was written.
func checkTarget(to string, external bool) *fault {
	const remedy = "a target begins with /, http:// or https://"
	switch {
	case strings.ContainsFunc(to, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return faulty("write them percent-encoded", "the target %q has blanks, control characters or backslashes in it", to)
	case strings.HasPrefix(to, "//"):
		return faulty("write the scheme too, as in https://example.com", "the target %q has no scheme", to)
	case !external && !strings.HasPrefix(to, "/"):
		return faulty(remedy, "the target %q is neither a path nor a URL", to)
	case ambiguous(pathOf(to)):
		return faulty("write the path that is meant; a percent sign is %25", "the target %q has . or .. segments or broken percent escapes in it", to)
	case !external:
		return nil
	}
	host := to[strings.Index(to, "://")+3:]
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	if strings.Contains(host, "@") || strings.HasPrefix(host, ".") || strings.Trim(host, ".:") == "" {
		return faulty(remedy+" and a host, without a name and password", "the target %q has no host that can be used", to)
	}
	return nil
}

// longestPrefix gives the longest of the names that a text begins with, "" if none does.
func longestPrefix(text string, names []string) string {
	best := ""
	for _, n := range names {
		if len(n) > len(best) && strings.HasPrefix(text, n) {
			best = n
		}
	}
	return best
}

func (t *target) addText(s string) {
	if s != "" {
		t.pieces = append(t.pieces, piece{text: asciiURL(s)})
	}
}

// asciiURL percent-encodes what a URL can't hold as it is. Percent escapes stay.
func asciiURL(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b.WriteString(url.PathEscape(string([]byte{c})))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// reserved are the characters that divide a query, which a path has as they are.
var reserved = strings.NewReplacer("&", "%26", "=", "%3D", "+", "%2B", ";", "%3B")

// fill gives the target for the values of placeholders, false if they don't fit in.
func (t *target) fill(values []pair) (string, bool) {
	if len(t.pieces) == 1 && !t.pieces[0].param {
		return t.pieces[0].text, true
	}
	var b strings.Builder
	for _, p := range t.pieces {
		if !p.param {
			b.WriteString(p.text)
			continue
		}
		i := slices.IndexFunc(values, func(v pair) bool { return v.name == p.text })
		if i < 0 {
			return "", false
		}
		value := values[i].value
		switch {
		case p.in == inHost && !isLabel(value):
			return "", false
		case p.in == inQuery:
			value = reserved.Replace(value)
		}
		if b.WriteString(value); b.Len() > maxTarget {
			return b.String(), false
		}
	}
	out := b.String()
	if !t.external {
		out = "/" + strings.TrimLeft(out, "/") // two slashes in front would begin the name of a host
	}
	return out, !ambiguous(pathOf(out))
}

// pathOf gives the path of a URL or a path, without query and fragment.
func pathOf(target string) string {
	if isURL(target) {
		_, target, _ = strings.Cut(target, "://")
	}
	if i := strings.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	return target
}

// isLabel tells whether a text can be a label of a host's name (RFC 1123, section 2.1).
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-')
	})
}
