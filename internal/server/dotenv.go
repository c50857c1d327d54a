package server

// Files of variables, read as Netlify's CLI reads them (the dotenv package of npm): no "$" has a
// meaning, so a secret with one in it stays what it is.

import (
	"os"
	"regexp"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// assignment is dotenv's own pattern of one variable: NAME=value or NAME: value, an "export" in
// front, the value in quotes of three kinds or up to a "#", and a comment behind.
var assignment = regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?([\w.-]+)(?:[ \t]*=[ \t]*|:[ \t]+)` +
	"('(?:\\\\'|[^'])*'|\"(?:\\\\\"|[^\"])*\"|`(?:\\\\`|[^`])*`|[^#\\r\\n]*)[ \\t]*(?:#.*)?\\r?$")

// readDotenv reads one file. The error names the line, and never quotes it: it may hold a secret.
func readDotenv(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path}, Message: "can't be read", Err: err, Remedy: "check --env-file"}
	}
	return ParseVariables(path, string(b))
}

// ParseVariables reads NAME=value lines; path is for positions. Errors as of readDotenv: none quotes a value.
func ParseVariables(path, text string) (map[string]string, error) {
	text = strings.TrimPrefix(text, "\ufeff")
	env := map[string]string{}
	end := 0
	for _, m := range assignment.FindAllStringSubmatchIndex(text, -1) {
		if err := onlyComments(path, text, end, m[0]); err != nil {
			return nil, err
		}
		value := strings.TrimSpace(text[m[4]:m[5]])
		if openQuote(value) {
			return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path, Line: 1 + strings.Count(text[:m[2]], "\n")},
				Message: "a quote is not closed", Remedy: "close it, or put a value that begins with a quote in quotes of another kind"}
		}
		env[text[m[2]:m[3]]] = unquote(value)
		end = m[1]
	}
	return env, onlyComments(path, text, end, len(text))
}

// openQuote tells whether a value begins with a quote that nothing closes. The dotenv package takes the
// quote for a part of the value, which nobody means, and what is missing may be the rest of a secret.
func openQuote(v string) bool {
	return v != "" && strings.ContainsRune("'\"`", rune(v[0])) && strings.Count(v, v[:1]) == 1
}

// unquote takes quotes off; within double ones, \n and \r are line breaks.
func unquote(v string) string {
	if len(v) < 2 || v[0] != v[len(v)-1] || !strings.ContainsRune("'\"`", rune(v[0])) {
		return v
	}
	inner := v[1 : len(v)-1]
	if v[0] == '"' {
		inner = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(inner)
	}
	return inner
}

// onlyComments checks that between two assignments there are but comments and empty lines.
func onlyComments(path, text string, from, to int) error {
	line := 1 + strings.Count(text[:from], "\n")
	for l := range strings.SplitSeq(text[from:to], "\n") {
		if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
			return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: path, Line: line},
				Message: "not a variable", Remedy: "write NAME=value, a value with blanks or # in quotes"}
		}
		line++
	}
	return nil
}
