package routing

// The tables [[redirects]] and [[headers]] of netlify.toml (docs.netlify.com, "File-based configuration").

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/weir"
)

// What a parser makes of a small text can be large: a table of each part of a dotted key, a value of each comma.
const (
	maxKey   = 16        // parts of a key
	maxDots  = 10_000    // dots on a line, before it is known which of them divide a key
	maxMarks = 1_000_000 // commas, equals signs and opening brackets of the text
)

// config reads netlify.toml. What else stands there is not looked at.
func (p *parser) config(t Text) {
	if t.Text == "" {
		return
	}
	file := weir.Position{File: t.Name}
	where, ok := map[string][]weir.Position(nil), modest(t.Text)
	if ok {
		where, ok = positions(t)
	}
	if !ok {
		p.warn(file, fmt.Sprintf("a key has more than %d parts, or the file more than %d values: none of the redirects and headers is applied", maxKey, maxMarks), "make it simpler")
		p.leftOutOf(t.Text)
		return
	}
	var tree struct {
		Redirects, Headers any
		EdgeFunctions      any `toml:"edge_functions"`
		Images             any
	}
	if err := toml.Unmarshal([]byte(t.Text), &tree); err != nil {
		var d *toml.DecodeError
		if errors.As(err, &d) {
			file.Line, file.Column = d.Position()
		}
		p.warn(file, "this is not valid TOML: none of its redirects and headers is applied", "mend it")
		p.leftOutOf(t.Text)
		return
	}
	p.tables(tree.Redirects, "redirects", where, p.redirectTable)
	p.tables(tree.Headers, "headers", where, p.headerTable)
	for _, v := range []any{tree.Redirects, tree.Headers} {
		if _, list := v.([]any); v != nil && !list {
			p.leftOutOf(t.Text)
		}
	}
	p.dropEmpty()
	if list, _ := tree.EdgeFunctions.([]any); len(list) > 0 {
		p.warn(at(where, "edge_functions", 0), "there are no edge functions: none of them runs", "make them functions, with config.path for their URLs")
	}
	if tree.Images != nil {
		p.warn(at(where, "images", 0), "there is no image CDN: nothing answers at /.netlify/images", "transform images when the site is built")
	}
}

// modest tells whether a text can be given to the parser.
func modest(text string) bool {
	marks := 0
	for line := range strings.SplitSeq(text, "\n") {
		for _, mark := range []string{",", "=", "[", "{"} {
			marks += strings.Count(line, mark)
		}
		if marks > maxMarks || strings.Count(line, ".") > maxDots {
			return false
		}
	}
	return true
}

// positions gives where each table of a list begins, in order, by the list's name; false if a key is too long.
func positions(t Text) (map[string][]weir.Position, bool) {
	out := map[string][]weir.Position{}
	data := []byte(t.Text)
	var p unstable.Parser
	p.Reset(data)
	line, done, top := 1, 0, true
	for p.NextExpression() {
		var first *unstable.Node
		parts := 0
		for it := p.Expression().Key(); it.Next(); parts++ {
			if first == nil {
				first = it.Node()
			}
		}
		if parts > maxKey {
			return nil, false
		}
		if p.Expression().Kind != unstable.KeyValue {
			top = false
		} else if !top {
			continue // a key of a table
		}
		if parts != 1 {
			continue
		}
		line += bytes.Count(data[done:first.Raw.Offset], []byte("\n"))
		done = int(first.Raw.Offset)
		out[string(first.Data)] = append(out[string(first.Data)], weir.Position{File: t.Name, Line: line})
	}
	return out, true
}

// tables hands on the tables of a list.
func (p *parser) tables(v any, name string, where map[string][]weir.Position, each func(weir.Position, map[string]any)) {
	if v == nil {
		return
	}
	list, ok := v.([]any)
	if !ok {
		p.warn(at(where, name, 0), fmt.Sprintf("%s is no list of tables: none of them is applied", name), fmt.Sprintf("write [[%s]]", name))
		return
	}
	for i, item := range list {
		pos := at(where, name, i)
		table, ok := item.(map[string]any)
		if !ok {
			p.warn(pos, fmt.Sprintf("an entry of %s is no table", name), "it is left out; write [["+name+"]]")
			continue
		}
		each(pos, table)
	}
}

// at gives the position of a list's table, or that of the list, which may stand on one line.
func at(all map[string][]weir.Position, name string, i int) weir.Position {
	list := all[name]
	if len(list) == 0 {
		return weir.Position{}
	}
	return list[min(i, len(list)-1)]
}

// redirectKeys are what [[redirects]] may have, with the names that Netlify has had for them before.
var redirectKeys = []string{"from", "origin", "to", "destination", "status", "force", "query", "params", "parameters",
	"conditions", "headers", "signed", "signing", "sign", "rate_limit", "edge_handler"}

func (p *parser) redirectTable(pos weir.Position, table map[string]any) {
	p.unknown(pos, table, "redirects", redirectKeys)
	e, f := redirectEntry(table)
	if f == nil && table["edge_handler"] != nil {
		p.warn(pos, "there are no edge functions: the rule is applied without its edge_handler", "make it a function, with config.path for its URL")
	}
	conditions, _ := table["conditions"].(map[string]any)
	forRole := slices.ContainsFunc(slices.Collect(maps.Keys(conditions)), func(name string) bool { return strings.EqualFold(name, "role") })
	p.add(pos, e, f, forRole)
}

func (p *parser) unknown(pos weir.Position, table map[string]any, name string, known []string) {
	for _, k := range slices.Sorted(maps.Keys(table)) {
		if !slices.Contains(known, k) {
			p.warn(pos, fmt.Sprintf("unknown key %q in [[%s]]", k, name), "it is left out; there are "+strings.Join(known[:min(len(known), 9)], ", "))
		}
	}
}

func redirectEntry(table map[string]any) (e entry, f *fault) {
	text := func(names ...string) string {
		for _, n := range names {
			v, ok := table[n]
			s, isText := v.(string)
			if ok && !isText && f == nil {
				f = faulty("put it in quotes", "%s is no text", n)
			}
			if ok {
				return strings.TrimSpace(s)
			}
		}
		return ""
	}
	pairs := func(names ...string) []pair {
		for _, n := range names {
			if v, ok := table[n]; ok {
				list, bad := pairsOf(n, v)
				if bad != nil && f == nil {
					f = bad
				}
				return list
			}
		}
		return nil
	}
	e = entry{from: text("from", "origin"), to: text("to", "destination"), query: pairs("query", "params", "parameters"),
		conditions: pairs("conditions"), headers: pairs("headers")}
	if f == nil {
		f = e.guard(table)
	}
	e.force, _ = table["force"].(bool)
	switch s := table["status"].(type) {
	case nil:
	case int64:
		e.status = int(min(max(s, 1), 999))
	case string:
		if !isStatus(s) {
			return e, faulty("write a number, as in 301", "the status %q is none", s)
		}
		e.status, _ = strconv.Atoi(strings.TrimSuffix(s, "!"))
		e.force = e.force || strings.HasSuffix(s, "!")
	default:
		return e, faulty("write a number, as in 301", "the status is no number")
	}
	if _, isBool := table["force"].(bool); table["force"] != nil && !isBool {
		return e, faulty("write force = true", "force is neither true nor false")
	}
	if f == nil && e.from == "" {
		f = faulty(`write from = "/PATH"`, "a rule has no from")
	}
	for _, h := range e.headers {
		if f == nil && (!validName(h.name) || !validValue(h.value) || slices.Contains(forwarding, strings.ToLower(h.name))) {
			f = faulty("leave it out", "the header %q can't be sent to an upstream", h.name)
		}
	}
	return e, f
}

// guard reads what keeps others out: a signature and a rate limit.
func (e *entry) guard(table map[string]any) (f *fault) {
	if e.sign, f = signedBy(table); f == nil && table["rate_limit"] != nil {
		e.rateLimit, f = rateLimitOf(table["rate_limit"])
	}
	return f
}

// signedBy gives the variable with the key that a rule is signed with, "" if it isn't.
func signedBy(table map[string]any) (string, *fault) {
	for _, name := range []string{"signed", "signing", "sign"} {
		if v, ok := table[name]; ok {
			s, _ := v.(string)
			if s = strings.TrimPrefix(strings.TrimSpace(s), "$"); s == "" {
				return "", faulty(`name the variable with the key, as in signed = "API_KEY"`, "%s names no variable", name)
			}
			return s, nil
		}
	}
	return "", nil
}

// forwarding are the headers of a request to an upstream that the server sets itself.
var forwarding = append([]string{"host", "forwarded", "via", "cdn-loop", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}, unsettable...)

// pairsOf gives the texts of a table, in the order of their names. Lists are joined by commas.
func pairsOf(name string, v any) ([]pair, *fault) {
	table, ok := v.(map[string]any)
	if !ok {
		return nil, faulty("write it as in "+name+" = {name = \"value\"}", "%s is no table", name)
	}
	var out []pair
	for _, k := range slices.Sorted(maps.Keys(table)) {
		switch value := table[k].(type) {
		case string:
			out = append(out, pair{k, value})
		case []any:
			var texts []string
			for _, item := range value {
				s, ok := item.(string)
				if !ok {
					return nil, faulty("put it in quotes", "a value of %s.%s is no text", name, k)
				}
				texts = append(texts, s)
			}
			out = append(out, pair{k, strings.Join(texts, ",")})
		default:
			return nil, faulty("put it in quotes", "%s.%s is no text", name, k)
		}
	}
	return out, nil
}

func (p *parser) headerTable(pos weir.Position, table map[string]any) {
	p.unknown(pos, table, "headers", []string{"for", "values"})
	rule, values := p.headersOf(pos, table)
	if rule == nil {
		named, _ := table["values"].(map[string]any)
		for name := range named {
			p.leftOut(name)
		}
		return
	}
	for _, v := range values {
		p.setHeader(pos, rule, v.name, joinLines(v.value))
	}
}

// headersOf begins the headers of a table; nil if they can't be had.
func (p *parser) headersOf(pos weir.Position, table map[string]any) (*headerRule, []pair) {
	path, ok := table["for"].(string)
	if !ok {
		p.warn(pos, "headers are for no path", `they are left out; write for = "/PATH"`)
		return nil, nil
	}
	values, f := pairsOf("values", table["values"])
	if f != nil {
		p.warn(pos, f.message, "the headers are left out; "+f.remedy)
		return nil, nil
	}
	return p.headersFor(pos, strings.TrimSpace(path)), values
}

// joinLines makes one line of a value with an entry on each.
func joinLines(value string) string {
	parts := strings.Split(value, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return strings.Join(parts, ", ")
}
