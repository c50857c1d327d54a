// This file exists because the query is decided on after decoding, and decoders differ: what two of
// them may read differently does not match.

package policy

import "strings"

// maxParams bounds the parameters of one rule: those seen are counted in the bits of a uint64.
const maxParams = 64

// matchQuery tells whether a raw query has no parameter but those of the rule, each at most once
// and with a fitting value, and those with an exact value all there. A ";" (to some readers a
// separator), an empty pair and a broken escape never match.
func matchQuery(params []QueryParam, raw string) bool {
	var seen uint64
	for more := raw != ""; more; {
		var pair string
		pair, raw, more = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		i := findParam(params, name)
		if i < 0 || seen&(1<<i) != 0 || strings.IndexByte(pair, ';') >= 0 {
			return false
		}
		if want := params[i].Value; want == "*" && !decodable(value) || want != "*" && !equalDecoded(value, want) {
			return false
		}
		seen |= 1 << i
	}
	for i := range params {
		if params[i].Value != "*" && seen&(1<<i) == 0 {
			return false
		}
	}
	return true
}

func findParam(params []QueryParam, raw string) int {
	for i := range params {
		if equalDecoded(raw, params[i].Name) {
			return i
		}
	}
	return -1
}

// equalDecoded compares raw, decoded as a form, with want, without allocating.
func equalDecoded(raw, want string) bool {
	for raw != "" {
		c, n := raw[0], 1
		switch c {
		case '+':
			c = ' '
		case '%':
			var ok bool
			if c, ok = unescape(raw); !ok {
				return false
			}
			n = 3
		}
		if want == "" || want[0] != c {
			return false
		}
		raw, want = raw[n:], want[1:]
	}
	return want == ""
}

// decodable tells whether every escape is whole.
func decodable(raw string) bool {
	for {
		i := strings.IndexByte(raw, '%')
		if i < 0 {
			return true
		}
		if _, ok := unescape(raw[i:]); !ok {
			return false
		}
		raw = raw[i+3:]
	}
}

func checkParams(params []QueryParam) error {
	for i, p := range params {
		switch {
		case p.Name == "" || p.Name == "*":
			return invalid("name each parameter", "%q is not the name of a query parameter", p.Name)
		case p.Value != "*" && strings.Contains(p.Value, "*"):
			return invalid(`write "*" for any value`, "the value of %q has a * inside; values are exact", p.Name)
		}
		for _, q := range params[:i] {
			if q.Name == p.Name {
				return invalid("remove one", "query parameter %q stands twice", p.Name)
			}
		}
	}
	return nil
}
