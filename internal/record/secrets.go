package record

// Which values a text holds. Both are chosen by whoever may set variables and have functions print: however they are
// made, a text takes time in proportion to its length.

import (
	"slices"
	"strings"
)

// enough is how many bytes tell a value from all else. A text that agrees with one in so many loses all in which it does.
const enough = 64

// secrets are the values to take out, in order, and which bytes one can begin with, in a text: looking each byte up is
// what every recorded call pays for.
type secrets struct {
	values []secret
	begins [256]bool
}

type secret struct {
	name, value string // the value in lower case
	begins      int    // the longest value of less than enough bytes that this one begins with; -1: none
}

// newSecrets makes them of values in lower case, with their names.
func newSecrets(names map[string]string) *secrets {
	var out secrets
	for value, name := range names {
		out.values = append(out.values, secret{name: name, value: value})
		out.begins['%'], out.begins[value[0]], out.begins[upperByte(value[0])] = true, true, true
	}
	slices.SortFunc(out.values, func(a, b secret) int { return strings.Compare(a.value, b.value) })
	var open []int // the short values that the one at hand may begin with, each of which begins with the one before
	for i := range out.values {
		v := &out.values[i]
		for len(open) > 0 && !strings.HasPrefix(v.value, out.values[open[len(open)-1]].value) {
			open = open[:len(open)-1]
		}
		v.begins = -1
		if len(open) > 0 {
			v.begins = open[len(open)-1]
		}
		if len(v.value) < enough {
			open = append(open, i)
		}
	}
	return &out
}

// find gives the name of the value that a view begins with, and how much of its text that is, 0 if there is none. Where
// the text was cut, the beginning of the value counts.
func (s *secrets) find(v *view) (name string, n int) {
	// The values that agree with the text for longest stand beside the place where it would be among them.
	lo, hi, agreesLo, agreesHi := -1, len(s.values), 0, 0
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		agrees, after := v.compare(s.values[mid].value, min(agreesLo, agreesHi))
		if after {
			lo, agreesLo = mid, agrees
		} else {
			hi, agreesHi = mid, agrees
		}
	}
	best, agrees := lo, agreesLo
	if agreesHi > agreesLo {
		best, agrees = hi, agreesHi
	}
	if agrees >= enough || agrees >= minSecret && v.endsAt(agrees) {
		return s.values[best].name, v.length(agrees)
	}
	for at := lo; at >= 0; at = s.values[at].begins { // what the text begins with stands before it
		if whole := &s.values[at]; len(whole.value) <= agreesLo {
			return whole.name, v.length(len(whole.value))
		}
	}
	return "", 0
}

// view is a text from one of its bytes on, in lower case and without percent-encoding.
type view struct {
	text  string
	from  int
	bytes []byte
	ends  []int // where in the text each of bytes ends
}

func (v *view) begin(from int) { v.from, v.bytes, v.ends = from, v.bytes[:0], v.ends[:0] }

// at gives a byte; false: the text has ended before, or was cut, as dots say.
func (v *view) at(i int) (byte, bool) {
	for len(v.bytes) <= i {
		from := v.from + v.length(len(v.bytes))
		rest := v.text[from:]
		if rest == "" || rest == "..." || strings.HasPrefix(rest, "…") {
			return 0, false
		}
		c, n := rest[0], 1
		if c == '%' && len(rest) > 2 {
			if hi, lo := unhex(rest[1]), unhex(rest[2]); hi >= 0 && lo >= 0 {
				c, n = byte(hi<<4|lo), 3
			}
		}
		v.bytes, v.ends = append(v.bytes, lowerByte(c)), append(v.ends, from+n)
	}
	return v.bytes[i], true
}

// endsAt tells whether there are so many bytes and no more.
func (v *view) endsAt(n int) bool {
	_, more := v.at(n)
	return !more
}

// length gives how much of the text the first n bytes are.
func (v *view) length(n int) int {
	if n == 0 {
		return 0
	}
	return v.ends[n-1] - v.from
}

// compare tells in how many bytes a value and the text agree, which are at least as many as known, and whether the text
// comes after it in order, or begins with it.
func (v *view) compare(value string, known int) (agrees int, after bool) {
	for i := known; i < len(value); i++ {
		if c, more := v.at(i); !more || c != value[i] {
			return i, more && c > value[i]
		}
	}
	return len(value), true
}
