package routing

// All rules of a site, and what was wrong with the texts that they come from. As on Netlify a bad rule is told and
// left out, and the others count.

import (
	"fmt"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// Bounds of a site's rules. What lies beyond is told and left out.
const (
	MaxRedirects  = 100_000  // rules of all kinds
	MaxPatterns   = 10_000   // of these, such with placeholders or a splat: a request may be compared with each
	MaxHeaders    = 1_000    // paths that headers are set for: a request is compared with each
	MaxValues     = 10_000   // headers of all these paths
	MaxSought     = 16 << 10 // bytes of their paths behind stars: they are looked for all over a request's path
	MaxRateLimits = 20       // rules that say how often they may be used: each counts many clients apart
	MaxText       = 16 << 20 // bytes of one text

	maxLine     = 4 << 10 // bytes of a line, a path, a target or a header
	maxWarnings = 100
)

// Text is a file that rules stand in.
type Text struct {
	Name string // as in warnings
	Text string
}

// Sources are the texts that a site's rules stand in. One that isn't there is empty.
type Sources struct {
	Redirects Text // _redirects: its rules come before those of Config
	Headers   Text // _headers: what Config sets under the same name wins
	Config    Text // netlify.toml
}

// Rules are the rules of a site. They never change. Nil ones are none.
type Rules struct {
	redirects redirects
	headers   []headerRule
	guarded   bool // some path asks for a name and password
	unguarded error
}

// Unguarded says where no password or role is asked for though some text does, as what says so can't be applied; nil if
// that is nowhere. The error is a *weir.Error.
func (r *Rules) Unguarded() error { return r.unguarded }

// Parse reads a site's rules, and says what was left out, one line each.
func Parse(s Sources) (*Rules, []string) {
	p := &parser{rules: &Rules{redirects: newRedirects()}}
	if p.fits(s.Redirects) {
		p.redirectsFile(s.Redirects)
	}
	if p.fits(s.Headers) {
		p.headersFile(s.Headers)
	}
	if p.fits(s.Config) {
		p.config(s.Config)
	}
	if more := p.told - maxWarnings; more > 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("%d more rules of redirects and headers have faults", more))
	}
	return p.rules, p.warnings
}

// parser collects rules and warnings.
type parser struct {
	rules    *Rules
	warnings []string
	told     int // warnings, those left out too
	values   int // headers
	sought   int // bytes of paths with headers behind stars
	beyond   map[string]bool
	last     weir.Error // that there was to be told of
}

// warn tells of a fault. What of the message is a stranger's is made printable here.
func (p *parser) warn(pos weir.Position, message, remedy string) {
	p.last = weir.Error{Code: weir.Invalid, Pos: pos, Message: message, Remedy: remedy}
	if p.told++; p.told > maxWarnings {
		return
	}
	p.warnings = append(p.warnings, weir.Printable(weir.Cut(p.last.Error(), 500)))
}

// once tells of a bound the first time that it is met.
func (p *parser) once(pos weir.Position, message, remedy string) {
	p.last = weir.Error{Code: weir.Invalid, Pos: pos, Message: message, Remedy: remedy}
	if !p.beyond[message] {
		if p.beyond == nil {
			p.beyond = map[string]bool{}
		}
		p.beyond[message] = true
		p.warn(pos, message, remedy)
	}
}

func (p *parser) fits(t Text) bool {
	if len(t.Text) > MaxText {
		p.warn(weir.Position{File: t.Name}, fmt.Sprintf("the file is larger than %d MB: none of its rules is applied", MaxText>>20), "make it smaller")
		return false
	}
	return true
}

// lines gives the lines of a text that say something, with their positions.
func (p *parser) lines(t Text) func(yield func(weir.Position, string) bool) {
	return func(yield func(weir.Position, string) bool) {
		pos := weir.Position{File: t.Name}
		for line := range strings.SplitSeq(t.Text, "\n") {
			pos.Line++
			line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
			switch {
			case line == "" || line[0] == '#':
			case len(line) > maxLine:
				p.warn(pos, fmt.Sprintf("the line is longer than %d bytes", maxLine), "it is left out; make it shorter")
				p.leftOutOf(line)
			case !yield(pos, line):
				return
			}
		}
	}
}

// fault is why a rule can't be used, and what to do about it.
type fault struct{ message, remedy string }

func (f *fault) Error() string { return f.message }

func faulty(remedy, format string, args ...any) *fault {
	return &fault{fmt.Sprintf(format, args...), remedy}
}
