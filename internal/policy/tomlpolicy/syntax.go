// This file exists because most mistakes in a new file are about TOML itself, and the parser knows
// what it expected but not what a person meant.

package tomlpolicy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"github.com/weir-run/weir/internal/weir"
)

// slips are likely mistakes: what the rest of the line begins with where the parser stopped, or what it
// said, and the remedy.
var slips = []struct{ rest, said, remedy string }{
	{"//", "", "begin comments with #"},
	{"{", "start of key", "write TOML, not JSON: KEY = VALUE"},
	{"“", "", `write straight quotes: "`},
	{"‘", "", `write straight quotes: "`},
	{"True", "start of value", "write true"},
	{"yes", "start of value", "write true"},
	{"on", "start of value", "write true"},
	{"False", "start of value", "write false"},
	{"no", "start of value", "write false"},
	{"no", "expected keyword", "write false"}, // "nan" begins as it does
	{"off", "start of value", "write false"},
	{"", "already", "remove one of the two"},
	{"", "start of value", "write texts in quotes"},
	{"", "expected keyword", "write texts in quotes"},
	{"", "must be quoted", "write texts in quotes"},
	{"", "new lines", "close the quotes on the same line"},
	{"", "invalid escape", `write \\ for a backslash`},
	{"", "expected ',' or ']'", "put a comma after each item, and ] after the last"},
	{"", "incomplete", "close the list with ]"},
	{"", "expected '='", "write KEY = VALUE"},
	{"", "expected newline", "begin a new line here, or remove it"},
}

// syntaxError turns the decoder's error into one with the remedy for the likeliest mistakes.
func syntaxError(name string, data []byte, err error) error {
	e := &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: name}, Message: plain(strings.TrimPrefix(err.Error(), "toml: "))}
	var where *toml.DecodeError
	if !errors.As(err, &where) {
		return e
	}
	e.Pos.Line, e.Pos.Column = where.Position()
	lines := bytes.Split(data, []byte("\n"))
	line := string(lines[min(e.Pos.Line, len(lines))-1])
	if !strings.Contains(e.Message, "already") {
		if e.Remedy = headerRemedy(line); e.Remedy != "" {
			return e
		}
	}
	rest := line[min(len(line), e.Pos.Column-1):]
	for _, s := range slips {
		if strings.HasPrefix(rest, s.rest) && strings.Contains(e.Message, s.said) {
			e.Remedy = s.remedy
			break
		}
	}
	return e
}

// plain keeps what a key of the file brings into a message on its line.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return '?'
	}, s)
}

// headerRemedy gives the remedy for a [header] with a name that needs quotes, or without an end; "" if
// line is not one of those.
func headerRemedy(line string) string {
	inner, ok := strings.CutPrefix(strings.TrimSpace(line), "[functions.")
	if !ok || strings.Contains(inner, `"`) {
		return ""
	}
	closed := strings.HasSuffix(inner, "]")
	function, pkg, isPackage := strings.Cut(strings.Trim(inner, "[] "), ".packages.")
	function, isLimits := strings.CutSuffix(function, ".limits")
	header := "[functions." + tomlKey(function)
	switch {
	case isPackage:
		header += ".packages." + tomlKey(pkg)
	case isLimits:
		header += ".limits"
	}
	switch header += "]"; {
	case tomlKey(function) != function, isPackage && tomlKey(pkg) != pkg:
		return fmt.Sprintf("write %s: a name with other characters than letters, digits, - and _ stands in quotes", header)
	case !closed:
		return "write " + header
	}
	return ""
}
