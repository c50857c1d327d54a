package api

// Variables, in the shapes of Netlify's API. The values of secrets are told to nobody, and those of others only to
// whoever may set them.

import (
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/weir"
)

func (c *call) variables() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	all, err := c.Environ.List(c.r.Context(), c.site.ID)
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	scope := strings.ReplaceAll(q.Get("scope"), "-", "_")
	out := []wire.Variable{}
	for _, v := range all {
		w := c.wireVariable(v)
		if context := q.Get("context_name"); context != "" {
			w.Values = slices.DeleteFunc(w.Values, func(v wire.Value) bool { return v.Context != "all" && v.Context != context && v.Parameter != context })
		}
		if len(w.Values) > 0 && (scope == "" || scope == "any" || slices.Contains(w.Scopes, scope)) {
			out = append(out, w)
		}
	}
	return out, nil
}

func (c *call) variable() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	v, err := c.Environ.Get(c.r.Context(), c.site.ID, c.r.PathValue("key"))
	if err != nil {
		return nil, err
	}
	return c.wireVariable(v), nil
}

func (c *call) createVariables() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	var in []wire.Variable
	if err := c.decode(&in, maxVariables, false); err != nil {
		return nil, err
	}
	out := []wire.Variable{}
	var left []string // secrets without their values, as they are told: netlify env:clone sends them
	for _, w := range in {
		v, err := c.setVariable(w)
		valueless := w.Secret && !slices.ContainsFunc(w.Values, func(v wire.Value) bool { return v.Value != "" })
		switch {
		case valueless && weir.ErrorCode(err) == weir.Invalid:
			left = append(left, printable(w.Key))
		case err != nil:
			return nil, err
		default:
			out = append(out, v)
		}
	}
	if len(left) > 0 {
		return nil, &weir.Error{Code: weir.Invalid, Message: "all were set but the secrets " + strings.Join(left, ", ") + ", which came without a value, as none is told",
			Remedy: "set these by hand"}
	}
	return out, nil
}

func (c *call) updateVariable() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	var in wire.Variable
	if err := c.decode(&in, maxBody, false); err != nil {
		return nil, err
	}
	in.Key = c.r.PathValue("key")
	return c.setVariable(in)
}

func (c *call) setVariable(in wire.Variable) (wire.Variable, error) {
	v := environ.Variable{Site: c.site.ID, Key: in.Key, Secret: in.Secret, Scopes: scopesOf(in.Scopes)}
	for _, w := range in.Values {
		if w.Context == devServer {
			continue
		}
		v.Values = append(v.Values, value(w))
	}
	if err := c.Environ.Set(c.r.Context(), c.setter(), v); err != nil {
		return wire.Variable{}, err
	}
	v, err := c.Environ.Get(c.r.Context(), c.site.ID, in.Key)
	return c.wireVariable(v), err
}

// devServer is a context of Netlify's for its own development servers, which Weir has none of: netlify env:set names
// it among all contexts, and its values are left out.
const devServer = "dev-server"

func (c *call) setValue() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	var in wire.Value
	if err := c.decode(&in, maxBody, false); err != nil {
		return nil, err
	}
	key := c.r.PathValue("key")
	if in.Context != devServer {
		if err := c.Environ.SetValue(c.r.Context(), c.setter(), c.site.ID, key, value(in)); err != nil {
			return nil, err
		}
	}
	v, err := c.Environ.Get(c.r.Context(), c.site.ID, key)
	if err != nil {
		return nil, err
	}
	return c.wireVariable(v), nil
}

func (c *call) deleteVariable() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	return nil, c.Environ.Delete(c.r.Context(), c.setter(), c.site.ID, c.r.PathValue("key"))
}

// deleteValue removes the value with an id that wireVariable has given.
func (c *call) deleteValue() (any, error) {
	if err := c.checkAccount(); err != nil {
		return nil, err
	}
	v := value(wire.Value{Context: c.r.PathValue("id")})
	if branch, ok := strings.CutPrefix(v.Context, branchPrefix); ok {
		v = environ.Value{Context: environ.Branch, Branch: branch}
	}
	return nil, c.Environ.DeleteValue(c.r.Context(), c.setter(), c.site.ID, c.r.PathValue("key"), v)
}

func (c *call) rotate() (any, error) {
	n, err := c.Environ.Rotate(c.r.Context(), c.setter())
	return wire.Rotated{Sealed: n}, err
}

func (c *call) setDeployVariables(in []wire.DeployVariable) error {
	var vars []environ.Variable
	for _, v := range in {
		vars = append(vars, environ.Variable{Site: c.site.ID, Key: v.Key, Secret: v.Secret, Scopes: scopesOf(v.Scopes), Values: []environ.Value{{Context: "all", Value: v.Value}}})
	}
	return c.Environ.SetDeployVariables(c.r.Context(), c.setter(), c.deploy.ID, vars)
}

// branchPrefix is what the id of a value begins with that is for one branch.
const branchPrefix = environ.Branch + ":"

func value(w wire.Value) environ.Value {
	return environ.Value{Context: w.Context, Branch: w.Parameter, Value: w.Value}
}

// scopesOf writes scopes as Weir does; none means all.
func scopesOf(scopes []string) []string {
	var out []string
	for _, s := range scopes {
		out = append(out, strings.ReplaceAll(s, "-", "_"))
	}
	return out
}

// wireVariable is a variable as it is told. netlify-cli takes the first value that fits: the most specific comes first.
func (c *call) wireVariable(v environ.Variable) wire.Variable {
	out := wire.Variable{Key: v.Key, Scopes: v.Scopes, Secret: v.Secret, UpdatedAt: v.Updated, Values: []wire.Value{}}
	if v.Author != "" {
		u := c.wireUser(v.Author, v.Author)
		out.UpdatedBy = &u
	}
	for _, x := range v.Values {
		w := wire.Value{ID: x.Context, Context: x.Context, Parameter: x.Branch, Value: x.Value}
		if x.Branch != "" {
			w.ID = branchPrefix + x.Branch
		}
		if v.Secret || !c.who.May(access.ReadValues, c.site.ID) {
			w.Value = ""
		}
		out.Values = append(out.Values, w)
	}
	return out
}

func (c *call) setter() environ.Author { return environ.Author{Name: c.who.Name, From: c.who.From} }
