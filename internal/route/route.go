// Package route reads the paths that functions ask for in their config, in the syntax of URLPattern
// (WHATWG URL Pattern Standard) as Netlify takes it, and matches requests with them. It must not know what is
// behind a path.
package route

// From a pattern to a regular expression, as the standard makes one, and Netlify's "/" at the end, which is
// optional.

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// What a match costs is the product of the two latter: a few bytes of a pattern can repeat a thousand times, and
// whoever sends a request chooses its path.
const (
	maxPattern = 1 << 10 // bytes of a pattern
	maxProgram = 2000    // instructions that it becomes
	maxNames   = 64      // parameters that it has
	maxPath    = 8 << 10 // bytes of a path; a longer one matches nothing
)

// Pattern is a pattern that paths can be matched with. It is safe for concurrent use.
type Pattern struct {
	source string
	expr   *regexp.Regexp
	names  []string // of the groups
	prefix string
	cost   int
}

// String gives the pattern as it was written.
func (p *Pattern) String() string { return p.source }

// Literal tells whether the pattern is the one path that it matches.
func (p *Pattern) Literal() bool { return len(p.names) == 0 && !strings.Contains(p.source, "{") }

// Prefix gives what every path that it matches begins with, as encoded.
func (p *Pattern) Prefix() string { return p.prefix }

// Cost gives what a match costs for each byte of a path, in instructions.
func (p *Pattern) Cost() int { return p.cost }

// Match tells whether a path, percent-encoded as in a URL, matches, and gives what its parameters stand for,
// as encoded. Groups without a name are called "0", "1" and so on; one that is not there has no entry.
// A path of more than 8 KB matches nothing.
func (p *Pattern) Match(path string) (params map[string]string, ok bool) {
	if len(path) > maxPath {
		return nil, false
	}
	at := p.expr.FindStringSubmatchIndex(path)
	if at == nil {
		return nil, false
	}
	params = map[string]string{}
	for i, name := range p.names {
		if from := at[2*i+2]; from >= 0 {
			params[name] = path[from:at[2*i+3]]
		}
	}
	return params, true
}

// Parse reads a pattern. The error is a sentence for its author.
func Parse(source string) (*Pattern, error) {
	switch {
	case !strings.HasPrefix(source, "/"):
		return nil, errors.New("a path has a / in front")
	case len(source) > maxPattern:
		return nil, fmt.Errorf("it is longer than %d bytes", maxPattern)
	}
	p := &parser{rest: source}
	if err := p.parts(false); err != nil {
		return nil, err
	}
	p.flush()
	if len(p.names) > maxNames {
		return nil, fmt.Errorf("it has more than %d parameters", maxNames)
	}
	whole := "^" + p.expr.String() + "/?$"
	cost, err := bounded(whole)
	if err != nil {
		return nil, err
	}
	expr, err := regexp.Compile(whole)
	if err != nil {
		return nil, fmt.Errorf("a part of it in parentheses can't be used: %w", err)
	}
	if expr.NumSubexp() != len(p.names) {
		return nil, errors.New("parentheses inside of others must begin with (?: to be no parameter")
	}
	return &Pattern{source, expr, p.names, p.prefix, cost}, nil
}

// bounded gives how many instructions an expression becomes, if it is small enough to be matched with whatever
// clients send.
func bounded(expr string) (int, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("a part of it in parentheses can't be used: %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0, fmt.Errorf("a part of it in parentheses can't be used: %w", err)
	}
	if len(program.Inst) > maxProgram {
		return 0, errors.New("what it repeats makes it too large to be matched quickly")
	}
	return len(program.Inst), nil
}

// parser goes through a pattern from its left end.
type parser struct {
	rest    string
	prefix  string          // text in front of everything else
	literal strings.Builder // text that is not yet in expr
	expr    strings.Builder
	names   []string
	unnamed int
}

// The regular expressions of :name and *, from the standard.
const (
	segment = "[^/]+?"
	full    = ".*"
)

// parts reads up to the end, or in braces to the closing one.
func (p *parser) parts(braces bool) error {
	for p.rest != "" {
		switch c := p.rest[0]; c {
		case '\\':
			if len(p.rest) < 2 {
				return errors.New("nothing follows the \\ at its end")
			}
			p.literal.WriteByte(p.rest[1])
			p.rest = p.rest[2:]
		case '}':
			if !braces {
				return errors.New("a } has no {")
			}
			return nil
		case '{':
			if braces {
				return errors.New("a { stands within braces")
			}
			if err := p.group(); err != nil {
				return err
			}
		case ':', '(', '*':
			prefix := ""
			if text := p.literal.String(); strings.HasSuffix(text, "/") && !braces {
				prefix = "/"
				p.literal.Reset()
				p.literal.WriteString(strings.TrimSuffix(text, "/"))
			}
			p.flush()
			expr, err := p.matcher()
			if err != nil {
				return err
			}
			if braces {
				p.expr.WriteString("(" + expr + ")")
				continue
			}
			p.add(prefix, expr, p.modifier())
		case '?', '+':
			return fmt.Errorf("a %c follows nothing that it could be about; as a plain character it is \\%c", c, c)
		default:
			p.literal.WriteByte(c)
			p.rest = p.rest[1:]
		}
	}
	if braces {
		return errors.New("a { has no }")
	}
	return nil
}

// group reads {…} and its modifier.
func (p *parser) group() error {
	p.flush()
	p.rest = p.rest[1:]
	inner := &parser{rest: p.rest, names: p.names, unnamed: p.unnamed}
	if err := inner.parts(true); err != nil {
		return err
	}
	inner.flush()
	if len(inner.names) > len(p.names)+1 {
		return errors.New("braces hold one parameter at most")
	}
	p.rest, p.names, p.unnamed = inner.rest[1:], inner.names, inner.unnamed
	p.expr.WriteString("(?:" + inner.expr.String() + ")" + p.modifier())
	return nil
}

// matcher reads :name, (…), :name(…) or *, and gives its expression.
func (p *parser) matcher() (string, error) {
	expr, name, star := full, "", p.rest[0] == '*'
	if p.rest[0] == ':' {
		n := 1
		for n < len(p.rest) && (isLetter(p.rest[n]) || n > 1 && isDigit(p.rest[n])) {
			n++
		}
		if n == 1 {
			return "", errors.New("a : has no name after it")
		}
		expr, name, p.rest = segment, p.rest[1:n], p.rest[n:]
	} else if star {
		p.rest = p.rest[1:]
	}
	if strings.HasPrefix(p.rest, "(") && !star {
		own, err := p.parentheses()
		if err != nil {
			return "", err
		}
		expr = own
	}
	if name == "" {
		name = strconv.Itoa(p.unnamed)
		p.unnamed++
	}
	for _, n := range p.names {
		if n == name {
			return "", fmt.Errorf("it has two parameters by the name %s", name)
		}
	}
	p.names = append(p.names, name)
	return expr, nil
}

// parentheses reads an expression of the author's own.
func (p *parser) parentheses() (string, error) {
	depth := 0
	for i := 0; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth > 0 {
				continue
			}
			expr := p.rest[1:i]
			if expr == "" || expr[0] == '?' {
				return "", errors.New("parentheses hold no expression")
			}
			if _, err := regexp.Compile(expr); err != nil { // by itself: none leaks into what stands around it
				return "", fmt.Errorf("(%s) can't be used: %w", expr, err)
			}
			p.rest = p.rest[i+1:]
			return "(?:" + expr + ")", nil
		}
	}
	return "", errors.New("a ( has no )")
}

func (p *parser) modifier() string {
	if p.rest != "" && strings.IndexByte("?*+", p.rest[0]) >= 0 {
		m := p.rest[:1]
		p.rest = p.rest[1:]
		return m
	}
	return ""
}

// add adds a parameter with what stands before it, which repeats with it.
func (p *parser) add(prefix, expr, modifier string) {
	switch modifier {
	case "":
		p.expr.WriteString(prefix + "(" + expr + ")")
	case "?":
		p.expr.WriteString("(?:" + prefix + "(" + expr + ")" + ")?")
	default:
		all := prefix + "((?:" + expr + ")(?:" + prefix + "(?:" + expr + "))*)"
		if modifier == "*" {
			all = "(?:" + all + ")?"
		}
		p.expr.WriteString(all)
	}
}

// flush puts the text so far into the expression, encoded as it is in a URL.
func (p *parser) flush() {
	text := p.literal.String()
	p.literal.Reset()
	if !strings.Contains(text, "%") {
		text = (&url.URL{Path: text}).EscapedPath()
	}
	if p.expr.Len() == 0 {
		p.prefix = text
	}
	p.expr.WriteString(regexp.QuoteMeta(text))
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
