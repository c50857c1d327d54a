package learn

// TOML as text: a list that is extended where it stands, and texts that are safe to write.

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// extend puts rules at the end of the list whose value begins at a byte of a line.
func (d *document) extend(function string, line, at int, rules []Rule) error {
	for strings.HasPrefix(d.lines[line][at:], " ") || strings.HasPrefix(d.lines[line][at:], "\t") {
		at++
	}
	if !strings.HasPrefix(d.lines[line][at:], "[") {
		return d.cannot(function, line+1)
	}
	last, end := d.closing(line, at)
	if end.line < 0 {
		return d.cannot(function, line+1)
	}
	before, after := d.lines[end.line][:end.at], d.lines[end.line][end.at:]
	comma := last.char != ',' && last.char != '['
	var out []string
	switch blank := strings.TrimSpace(before) == ""; {
	case blank && !comma:
	case blank: // the comma belongs behind the last rule, which may have a comment behind it
		l := d.lines[last.line]
		d.lines[last.line] = l[:last.at+1] + "," + l[last.at+1:]
	case comma:
		out = append(out, strings.TrimRight(before, " \t")+",")
	default:
		out = append(out, strings.TrimRight(before, " \t"))
	}
	out = append(append(out, items(rules, "  ")...), after)
	d.lines = slices.Replace(d.lines, end.line, end.line+1, out...)
	return nil
}

// spot is a byte of the text.
type spot struct {
	line, at int
	char     byte
}

// closing gives the end of the list that begins at a spot, and the last byte before it that counts.
func (d *document) closing(line, at int) (last, end spot) {
	depth := 0
	var quote byte
	for n := line; n < len(d.lines); n++ {
		text := d.lines[n]
		for i := at; i < len(text); i++ {
			c := text[i]
			switch {
			case quote == '"' && c == '\\':
				i++
				continue
			case quote != 0:
				if c == quote {
					quote = 0
					last = spot{n, i, c}
				}
				continue
			case c == '#':
				i = len(text)
				continue
			case c == '"' || c == '\'':
				quote = c
			case c == '[' || c == '{':
				depth++
			case c == ']' || c == '}':
				if depth--; depth == 0 {
					return last, spot{n, i, c}
				}
			}
			if c != ' ' && c != '\t' && c != '\r' {
				last = spot{n, i, c}
			}
		}
		at = 0
	}
	return last, spot{line: -1}
}

// bare gives the name of a section, in quotes if it needs them.
func bare(name string) string {
	if strings.ContainsFunc(name, func(c rune) bool {
		return !(c < 0x80 && (unicode.IsLetter(c) || unicode.IsDigit(c)) || c == '-' || c == '_')
	}) {
		return quote(name)
	}
	return name
}

// quote gives a TOML basic string in printable ASCII: records and paths may hold characters that look
// like others or turn the line around.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '…' || c >= ' ' && c <= '~':
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, c)
		default:
			fmt.Fprintf(&b, `\u%04X`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// plain makes a text fit for a comment: one line of printable ASCII and "…".
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '…' || c >= ' ' && c <= '~' {
			return c
		}
		return '?'
	}, s)
}
