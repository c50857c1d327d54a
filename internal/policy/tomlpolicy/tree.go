// This file exists because an error must name the line and column of the key or value that is wrong,
// which decoding into Go values forgets: the file is kept as a tree with positions.

package tomlpolicy

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/weir"
)

// value is a TOML value and where it stands.
type value struct {
	pos   weir.Position
	kind  unstable.Kind
	text  string // decoded if a String, else as written
	items []*value
	table *table // if kind is InlineTable or Table
}

// table is a TOML table: keys in the order of the file.
type table struct {
	keys    []string
	entries map[string]*entry
}

// entry is a key with its value.
type entry struct {
	pos   weir.Position // of the key
	value *value
}

// The decoder's time grows with the square of the keys that a table has, so that a hostile file of a
// few megabytes would take hours. These bounds keep it to seconds.
const (
	maxKeys       = 10_000 // of the file, those of inline tables aside; parts of dotted keys counted
	maxInlineKeys = 1_000  // of one inline table
)

// checkKeys holds a file to maxKeys and maxInlineKeys. It reads as far as there is TOML.
func checkKeys(name string, data []byte) error {
	var p unstable.Parser
	p.Reset(data)
	keys, at := 0, 0
	for p.NextExpression() {
		e := p.Expression()
		for it := e.Key(); it.Next(); {
			keys, at = keys+1, int(it.Node().Raw.Offset)
		}
		if keys > maxKeys || e.Kind == unstable.KeyValue && !inlineKeysFit(e.Value()) {
			return &weir.Error{Code: weir.Invalid, Pos: position(name, data, at),
				Message: fmt.Sprintf("the file has more than %d sections and keys, or an inline table more than %d", maxKeys, maxInlineKeys),
				Remedy:  "use globs of functions, or wildcards in rules"}
		}
	}
	return nil
}

// position gives the place of a byte of the file.
func position(name string, data []byte, at int) weir.Position {
	return weir.Position{File: name, Line: 1 + bytes.Count(data[:at], []byte("\n")), Column: at - bytes.LastIndexByte(data[:at], '\n')}
}

func inlineKeysFit(n *unstable.Node) bool {
	keys := 0
	for it := n.Children(); it.Next(); {
		child := it.Node()
		if child.Kind == unstable.KeyValue {
			for key := child.Key(); key.Next(); {
				keys++
			}
			child = child.Value()
		}
		if keys > maxInlineKeys || !inlineKeysFit(child) {
			return false
		}
	}
	return true
}

// parseTree checks data against TOML and gives its tree.
func parseTree(name string, data []byte) (*table, error) {
	if err := checkKeys(name, data); err != nil {
		return nil, err
	}
	var whole map[string]any // syntax, and keys and tables that are defined twice
	if err := toml.Unmarshal(data, &whole); err != nil {
		return nil, syntaxError(name, data, err)
	}
	b := &treeBuilder{name: name}
	for i, c := range data {
		if c == '\n' {
			b.ends = append(b.ends, i)
		}
	}
	b.parser.Reset(data)
	root := newTable()
	current := root
	for b.parser.NextExpression() {
		e := b.parser.Expression()
		var err error
		if e.Kind == unstable.KeyValue {
			err = b.keyValue(current, e)
		} else {
			current, err = b.header(root, e)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := b.parser.Error(); err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: name}, Message: plain(err.Error())}
	}
	return root, nil
}

func newTable() *table { return &table{entries: map[string]*entry{}} }

type treeBuilder struct {
	name   string
	ends   []int // offsets of the ends of lines
	parser unstable.Parser
}

// pos gives the position of a byte. Columns count bytes from 1, as compilers do.
func (b *treeBuilder) pos(offset uint32) weir.Position {
	line, _ := slices.BinarySearch(b.ends, int(offset)) // how many lines end before
	start := 0
	if line > 0 {
		start = b.ends[line-1] + 1
	}
	return weir.Position{File: b.name, Line: line + 1, Column: int(offset) - start + 1}
}

// header opens the table of a [header].
func (b *treeBuilder) header(root *table, e *unstable.Node) (*table, error) {
	t := root
	var pos weir.Position
	for it := e.Key(); it.Next(); {
		pos = b.pos(it.Node().Raw.Offset)
		var err error
		if t, err = b.open(t, string(it.Node().Data), pos); err != nil {
			return nil, err
		}
	}
	if e.Kind == unstable.ArrayTable {
		return nil, &weir.Error{Code: weir.Invalid, Pos: pos, Message: "weir.toml has no arrays of tables", Remedy: "write the header in single brackets"}
	}
	return t, nil
}

// open gives the table under key, made if it is not there.
func (b *treeBuilder) open(t *table, key string, pos weir.Position) (*table, error) {
	e := t.entries[key]
	if e == nil {
		e = &entry{pos, &value{pos: pos, kind: unstable.Table, table: newTable()}}
		t.keys = append(t.keys, key)
		t.entries[key] = e
	}
	if e.value.table == nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: pos, Message: fmt.Sprintf("%q is defined twice", key), Remedy: "remove one"}
	}
	return e.value.table, nil
}

func (b *treeBuilder) keyValue(t *table, e *unstable.Node) error {
	it := e.Key()
	for it.Next() {
		key, pos := string(it.Node().Data), b.pos(it.Node().Raw.Offset)
		if !it.IsLast() {
			var err error
			if t, err = b.open(t, key, pos); err != nil {
				return err
			}
			continue
		}
		if t.entries[key] != nil {
			return &weir.Error{Code: weir.Invalid, Pos: pos, Message: fmt.Sprintf("%q is defined twice", key), Remedy: "remove one"}
		}
		v, err := b.value(e.Value(), pos)
		if err != nil {
			return err
		}
		t.keys = append(t.keys, key)
		t.entries[key] = &entry{pos, v}
	}
	return nil
}

// value copies a value out of the parser. Arrays have no position of their own: they get that of
// their key.
func (b *treeBuilder) value(n *unstable.Node, key weir.Position) (*value, error) {
	v := &value{pos: key, kind: n.Kind, text: string(n.Data)}
	if n.Kind != unstable.Array {
		v.pos = b.pos(n.Raw.Offset)
	}
	if n.Kind == unstable.InlineTable {
		v.table = newTable()
	}
	for it := n.Children(); it.Next(); {
		child := it.Node()
		if n.Kind == unstable.InlineTable {
			if err := b.keyValue(v.table, child); err != nil {
				return nil, err
			}
			continue
		}
		item, err := b.value(child, key)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	return v, nil
}
