// This file exists because sections are found by globs of function names, and the most specific wins.

package tomlpolicy

import (
	"cmp"
	"strconv"
	"strings"
)

// matchName matches a function's name with a glob whose "*" is any characters.
func matchName(glob, name string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// compareNames is positive if glob a is more specific than b (see the package comment).
func compareNames(a, b string) int {
	beforeA, _, globA := strings.Cut(a, "*")
	beforeB, _, globB := strings.Cut(b, "*")
	if globA != globB {
		if globB {
			return 1
		}
		return -1
	}
	starsA, starsB := strings.Count(a, "*"), strings.Count(b, "*")
	return cmp.Or(cmp.Compare(len(beforeA), len(beforeB)), cmp.Compare(len(a)-starsA, len(b)-starsB), cmp.Compare(starsB, starsA))
}

func validName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.*", c) {
			return false
		}
	}
	return s != "" && !strings.Contains(s, "**")
}

// tomlKey gives a name as the part of a [header]: in quotes if it needs them.
func tomlKey(s string) string {
	if s == "" || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return strconv.Quote(s)
	}
	return s
}
