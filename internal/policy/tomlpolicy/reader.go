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

// Keys by place. Those under "later" belong to the language, but this version does not reach them.
var (
	rootKeys     = []string{"mode", "functions"}
	sectionKeys  = []string{"http", "tcp", "read", "write", "exec", "env", "addons", "mode", "limits"}
	sectionLater = []string{"udp", "dns", "secrets", "runtime", "isolation", "concurrency", "keep_warm", "packages"}
	ruleKeys     = []string{"allow", "query"}
	ruleLater    = []string{"as", "in", "packages", "max_calls", "max_bytes", "per"}
	limitKeys    = []string{"timeout", "memory", "cpu", "tmp", "processes", "files", "request", "response", "log"}
)

// reader turns the tree into sections and keeps every error it meets.
type reader struct {
	file *File
	errs []*weir.Error
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
func (r *reader) unknown(pos weir.Position, key, place string, known, later []string) {
	if slices.Contains(later, key) {
		r.bad(pos, "remove it", "%q is not supported by this version yet", key)
		return
	}
	remedy := "the keys are " + strings.Join(known, ", ")
	if near := policy.Suggest(key, slices.Concat(known, later)); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	r.bad(pos, remedy, "unknown key %q %s", key, place)
}

func (r *reader) root(t *table) {
	for _, key := range t.keys {
		e := t.entries[key]
		switch key {
		case "mode":
			r.mode(e)
		case "functions":
			if e.value.table == nil {
				r.wrong(e.value, "tables", "write [functions.NAME]")
				continue
			}
			for _, name := range e.value.table.keys {
				r.section(name, e.value.table.entries[name])
			}
		default:
			if slices.Contains(sectionKeys, key) || slices.Contains(sectionLater, key) {
				r.bad(e.pos, `write it under [functions.NAME], or under [functions."*"] for all functions`, "%q belongs to a function", key)
				continue
			}
			r.unknown(e.pos, key, "at the top", rootKeys, nil)
		}
	}
}

func (r *reader) mode(e *entry) {
	switch text, ok := r.text(e.value, `write mode = "enforce"`); {
	case !ok || text == "enforce":
	case text == "monitor":
		r.bad(e.value.pos, `write "enforce", or remove it`, `mode "monitor" is not supported by this version yet`)
	default:
		r.bad(e.value.pos, `write "enforce", or remove it`, "mode %q does not exist", text)
	}
}

func (r *reader) section(name string, e *entry) {
	switch {
	case e.value.table == nil && (slices.Contains(sectionKeys, name) || slices.Contains(sectionLater, name)):
		r.bad(e.pos, `write it under [functions.NAME], or under [functions."*"] for all functions`, "%q belongs to a function", name)
		return
	case e.value.table == nil:
		r.wrong(e.value, "a table", "write [functions."+name+"]")
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
	lists := map[string]policy.Kind{"tcp": policy.TCP, "read": policy.Read, "write": policy.Write, "exec": policy.Exec, "env": policy.Env}
	switch kind, list := lists[key]; {
	case list:
		r.rules(s, key, e, func(v *value) (policy.Rule, bool) {
			text, ok := r.text(v, "")
			return policy.Rule{Kind: kind, Pattern: text, Pos: v.pos}, ok
		})
	case key == "http":
		r.rules(s, key, e, r.httpRule)
	case key == "mode":
		r.mode(e)
	case key == "addons":
		if e.value.kind != unstable.Bool {
			r.wrong(e.value, "true or false", "write addons = true, or remove it")
			return
		}
		allowed := e.value.text == "true"
		s.settings[key] = setting{e.pos, func(p *policy.Policy) { p.Addons = allowed }}
	case key == "limits":
		r.limits(s, e)
	default:
		r.unknown(e.pos, key, fmt.Sprintf("in [functions.%s]", s.name), sectionKeys, sectionLater)
	}
}

// rules reads a list of rules and checks each.
func (r *reader) rules(s *section, key string, e *entry, read func(*value) (policy.Rule, bool)) {
	if e.value.kind != unstable.Array {
		remedy := fmt.Sprintf("write %s = [...]", key)
		if e.value.kind == unstable.String {
			remedy = fmt.Sprintf("write %s = [%q]", key, e.value.text)
		}
		r.wrong(e.value, "a list", remedy)
		return
	}
	var rules []policy.Rule
	for _, v := range e.value.items {
		if rule, ok := read(v); ok {
			r.take(policy.Check(rule))
			rules = append(rules, rule)
		}
	}
	s.settings[key] = setting{e.pos, func(p *policy.Policy) { p.Rules = append(p.Rules, rules...) }}
}

// httpRule reads "METHOD URL" or { allow = "METHOD URL", query = { … } }.
func (r *reader) httpRule(v *value) (policy.Rule, bool) {
	if v.kind != unstable.InlineTable {
		text, ok := r.text(v, `write "METHOD URL" or { allow = "METHOD URL" }`)
		return urlRule(text, v.pos), ok
	}
	allow := v.table.entries["allow"]
	if allow == nil {
		r.bad(v.pos, `write { allow = "METHOD URL" }`, `the rule has no "allow"`)
		return policy.Rule{}, false
	}
	text, ok := r.text(allow.value, `write allow = "METHOD URL"`)
	rule := urlRule(text, allow.value.pos)
	for _, key := range v.table.keys {
		switch e := v.table.entries[key]; key {
		case "allow":
		case "query":
			rule.Query = r.query(e)
		default:
			r.unknown(e.pos, key, "in a rule", ruleKeys, ruleLater)
		}
	}
	return rule, ok
}

// urlRule makes the rule of "METHOD URL": one for WebSockets if the URL has their scheme, for which
// the method GET may be left out.
func urlRule(text string, pos weir.Position) policy.Rule {
	url := strings.TrimSpace(text)
	if fields := strings.Fields(text); len(fields) == 2 && fields[0] == "GET" {
		url = fields[1]
	}
	if strings.HasPrefix(url, "ws://") || strings.HasPrefix(url, "wss://") {
		return policy.Rule{Kind: policy.WS, Pattern: url, Pos: pos}
	}
	return policy.Rule{Kind: policy.HTTP, Pattern: text, Pos: pos}
}

func (r *reader) query(e *entry) []policy.QueryParam {
	params := []policy.QueryParam{} // an empty table allows no parameter, unlike none at all
	if e.value.table == nil {
		r.wrong(e.value, "a table", `write query = { name = "*" }`)
		return params
	}
	for _, name := range e.value.table.keys {
		v := e.value.table.entries[name].value
		if text, ok := r.text(v, fmt.Sprintf(`write %s = "*" for any value`, name)); ok {
			params = append(params, policy.QueryParam{Name: name, Value: text})
		}
	}
	return params
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
