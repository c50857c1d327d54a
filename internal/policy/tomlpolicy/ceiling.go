// This file exists because a ceiling is written in the words of weir.toml, with three more: "any" for a kind of rule
// that is left open, "*" for every method, and the list of private hosts.

package tomlpolicy

import (
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/weir-run/weir/internal/policy"
)

// Ceiling is a ceiling file that was read and is valid: there is a ceiling for every function.
type Ceiling struct {
	file     *File
	writable []string // canonical patterns of what a function may write, whatever its name
}

// ParseCeiling reads the content of a ceiling file; name is for positions. Errors are as for Parse.
func ParseCeiling(name string, data []byte) (*Ceiling, error) {
	file, err := parse(name, data, true)
	if err != nil {
		return nil, err
	}
	c := &Ceiling{file: file}
	// What is wrong for some function must be known before one of that name is deployed.
	samples, err := Samples(file)
	if err != nil {
		return nil, err
	}
	for function := range samples {
		of, err := c.For(function)
		if err != nil {
			return nil, err
		}
		e, err := policy.CompileCeiling(of)
		if err != nil {
			return nil, err
		}
		c.writable = append(c.writable, e.Grants(policy.Write)...)
	}
	slices.Sort(c.writable)
	c.writable = slices.Compact(c.writable)
	return c, nil
}

// Writable gives what functions may write, of whatever name, site and time, as grants. Where they may, they can leave
// links, which another function's rule must not be led astray by. Of no ceiling (nil) it is nothing of the host.
func (c *Ceiling) Writable() []string {
	if c == nil {
		return nil
	}
	return slices.Clone(c.writable)
}

// Name gives the name of the file, "" of no ceiling (nil).
func (c *Ceiling) Name() string {
	if c == nil {
		return ""
	}
	return c.file.name
}

// For gives the ceiling of a function. What no section of the file has is as in policy.DefaultCeiling. The error is
// that of File.For.
func (c *Ceiling) For(function string) (*policy.Ceiling, error) {
	p, err := c.file.For(function)
	if err != nil {
		return nil, err
	}
	chosen, err := c.file.choose(function)
	if err != nil {
		return nil, err
	}
	standard := policy.DefaultCeiling()
	out := &policy.Ceiling{Policy: p, Private: c.file.private}
	p.Source = c.file.name
	if chosen["addons"] == nil {
		p.Addons = standard.Policy.Addons
	}
	for _, key := range packageKeys {
		kind := kinds[key] // of "http", which is not in kinds: HTTP
		switch s := chosen[key]; {
		case s == nil && slices.Contains(standard.Any, kind), s != nil && s.settings[key].any:
			out.Any = append(out.Any, kind)
		case s == nil:
			p.Rules = append(p.Rules, slices.DeleteFunc(slices.Clone(standard.Policy.Rules), func(r policy.Rule) bool { return r.Kind != kind })...)
		}
	}
	if slices.Contains(out.Any, policy.HTTP) {
		out.Any = append(out.Any, policy.WS)
	}
	return out, nil
}

// open are the keys that a ceiling may leave open: paths of the host are always named.
var open = []string{"http", "tcp", "udp", "dns", "env"}

// ceilingKey reads a key of a ceiling's section if it means something else there than in weir.toml.
func (r *reader) ceilingKey(s *section, key string, e *entry) bool {
	switch {
	case key == "runtime":
		r.bad(e.pos, "remove it", "the version of Node.js is no privilege, so a ceiling has none")
	case e.value.kind != unstable.String || e.value.text != "any" || kinds[key] == 0 && key != "http":
		return false
	case !slices.Contains(open, key):
		r.bad(e.value.pos, "name the paths", "%s can't be left open", key)
	default:
		s.settings[key] = setting{pos: e.pos, apply: func(*policy.Policy) {}, any: true}
	}
	return true
}

// rootKeys are the keys at the top of the file.
func (r *reader) rootKeys() []string {
	if r.ceiling {
		return append(slices.Clone(rootKeys), "private")
	}
	return rootKeys
}

// methods are those that "*" means in a ceiling.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

// eachMethod gives the rules that one rule of a ceiling means.
func (r *reader) eachMethod(rule policy.Rule) []policy.Rule {
	url, every := strings.CutPrefix(rule.Pattern, "* ")
	if !r.ceiling || rule.Kind != policy.HTTP || !every {
		return []policy.Rule{rule}
	}
	if rule.Budget != nil {
		r.bad(rule.Pos, "write one rule for each method", "a rule for every method has no budget: each would have its own")
	}
	var out []policy.Rule
	for _, m := range methods {
		of := rule
		of.Pattern = m + " " + url
		out = append(out, of)
	}
	return out
}
