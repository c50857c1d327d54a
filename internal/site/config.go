package site

// netlify.toml: the parts that say what functions there are. The file is written by people and may
// come from strangers, so each fault is told with its position and nothing in it can make reading
// it long.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/weir"
)

const configFile = "netlify.toml"

// configMax bounds netlify.toml. Real ones have a few kilobytes; the parser's effort grows with the
// depth of nesting, which the size bounds.
const configMax = 256 << 10

// The keys that Netlify knows in the two tables read here; any other is a likely slip of the pen.
// Those that Weir does not act on are listed so that they pass without a warning.
var (
	buildKeys = []string{"base", "publish", "functions", "command", "environment", "edge_functions",
		"ignore", "processing", "lifecycle", "services"}
	functionKeys = []string{"directory", "node_bundler", "external_node_modules", "included_files",
		"ignored_node_modules", "included_files_base_path", "deno_import_map", "schedule", "memory",
		"region", "vcpu", "timeout", "background", "node_version", "node_source_map", "name", "generator"}
)

// config is a parsed netlify.toml.
type config struct {
	file   string // as in messages
	source string
	tree   map[string]any
	where  map[string]weir.Position // of keys and table headers, by dotted path
}

// readConfig reads the file at path; one that is not there is empty.
func readConfig(path string) (*config, error) {
	data, err := readRegular(path, configMax)
	if errors.Is(err, fs.ErrNotExist) {
		return &config{file: configFile}, nil
	}
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: configFile}, Message: "the file can't be read", Err: err}
	}
	return parseConfig(filepath.Base(path), data)
}

func parseConfig(file string, data []byte) (*config, error) {
	c := &config{file: file, source: string(data), where: map[string]weir.Position{}}
	if err := toml.Unmarshal(data, &c.tree); err != nil {
		e := &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: file}, Message: "this is not valid TOML", Err: err}
		var d *toml.DecodeError
		if errors.As(err, &d) {
			e.Pos.Line, e.Pos.Column = d.Position()
			e.Err = errors.New(strings.TrimPrefix(d.Error(), "toml: "))
		}
		return nil, e
	}
	c.locate(data)
	return c, nil
}

// locate notes where each key and table header stands.
func (c *config) locate(data []byte) {
	var p unstable.Parser
	p.Reset(data)
	var table []string
	at := weir.Position{File: c.file, Line: 1, Column: 1} // of data[done]; counted once, as Shape begins anew each time
	done := 0
	for p.NextExpression() {
		e := p.Expression()
		var key []string
		var pos weir.Position
		for it := e.Key(); it.Next(); {
			n := it.Node()
			if pos.Line == 0 {
				before := data[done:n.Raw.Offset]
				if line := bytes.LastIndexByte(before, '\n'); line >= 0 {
					at.Line += bytes.Count(before, []byte("\n"))
					at.Column = 1
					before = before[line+1:]
				}
				at.Column += len(before)
				done, pos = int(n.Raw.Offset), at
			}
			key = append(key, string(n.Data))
		}
		if e.Kind == unstable.KeyValue {
			key = append(slices.Clone(table), key...)
		} else {
			table = key
		}
		if name := join(key); c.where[name].Line == 0 {
			c.where[name] = pos
		}
	}
}

// join makes one map key of a path; NUL can't occur in a TOML key.
func join(key []string) string { return strings.Join(key, "\x00") }

// pos gives the position of a key, or of the nearest thing around it that has one.
func (c *config) pos(key ...string) weir.Position {
	for n := len(key); n > 0; n-- {
		if p, ok := c.where[join(key[:n])]; ok {
			return p
		}
	}
	return weir.Position{File: c.file}
}

// get gives the value of a key, nil if it is not set. What lies on the way must be tables.
func (c *config) get(key ...string) (any, error) {
	var v any = c.tree
	for i, k := range key {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, c.mistyped(v, "a table", key[:i]...)
		}
		if v, ok = m[k]; !ok {
			return nil, nil
		}
	}
	return v, nil
}

func (c *config) text(key ...string) (string, bool, error) {
	v, err := c.get(key...)
	if v == nil || err != nil {
		return "", false, err
	}
	s, ok := v.(string)
	if !ok {
		return "", false, c.mistyped(v, "a string in quotes", key...)
	}
	return s, true, nil
}

func (c *config) flag(key ...string) (bool, error) {
	v, err := c.get(key...)
	if v == nil || err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, c.mistyped(v, "true or false, without quotes", key...)
	}
	return b, nil
}

func (c *config) texts(key ...string) ([]string, error) {
	v, err := c.get(key...)
	if v == nil || err != nil {
		return nil, err
	}
	const want = `a list of strings, as in ["one", "two"]`
	list, ok := v.([]any)
	if !ok {
		return nil, c.mistyped(v, want, key...)
	}
	var out []string
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, c.mistyped(item, want, key...)
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *config) mistyped(v any, want string, key ...string) error {
	return &weir.Error{Code: weir.Invalid, Pos: c.pos(key...),
		Message: fmt.Sprintf("%s is %s", strings.Join(key, "."), kindOf(v)), Remedy: "expected " + want}
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

// unknownKeys warns of keys in [build] and [functions] that Netlify does not know.
func (c *config) unknownKeys() []string {
	var out []string
	check := func(known []string, key ...string) {
		v, err := c.get(key...)
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if _, table := m[k].(map[string]any); table || slices.Contains(known, k) {
				continue
			}
			w := fmt.Sprintf("%s: unknown key %q in [%s]", c.pos(append(key, k)...), k, strings.Join(key, "."))
			if near := nearest(k, known); near != "" {
				w += fmt.Sprintf("; did you mean %q?", near)
			}
			out = append(out, w)
		}
	}
	check(buildKeys, "build")
	check(functionKeys, "functions")
	for _, k := range c.overrides() {
		check(functionKeys, "functions", k)
	}
	return out
}

// overrides gives the names or globs of the [functions.NAME] tables, the least specific first.
func (c *config) overrides() []string {
	v, _ := c.get("functions")
	m, _ := v.(map[string]any)
	var out []string
	for k, v := range m {
		if _, ok := v.(map[string]any); ok {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		if n := specificity(a) - specificity(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	return out
}

// specificity orders globs as Netlify does: a plain name before (above) any glob, a glob by what
// stands in front of its first wildcard.
func specificity(glob string) int {
	if i := strings.IndexAny(glob, "*?[{"); i >= 0 {
		return i
	}
	return 1 << 20
}

// nearest gives the word that differs from w in at most two letters, "" if none does.
func nearest(w string, words []string) string {
	best, out := 3, ""
	for _, k := range words {
		if d := distance(w, k); d < best {
			best, out = d, k
		}
	}
	return out
}

// distance is Levenshtein's. Words of very different length are not compared letter by letter.
func distance(a, b string) int {
	if n := len(a) - len(b); n > 2 || n < -2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}
