// This file exists because the vocabulary of weir.toml stands here, key by key: what each means, and
// what is wrong with a value that does not fit.

package tomlpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// Keys by place: what is not here is unknown.
var (
	rootKeys    = []string{"mode", "functions"}
	sectionKeys = []string{"http", "tcp", "udp", "dns", "read", "write", "exec", "env", "secrets", "addons", "mode",
		"runtime", "isolation", "concurrency", "keep_warm", "limits", "packages"}
	ruleKeys    = []string{"allow", "query", "as", "in", "packages", "max_calls", "max_bytes", "per"}
	limitKeys   = []string{"timeout", "memory", "cpu", "tmp", "processes", "files", "request", "response", "log"}
	packageKeys = []string{"http", "tcp", "udp", "dns", "read", "write", "exec", "env"}
)

// kinds are the keys that hold a list of rules, but http.
var kinds = map[string]policy.Kind{"tcp": policy.TCP, "udp": policy.UDP, "dns": policy.DNS,
	"read": policy.Read, "write": policy.Write, "exec": policy.Exec, "env": policy.Env, "private": policy.TCP}

// reader turns the tree into sections and keeps every error it meets.
type reader struct {
	file    *File
	ceiling bool // the file is a ceiling, which has a few words more
	errs    []*weir.Error
}

func (r *reader) bad(pos weir.Position, remedy, format string, args ...any) {
	r.errs = append(r.errs, &weir.Error{Code: weir.Invalid, Pos: pos, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// take keeps the errors of policy.Check.
func (r *reader) take(err error) {
	var e *weir.Error
	if errors.As(err, &e) {
		r.errs = append(r.errs, e)
	}
}

// unknown answers a key that is not in known.
func (r *reader) unknown(pos weir.Position, key, place string, known []string) {
	remedy := "the keys are " + strings.Join(known, ", ")
	if len(r.errs) < maxErrors { // further ones are likely not reported
		if near := policy.Suggest(key, known); near != "" {
			remedy = fmt.Sprintf("did you mean %q?", near)
		}
	}
	r.bad(pos, remedy, "unknown key %q %s", key, place)
}

// later answers a key that is right, but asks for what this version does not do.
func (r *reader) later(pos weir.Position, key string) {
	r.bad(pos, "remove it", "%q is not supported by this version yet", key)
}

const inFunction = `write it under [functions.NAME], or under [functions."*"] for all functions`

func (r *reader) root(t *table) {
	for _, key := range t.keys {
		switch e := t.entries[key]; {
		case key == "mode":
			r.file.mode, _ = r.mode(e.value)
			r.file.modeAt = &e.pos
		case key == "functions" && e.value.table == nil:
			r.wrong(e.value, "tables", "write [functions.NAME]")
		case key == "functions":
			for _, name := range e.value.table.keys {
				r.section(name, e.value.table.entries[name])
			}
		case key == "private" && r.ceiling:
			r.file.private, _ = r.list(key, e)
		case slices.Contains(sectionKeys, key):
			r.bad(e.pos, inFunction, "%q belongs to a function", key)
		case e.value.kind == unstable.Table && policy.Suggest(key, rootKeys) == "":
			name := strings.TrimPrefix(key, "functions.") // the quotes stood around all of it
			r.bad(e.pos, fmt.Sprintf("write [functions.%s]", tomlKey(name)), "unknown table [%s] at the top", tomlKey(key))
		default:
			r.unknown(e.pos, key, "at the top", r.rootKeys())
		}
	}
}

func (r *reader) section(name string, e *entry) {
	switch {
	case e.value.table == nil && name == "mode":
		r.bad(e.pos, "write it at the top of the file for all functions, or under [functions.NAME]", "%q stands under [functions]", name)
		return
	case e.value.table == nil && slices.Contains(sectionKeys, name):
		r.bad(e.pos, inFunction, "%q belongs to a function", name)
		return
	case e.value.table == nil:
		r.wrong(e.value, "a table", "write [functions."+tomlKey(name)+"]")
		return
	case !validName(name):
		r.bad(e.pos, `write a name, or a glob such as "admin-*"; * is any characters`, "%q is not the name of a function", name)
		return
	}
	s := &section{name: name, pos: e.pos, settings: map[string]setting{}}
	r.file.sections = append(r.file.sections, s)
	for _, key := range e.value.table.keys {
		r.sectionKey(s, key, e.value.table.entries[key])
	}
}

func (r *reader) sectionKey(s *section, key string, e *entry) {
	place := fmt.Sprintf("in [functions.%s]", tomlKey(s.name))
	switch {
	case slices.Contains(sectionKeys, key):
	case e.value.kind == unstable.Table && policy.Suggest(key, sectionKeys) == "":
		r.bad(e.pos, fmt.Sprintf("a name with a dot stands in quotes: write [functions.%q]", s.name+"."+key), "unknown table %q %s", key, place)
		return
	default:
		r.unknown(e.pos, key, place, sectionKeys)
		return
	}
	set := func(apply func(*policy.Policy)) { s.settings[key] = setting{pos: e.pos, apply: apply} }
	if r.ceiling && r.ceilingKey(s, key, e) {
		return
	}
	switch key {
	case "mode":
		if m, ok := r.mode(e.value); ok {
			set(func(p *policy.Policy) { p.Mode = m })
		}
	case "addons":
		if e.value.kind != unstable.Bool {
			r.wrong(e.value, "true or false", "write addons = true, or remove it")
			return
		}
		allowed := e.value.text == "true"
		set(func(p *policy.Policy) { p.Addons = allowed })
	case "limits":
		r.limits(s, e)
	case "isolation", "concurrency", "keep_warm":
		if apply := r.running(key, e.value); apply != nil {
			set(apply)
		}
	case "runtime":
		if apply := r.runtime(e.value); apply != nil {
			set(apply)
		}
	case "secrets", "packages":
		r.unbuilt(key, e)
	default:
		if rules, ok := r.list(key, e); ok {
			set(func(p *policy.Policy) { p.Rules = append(p.Rules, rules...) })
		}
	}
}

// list reads a list of rules and checks each.
func (r *reader) list(key string, e *entry) ([]policy.Rule, bool) {
	read := r.httpRule
	if kind, ok := kinds[key]; ok {
		read = func(v *value) (policy.Rule, bool) {
			text, ok := r.text(v, "")
			return policy.Rule{Kind: kind, Pattern: text, Pos: v.pos}, ok
		}
	}
	items, ok := r.items(key, e)
	var rules []policy.Rule
	for _, v := range items {
		rule, ok := read(v)
		if !ok {
			continue
		}
		for _, rule := range r.eachMethod(rule) {
			rules = append(rules, rule)
			if err := policy.Check(rule); err != nil {
				r.take(err)
				break // the others differ in the method only
			}
		}
	}
	return rules, ok
}

// items wants a list.
func (r *reader) items(key string, e *entry) ([]*value, bool) {
	if e.value.kind == unstable.Array {
		return e.value.items, true
	}
	remedy := fmt.Sprintf("write %s = [...]", key)
	if e.value.kind == unstable.String {
		remedy = fmt.Sprintf("write %s = [%q]", key, e.value.text)
	}
	r.wrong(e.value, "a list", remedy)
	return nil, false
}

// modes are the modes by name, and what else people write for them.
var (
	modes     = map[string]policy.Mode{"enforce": policy.Enforce, "monitor": policy.Monitor}
	modeNames = []string{"enforce", "monitor"}
	likeModes = map[string]string{"enforcing": "enforce", "enforced": "enforce", "enforcement": "enforce", "block": "enforce", "strict": "enforce",
		"monitoring": "monitor", "monitored": "monitor", "learn": "monitor", "report": "monitor", "report-only": "monitor", "audit": "monitor", "observe": "monitor"}
)

func (r *reader) mode(v *value) (policy.Mode, bool) {
	text, ok := r.choice("mode", v, modeNames, likeModes)
	return modes[text], ok
}

// choice wants one of a few words; like says which one is meant by others.
func (r *reader) choice(key string, v *value, known []string, like map[string]string) (string, bool) {
	text, ok := r.text(v, fmt.Sprintf("write %s = %q", key, known[0]))
	if !ok || slices.Contains(known, text) {
		return text, ok
	}
	near := like[strings.ToLower(text)]
	if near == "" {
		near = policy.Suggest(text, known)
	}
	remedy := fmt.Sprintf("did you mean %q?", near)
	if near == "" {
		remedy = fmt.Sprintf("write %q", known[0])
		for _, k := range known[1:] {
			remedy += fmt.Sprintf(" or %q", k)
		}
	}
	r.bad(v.pos, remedy, "%s %q does not exist", key, text)
	return "", false
}

// text wants a string.
func (r *reader) text(v *value, remedy string) (string, bool) {
	if v.kind != unstable.String {
		if remedy == "" {
			remedy = "write it in quotes"
		}
		r.wrong(v, "a text in quotes", remedy)
		return "", false
	}
	return v.text, true
}

// wrong says that a value has the wrong type.
func (r *reader) wrong(v *value, want, remedy string) {
	found := map[unstable.Kind]string{
		unstable.String: "a text", unstable.Bool: "true or false", unstable.Integer: "a whole number", unstable.Float: "a number",
		unstable.Array: "a list", unstable.InlineTable: "a table", unstable.Table: "a table",
	}[v.kind]
	if found == "" {
		found = "a date or time"
	}
	r.bad(v.pos, remedy, "expected %s, found %s", want, found)
}
