// This file exists because an http rule may say more than what is called: with which query, how much of
// it, with whose secret and by which package.

package tomlpolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// httpRule reads "METHOD URL" or { allow = "METHOD URL", … }.
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
	rule.Budget = r.budget(v.table)
	r.credential(v.table)
	for _, key := range v.table.keys {
		switch e := v.table.entries[key]; {
		case key == "query":
			rule.Query = r.query(e)
		case key == "packages":
			r.rulePackages(e)
		case !slices.Contains(ruleKeys, key):
			r.unknown(e.pos, key, "in a rule", ruleKeys)
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
		if text, ok := r.text(v, fmt.Sprintf(`write %s = "*" for any value`, tomlKey(name))); ok {
			params = append(params, policy.QueryParam{Name: name, Value: text})
		}
	}
	return params
}

// Bounds of a budget.
const (
	maxCalls       = 1_000_000_000
	maxBytes int64 = 1024 * gb
)

var (
	pers     = map[string]policy.Per{"invocation": policy.PerInvocation, "minute": policy.PerMinute}
	perNames = []string{"invocation", "minute"}
	likePers = map[string]string{"call": "invocation", "request": "invocation", "min": "minute", "m": "minute", "1m": "minute", "60s": "minute"}
)

// budget reads max_calls, max_bytes and per, which go together; nil if there is none or after an error.
func (r *reader) budget(t *table) *policy.Budget {
	calls, bytes, per := t.entries["max_calls"], t.entries["max_bytes"], t.entries["per"]
	if calls == nil && bytes == nil {
		if per != nil {
			r.bad(per.pos, `write max_calls = 10 or max_bytes = "64KB" beside it`, `"per" alone bounds nothing`)
		}
		return nil
	}
	b, ok := &policy.Budget{}, true
	if calls != nil {
		n, fits := r.count("max_calls", calls.value, 1, maxCalls)
		b.MaxCalls, ok = int(n), fits
	}
	if bytes != nil {
		n, fits := r.size("max_bytes", bytes.value, "B")
		ok = fits && r.within(bytes.value, n >= 1 && n <= maxBytes, "max_bytes", "1B", policy.Size(maxBytes)) && ok
		b.MaxBytes = n
	}
	if per == nil {
		first := calls
		if first == nil {
			first = bytes
		}
		r.bad(first.pos, `write per = "invocation" or per = "minute" beside it`, `the budget has no "per"`)
		return nil
	}
	text, known := r.choice("per", per.value, perNames, likePers)
	b.Per = pers[text]
	if !ok || !known {
		return nil
	}
	return b
}
