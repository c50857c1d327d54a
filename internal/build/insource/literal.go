package insource

// Values that stand in a source as they are. Everything is bounded: constants that are made of each other
// could else be as long as an author likes, and never end.

import (
	"slices"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"

	"github.com/weir-run/weir/internal/weir"
)

const (
	maxDepth = 32      // of constants in constants
	maxSteps = 10_000  // of all that is read for one config
	maxText  = 4 << 10 // bytes of one text
)

type reader struct {
	*module
	steps int
}

// object is an object whose members are not read yet.
type object struct {
	names   []string
	members map[string]ast.Expression
}

// text is a text and where it stands.
type text struct {
	value string
	at    weir.Position
}

func (r *reader) pos(e ast.Expression) weir.Position { return r.module.pos(e.Idx0()) }

func (r *reader) unreadable(e ast.Expression, what string) error {
	return invalid(r.pos(e), "%s can't be read without running the function", what).
		with("write it as a literal, or as a constant of the same file that is one")
}

// config gives the object of the export config or, if there is none, of the default export's member of that
// name; nil if there is neither.
func (r *reader) config() (*object, error) {
	const what = "config"
	name, exported := r.exports["config"]
	if exported {
		e := r.value(name)
		if e == nil {
			return nil, invalid(r.posOf(name), "the exported config can't be read without running the function").
				with("write export const config = { … } in the function's own file")
		}
		return r.object(e, what, 0)
	}
	e := r.resolve(r.value(r.exports["default"]), 0)
	if _, ok := e.(*ast.ObjectLiteral); !ok {
		return nil, nil // a function
	}
	o, err := r.object(e, "the default export", 0)
	if err != nil || o.members[what] == nil {
		return nil, err
	}
	return r.object(o.members[what], what, 0)
}

// resolve follows names to what they are declared to be.
func (r *reader) resolve(e ast.Expression, depth int) ast.Expression {
	for ; depth < maxDepth; depth++ {
		id, ok := e.(*ast.Identifier)
		if !ok {
			return e
		}
		next := r.value(id.Name.String())
		if next == nil {
			return e
		}
		e = next
	}
	return e
}

// object reads which members an object has.
func (r *reader) object(e ast.Expression, what string, depth int) (*object, error) {
	literal, ok := r.resolve(e, depth).(*ast.ObjectLiteral)
	if r.steps++; !ok || depth > maxDepth || r.steps > maxSteps {
		return nil, r.unreadable(e, what)
	}
	o := &object{members: map[string]ast.Expression{}}
	set := func(name string, e ast.Expression) {
		if o.members[name] == nil {
			o.names = append(o.names, name)
		}
		o.members[name] = e
	}
	for _, property := range literal.Value {
		r.steps++
		switch p := property.(type) {
		case *ast.PropertyKeyed:
			key, ok := p.Key.(*ast.StringLiteral)
			if p.Computed || !ok {
				return nil, r.unreadable(e, "the name of a member of "+what)
			}
			set(key.Value.String(), p.Value)
		case *ast.PropertyShort:
			set(p.Name.Name.String(), &p.Name)
		case *ast.SpreadElement:
			all, err := r.object(p.Expression, what, depth+1)
			if err != nil {
				return nil, err
			}
			for _, name := range all.names {
				set(name, all.members[name])
			}
		}
	}
	return o, nil
}

// texts reads a member that is a text or a list of them; none if it is not there.
func (r *reader) texts(o *object, name string) ([]text, error) {
	e, ok := o.members[name]
	if !ok || isUndefined(r.resolve(e, 0)) {
		return nil, nil
	}
	what := "config." + name
	list := []ast.Expression{e}
	if a, ok := r.resolve(e, 0).(*ast.ArrayLiteral); ok {
		list = a.Value
	}
	var out []text
	for _, item := range list {
		if item == nil || r.steps > maxSteps {
			return nil, r.unreadable(e, what)
		}
		value, err := r.text(item, what, 0)
		if err != nil {
			return nil, err
		}
		out = append(out, text{value, r.pos(item)})
	}
	return out, nil
}

// text reads a text: a literal, or several that are put together.
func (r *reader) text(e ast.Expression, what string, depth int) (string, error) {
	value, ok := "", false
	var parts []ast.Expression
	switch t := r.resolve(e, depth).(type) {
	case *ast.StringLiteral:
		value, ok = t.Value.String(), true
	case *ast.BinaryExpression:
		parts, ok = []ast.Expression{t.Left, t.Right}, t.Operator == token.PLUS
	case *ast.CallExpression: // what esbuild makes of `…${…}`
		if dot, is := t.Callee.(*ast.DotExpression); is && dot.Identifier.Name == "concat" {
			parts, ok = append([]ast.Expression{dot.Left}, t.ArgumentList...), true
		}
	case *ast.NumberLiteral, *ast.BooleanLiteral, *ast.NullLiteral, *ast.ObjectLiteral:
		return "", invalid(r.pos(e), "%s must be a text, or a list of texts", what).with("write it in quotes")
	}
	if r.steps++; depth > maxDepth || r.steps > maxSteps || !ok {
		return "", r.unreadable(e, what)
	}
	for _, part := range parts {
		more, err := r.text(part, what, depth+1)
		if err != nil {
			return "", err
		}
		value += more
	}
	if len(value) > maxText {
		return "", invalid(r.pos(e), "%s is longer than %d bytes", what, maxText).with("shorten it")
	}
	return value, nil
}

// flag reads a member that is true or false; false if it is not there. Minifiers write !0 and !1.
func (r *reader) flag(o *object, name string) (bool, error) {
	e, ok := o.members[name]
	if !ok {
		return false, nil
	}
	switch t := r.resolve(e, 0).(type) {
	case *ast.BooleanLiteral:
		return t.Value, nil
	case *ast.UnaryExpression:
		if n, ok := t.Operand.(*ast.NumberLiteral); ok && t.Operator == token.NOT {
			return slices.Contains([]any{int64(0), float64(0)}, n.Value), nil
		}
	}
	if isUndefined(r.resolve(e, 0)) {
		return false, nil
	}
	return false, r.unreadable(e, "config."+name)
}

// whole reads a member that is a whole number; 0 if it is not there.
func (r *reader) whole(o *object, name string) (int, error) {
	e, ok := o.members[name]
	if !ok {
		return 0, nil
	}
	if n, ok := r.resolve(e, 0).(*ast.NumberLiteral); ok {
		switch v := n.Value.(type) {
		case int64:
			return int(v), nil
		case float64: // as minifiers write it: 1e3
			if v == float64(int32(v)) {
				return int(v), nil
			}
		}
	}
	return 0, invalid(r.pos(e), "%s is not a whole number that can be read without running the function", name).with("write it as a literal")
}

// isUndefined tells whether an expression is undefined, also as minifiers write it.
func isUndefined(e ast.Expression) bool {
	switch t := e.(type) {
	case *ast.Identifier:
		return t.Name == "undefined"
	case *ast.UnaryExpression:
		return t.Operator == token.VOID
	}
	return false
}
