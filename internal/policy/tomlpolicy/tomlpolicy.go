// Package tomlpolicy reads policies from weir.toml, and tells a person where and how a file is
// wrong. It must not know how a policy is enforced, nor the other front end.
//
// # Decisions where weir.toml could be read in two ways
//
// Sections are names or globs of functions, "*" for any characters. For each key by itself, limits
// taken one by one, the most specific section that has it counts: the exact name, else the glob with
// the longest beginning before its first "*", else with more other characters, else with fewer "*".
// Two sections that are equal by all of these and have the same key are an error.
//
// Sizes are whole numbers of B, KB, MB or GB, in powers of 1024. Durations are as in Go: "500ms",
// "10s", "1m30s". What the language holds but this version does not reach is an error that says so.
package tomlpolicy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// maxFile bounds weir.toml, in bytes.
const maxFile = 4 << 20

// maxErrors bounds the errors that are reported for one file.
const maxErrors = 100

// File is a weir.toml that was read and is valid in itself.
type File struct {
	name     string
	mode     policy.Mode // of functions whose sections have none
	modeAt   *weir.Position
	sections []*section
	private  []policy.Rule // of a ceiling
}

// section is one [functions.NAME], with what its keys do to a policy.
type section struct {
	name     string
	pos      weir.Position
	settings map[string]setting // by key; of limits by "limits.timeout" and so on
}

// setting is one key of a section.
type setting struct {
	pos   weir.Position
	apply func(*policy.Policy)
	any   bool // of a ceiling: everything of this kind may be allowed
}

// Parse reads the content of a file; name is for positions. Each error is a *weir.Error with file,
// line and column; several are joined, the first of the file first.
func Parse(name string, data []byte) (*File, error) { return parse(name, data, false) }

func parse(name string, data []byte, ceiling bool) (*File, error) {
	if len(data) > maxFile {
		return nil, &weir.Error{Code: weir.Invalid, Pos: position(name, data, maxFile), Message: "the file is larger than 4MB"}
	}
	root, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{file: &File{name: name}, ceiling: ceiling}
	r.root(root)
	if err := r.joined(); err != nil {
		return nil, err
	}
	return r.file, nil
}

// joined gives the errors, the first of the file first.
func (r *reader) joined() error {
	slices.SortStableFunc(r.errs, func(a, b *weir.Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	if len(r.errs) == 1 {
		return r.errs[0]
	}
	var errs []error
	for _, e := range r.errs[:min(len(r.errs), maxErrors)] {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// Unmatched gives a warning for each section that is about none of the functions, likely for a slip of
// the pen.
func (f *File) Unmatched(functions []string) []*weir.Error {
	var out []*weir.Error
	for _, s := range f.sections {
		if slices.ContainsFunc(functions, func(name string) bool { return matchName(s.name, name) }) {
			continue
		}
		w := &weir.Error{Code: weir.Invalid, Pos: s.pos, Message: fmt.Sprintf("[functions.%s] is about no function of this site", s.name)}
		if near := policy.Suggest(s.name, functions); near != "" {
			w.Remedy = fmt.Sprintf("did you mean %s?", near)
		}
		out = append(out, w)
	}
	return out
}

// For gives the policy of a function. If no section is about it, the policy has no Source and allows
// nothing. The error is a *weir.Error: two sections that are equally specific have the same key.
func (f *File) For(function string) (*policy.Policy, error) {
	p := &policy.Policy{Function: function, Mode: f.mode}
	if f.modeAt != nil {
		p.Settings = map[string]weir.Position{"mode": *f.modeAt}
	}
	if slices.ContainsFunc(f.sections, func(s *section) bool { return matchName(s.name, function) }) {
		p.Source = f.name
	}
	chosen, err := f.choose(function)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(chosen)) {
		best := chosen[key]
		best.settings[key].apply(p)
		kind, isList := kinds[key]
		if !isList && key != "http" {
			if p.Settings == nil {
				p.Settings = map[string]weir.Position{}
			}
			p.Settings[key] = best.settings[key].pos
		}
		if best.name != function && (isList || key == "http") {
			if p.Sections == nil {
				p.Sections = map[policy.Kind]string{}
			}
			p.Sections[kind] = best.name // of "http", which is not in kinds: HTTP
		}
	}
	return p, nil
}

// choose gives, for each key that is about a function, the most specific section that has it.
func (f *File) choose(function string) (map[string]*section, error) {
	holders := map[string][]*section{}
	for _, s := range f.sections {
		if !matchName(s.name, function) {
			continue
		}
		for key := range s.settings {
			holders[key] = append(holders[key], s)
		}
	}
	chosen := map[string]*section{}
	for _, key := range slices.Sorted(maps.Keys(holders)) {
		best := slices.MaxFunc(holders[key], func(a, b *section) int { return compareNames(a.name, b.name) })
		for _, s := range holders[key] {
			if s != best && compareNames(s.name, best.name) == 0 {
				return nil, tie(function, key, best, s)
			}
		}
		chosen[key] = best
	}
	return chosen, nil
}

func tie(function, key string, a, b *section) error {
	return &weir.Error{Code: weir.Invalid, Pos: b.settings[key].pos,
		Message: fmt.Sprintf("[functions.%q] and [functions.%q] (line %d) both match %q, are equally specific and both have %s",
			b.name, a.name, a.settings[key].pos.Line, function, key),
		Remedy: fmt.Sprintf("add [functions.%q] with its own %s", function, key)}
}
