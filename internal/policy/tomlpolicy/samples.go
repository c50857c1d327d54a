// This file exists because a weir.toml by itself does not say which functions there are, and what it
// says of any function whatever must still be comparable.

package tomlpolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// maxSamples bounds how far names are told apart.
const maxSamples = 1 << 14

// otherFunctions labels the functions that no section is about.
const otherFunctions = "(any other function)"

// Samples gives names of functions such that any function whatever is in the same sections of all files
// as one of them. Each comes with a label that says whom it stands for: the section of one function, or
// the globs that it matches. The error is a *weir.Error: there are too many globs to tell.
func Samples(files ...*File) (map[string]string, error) {
	var sections []string
	for _, f := range files {
		for _, s := range f.sections {
			sections = append(sections, s.name)
		}
	}
	slices.Sort(sections)
	sections = slices.Compact(sections)
	// All names are walked, letter by letter, as far as the sections tell them apart.
	type node struct {
		name string
		at   [][]int // for each section, how much of its name may have been read
	}
	first := node{at: make([][]int, len(sections))}
	for i, s := range sections {
		first.at[i] = reach(s, 0, nil)
	}
	samples, labels, seen := map[string]string{}, map[string]bool{}, map[string]bool{}
	for queue := []node{first}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		if label := labelOf(sections, n.at); n.name != "" && !labels[label] {
			labels[label] = true
			samples[n.name] = label
		}
		for _, c := range letters(sections) {
			next := node{name: n.name + string(c), at: make([][]int, len(sections))}
			for i, s := range sections {
				next.at[i] = advance(s, n.at[i], c)
			}
			if key := fmt.Sprint(next.at); !seen[key] {
				seen[key] = true
				queue = append(queue, next)
			}
		}
		if len(seen) > maxSamples {
			return nil, &weir.Error{Code: weir.Invalid, Message: "the globs of the sections are too many to be compared without the functions",
				Remedy: "compare the folders of sites instead of weir.toml alone"}
		}
	}
	return samples, nil
}

// reach adds a place in a glob to those that may have been reached; a "*" may be nothing.
func reach(glob string, at int, places []int) []int {
	if slices.Contains(places, at) {
		return places
	}
	places = append(places, at)
	if at < len(glob) && glob[at] == '*' {
		places = reach(glob, at+1, places)
	}
	return places
}

// advance reads one more letter of a name.
func advance(glob string, places []int, c byte) []int {
	var out []int
	for _, at := range places {
		switch {
		case at == len(glob):
		case glob[at] == '*':
			out = reach(glob, at, out)
		case glob[at] == c:
			out = reach(glob, at+1, out)
		}
	}
	slices.Sort(out)
	return out
}

// letters gives every letter that the sections tell apart, and one that none of them holds.
func letters(sections []string) []byte {
	all := strings.ReplaceAll(strings.Join(sections, ""), "*", "")
	for _, c := range "xyzabcdefghijklmnopqrstuvwABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-" {
		if !strings.ContainsRune(all, c) {
			all += string(c)
			break
		}
	}
	out := []byte(all)
	slices.Sort(out)
	return slices.Compact(out)
}

// labelOf names the sections of which the whole name has been read, without those that are globs for
// others among them.
func labelOf(sections []string, at [][]int) string {
	var in []string
	for i, s := range sections {
		if slices.Contains(at[i], len(s)) {
			in = append(in, s)
		}
	}
	if len(in) == 0 {
		return otherFunctions
	}
	label := slices.DeleteFunc(slices.Clone(in), func(s string) bool {
		return slices.ContainsFunc(in, func(other string) bool { return other != s && matchName(s, other) })
	})
	return strings.Join(label, " and ")
}
