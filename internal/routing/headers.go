package routing

// Headers that a site sets for paths: the file _headers, a path and below it indented lines of "Name: value"
// (docs.netlify.com, "Custom headers"; @netlify/headers-parser).

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// basicAuth is the name under which a site asks for a name and password, as NAME:PASSWORD, several divided by
// blanks. It is no header that is sent.
const basicAuth = "Basic-Auth"

// Header is one that a site sets.
type Header struct{ Name, Value string }

// headerRule sets headers for the paths that match.
type headerRule struct {
	tokens []headerToken
	values []Header
}

// headerToken is a part of a path: text in lower case, or else something open.
type headerToken struct {
	text string
	star bool // whatever follows, slashes too; else one segment
}

// unsettable are headers that say how an answer is sent, which the server knows better.
var unsettable = []string{"accept-ranges", "age", "allow", "alt-svc", "connection", "content-encoding", "content-length",
	"content-range", "date", "keep-alive", "location", "proxy-authenticate", "proxy-authorization", "proxy-connection", "server", "te",
	"trailer", "transfer-encoding", "upgrade"}

func (p *parser) headersFile(t Text) {
	var rule *headerRule
	for pos, line := range p.lines(t) {
		if line[0] == '/' {
			rule = p.headersFor(pos, line)
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok:
			p.warn(pos, fmt.Sprintf("%q is neither a path nor a header", line), "the line is left out; write a path, and below it lines of NAME: VALUE")
		case rule == nil:
			p.warn(pos, "the header stands below no path that can be used", "it is left out; write the path that it is for on a line before it")
			p.leftOut(name)
		default:
			p.setHeader(pos, rule, name, value)
		}
	}
	p.dropEmpty()
}

// headersFor begins the headers of a path; nil if they can't be had.
func (p *parser) headersFor(pos weir.Position, path string) *headerRule {
	switch {
	case len(p.rules.headers) >= MaxHeaders:
		p.once(pos, fmt.Sprintf("there are more than %d paths with headers: those from here on are not applied", MaxHeaders), "merge them by a *")
		return nil
	case len(path) > maxLine || strings.Count(path, "*") > 4:
		p.warn(pos, fmt.Sprintf("the path is longer than %d bytes or has more than four stars in it", maxLine), "its headers are left out; make it simpler")
		return nil
	}
	tokens := headerTokens(path)
	n := soughtText(tokens)
	if n > 0 && p.sought+n > MaxSought {
		p.once(pos, fmt.Sprintf("behind the stars of paths with headers stands more than can be looked for in each request (%d bytes, and %d for each part): such paths are not applied from here on", MaxSought, tokenCost), "put the stars at the ends")
		return nil
	}
	p.sought += n
	p.rules.headers = append(p.rules.headers, headerRule{tokens: tokens})
	return &p.rules.headers[len(p.rules.headers)-1]
}

// tokenCost is what each part of a path is worth besides its text.
const tokenCost = 16

// soughtText gives how much is looked for wherever it may stand in a path, in bytes: what follows a star.
func soughtText(tokens []headerToken) int {
	first := slices.IndexFunc(tokens, func(t headerToken) bool { return t.star })
	if first < 0 {
		return 0
	}
	n := 0
	for _, t := range tokens[first+1:] {
		n += len(t.text) + tokenCost
	}
	return n
}

// dropEmpty leaves out paths without headers.
func (p *parser) dropEmpty() {
	p.rules.headers = slices.DeleteFunc(p.rules.headers, func(r headerRule) bool { return len(r.values) == 0 })
}

// setHeader adds a header. Several of one name become one.
func (p *parser) setHeader(pos weir.Position, r *headerRule, name, value string) {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !validName(name) || !validValue(value) || value == "":
		p.warn(pos, fmt.Sprintf("the header %q can't be sent", name), "it is left out; write NAME: VALUE, the value without line ends and control characters")
		p.leftOut(name)
		return
	case slices.Contains(unsettable, strings.ToLower(name)):
		p.warn(pos, fmt.Sprintf("the header %s is the server's own", name), "it is left out")
		return
	}
	if p.values >= MaxValues {
		p.once(pos, fmt.Sprintf("there are more than %d headers: those from here on are not applied", MaxValues), "leave some out")
		p.leftOut(name)
		return
	}
	p.values++
	if strings.EqualFold(name, basicAuth) {
		name, p.rules.guarded = basicAuth, true
	}
	for i, h := range r.values {
		if strings.EqualFold(h.Name, name) {
			separator := ", "
			if name == basicAuth {
				separator = " "
			}
			if len(h.Value)+len(value) <= maxLine {
				r.values[i].Value += separator + value
			}
			return
		}
	}
	r.values = append(r.values, Header{name, value})
}

// leftOut takes note of a header that is not applied, for the reason that there was last.
func (p *parser) leftOut(name string) {
	if strings.EqualFold(strings.TrimSpace(name), basicAuth) {
		p.exposed("a password")
	}
}

// exposed takes note of what is open to all though some text asks for something there, for the reason that there was last.
func (p *parser) exposed(without string) {
	if p.rules.unguarded == nil {
		e := p.last
		e.Message = "what is to ask for " + without + " would be open to all: " + e.Message
		p.rules.unguarded = &e
	}
}

// leftOutOf is leftOut for a text of which nothing is applied.
func (p *parser) leftOutOf(text string) {
	switch text = strings.ToLower(text); {
	case strings.Contains(text, strings.ToLower(basicAuth)):
		p.exposed("a password")
	case strings.Contains(text, "role"):
		p.exposed("a role")
	}
}

// headerTokens reads the path of headers. It matches whatever the case of letters, also with a slash at its end.
func headerTokens(path string) []headerToken {
	var out []headerToken
	text := ""
	flush := func() {
		if text != "" {
			out = append(out, headerToken{text: strings.ToLower(text)})
		}
		text = ""
	}
	for s := range strings.SplitSeq(path, "/") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if s == "*" { // with the slash in front, which may be missing
			flush()
			out = append(out, headerToken{star: true})
			continue
		}
		text += "/"
		if s[0] == ':' && len(s) > 1 {
			flush()
			out = append(out, headerToken{})
			continue
		}
		for i, part := range strings.Split(s, "*") {
			if i > 0 {
				flush()
				out = append(out, headerToken{star: true})
			}
			text += part
		}
	}
	flush()
	return out
}

// HeadersFor gives the headers that a site sets for a percent-encoded path, each name once; what comes later in the
// rules wins.
func (r *Rules) HeadersFor(escaped string) []Header {
	return slices.DeleteFunc(r.headersFor(escaped), func(h Header) bool { return h.Name == basicAuth })
}

// BasicAuth gives the names and passwords that a site asks for at a percent-encoded path, as NAME:PASSWORD; none if
// it doesn't. Nobody has what it asks for at a path that is too long to be compared.
func (r *Rules) BasicAuth(escaped string) []string {
	switch {
	case r == nil || !r.guarded:
		return nil
	case len(escaped) > maxPath:
		return []string{"no password"} // whatever it is, nobody has this: it has no colon
	}
	for _, h := range r.headersFor(escaped) {
		if h.Name == basicAuth {
			return strings.Fields(h.Value)
		}
	}
	return nil
}

func (r *Rules) headersFor(escaped string) []Header {
	if r == nil || len(r.headers) == 0 || len(escaped) > maxPath {
		return nil
	}
	path, ok := readHeaderPath(escaped)
	if !ok {
		return nil
	}
	var out []Header
	at := map[string]int{} // by names in lower case
	for i := range r.headers {
		if !r.headers[i].matches(path) {
			continue
		}
		for _, h := range r.headers[i].values {
			name := strings.ToLower(h.Name)
			if n, known := at[name]; known {
				out[n] = h
				continue
			}
			at[name] = len(out)
			out = append(out, h)
		}
	}
	return out
}

// readHeaderPath decodes a percent-encoded path, in lower case. An encoded slash is none: what it stands in is one
// segment to rules and functions, too, and a password that is asked for at a path must be asked for there.
func readHeaderPath(escaped string) (string, bool) {
	path := strings.ToLower(escaped)
	if !strings.Contains(path, "%") {
		return path, true
	}
	path, err := url.PathUnescape(strings.ReplaceAll(path, "%2f", "%252f"))
	return strings.ToLower(path), err == nil
}

func (r *headerRule) matches(path string) bool {
	return matchTokens(r.tokens, path) || strings.HasSuffix(path, "/") && matchTokens(r.tokens, path[:len(path)-1])
}

// matchTokens goes through a path once, but for what a star takes: then back to the last star, which takes one
// character more.
func matchTokens(tokens []headerToken, path string) bool {
	t, at := 0, 0
	star, starAt := -1, 0
	for t < len(tokens) || at < len(path) {
		if t < len(tokens) {
			switch tok := tokens[t]; {
			case tok.star && t == len(tokens)-1:
				return true
			case tok.star:
				star, starAt = t, at
				t++
				continue
			case tok.text != "" && strings.HasPrefix(path[at:], tok.text):
				at += len(tok.text)
				t++
				continue
			case tok.text == "":
				n := strings.IndexByte(path[at:], '/')
				if n < 0 {
					n = len(path) - at
				}
				if n > 0 {
					at += n
					t++
					continue
				}
			}
		}
		if star < 0 || starAt >= len(path) {
			return false
		}
		starAt++
		t, at = star+1, starAt
	}
	return true
}

// validName tells whether a text can be a header's name (RFC 9110, section 5.6.2).
func validName(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// validValue tells whether a text can be a header's value (RFC 9110, section 5.5).
func validValue(s string) bool {
	return len(s) <= maxLine && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
