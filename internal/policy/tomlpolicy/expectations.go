// This file exists because what a policy must allow and must not is written beside it, in the same
// language of sections, and checked whenever either changes.

package tomlpolicy

import (
	"fmt"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

var expectationKeys = []string{"allow", "deny"}

// Expectation is one line of a file of expectations: what the policies of some functions must decide.
type Expectation struct {
	Section  string // a function's name, or a glob; unlike in weir.toml, all sections count
	Allow    bool   // else it must be denied
	Question string // as for the package ask: "POST https://api.example.com/v1", "tcp db.internal:5432"
	Pos      weir.Position
}

// About tells whether it is about a function.
func (e Expectation) About(function string) bool { return matchName(e.Section, function) }

// ParseExpectations reads the content of a file of expectations; name is for positions. Errors are as
// for Parse.
func ParseExpectations(name string, data []byte) ([]Expectation, error) {
	if len(data) > maxFile {
		return nil, &weir.Error{Code: weir.Invalid, Pos: position(name, data, maxFile), Message: "the file is larger than 4MB"}
	}
	root, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{}
	var out []Expectation
	for _, key := range root.keys {
		e := root.entries[key]
		switch {
		case key != "functions":
			remedy := "write [functions.NAME]"
			if policy.Suggest(key, []string{"functions"}) != "" {
				remedy = `did you mean "functions"?`
			}
			r.bad(e.pos, remedy, "unknown key %q at the top", key)
		case e.value.table == nil:
			r.wrong(e.value, "tables", "write [functions.NAME]")
		default:
			for _, section := range e.value.table.keys {
				out = append(out, r.expectations(section, e.value.table.entries[section])...)
			}
		}
	}
	if err := r.joined(); err != nil {
		return nil, err
	}
	return out, nil
}

// expectations reads one section.
func (r *reader) expectations(name string, e *entry) []Expectation {
	switch {
	case e.value.table == nil:
		r.wrong(e.value, "a table", "write [functions."+tomlKey(name)+"]")
		return nil
	case !validName(name):
		r.bad(e.pos, `write a name, or a glob such as "admin-*"; * is any characters`, "%q is not the name of a function", name)
		return nil
	}
	var out []Expectation
	for _, key := range e.value.table.keys {
		k := e.value.table.entries[key]
		if key != "allow" && key != "deny" {
			r.unknown(k.pos, key, fmt.Sprintf("in [functions.%s]", tomlKey(name)), expectationKeys)
			continue
		}
		items, _ := r.items(key, k)
		for _, v := range items {
			if text, ok := r.text(v, ""); ok {
				out = append(out, Expectation{Section: name, Allow: key == "allow", Question: text, Pos: v.pos})
			}
		}
	}
	return out
}
