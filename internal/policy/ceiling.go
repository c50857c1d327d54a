// This file exists because a ceiling is coarser than a policy: it may leave a whole kind of rules open, and it says
// alone which private addresses anybody may reach.

package policy

import "slices"

// Ceiling is the most that an organisation lets a function have, whatever its policy says. It grants nothing by
// itself.
type Ceiling struct {
	// Policy holds what functions may be allowed. Its limits and counts bound where they are written (see
	// Policy.Settings), its mode and isolation always: without Monitor no function may be monitored, and by
	// PerRequest every one is.
	Policy *Policy
	// Any are the kinds of which a function may be allowed everything. Policy has no rules of these.
	Any []Kind
	// Private are rules of kind TCP: hosts and ports that rules of any kind which name the host may lead to, though
	// its address be private. They are no rules of Policy.
	Private []Rule
}

// DefaultCeiling is what counts where an organisation has said nothing: everything in public, all variables, native
// libraries and /tmp; no private addresses, no files or programs of the host, no mode Monitor.
func DefaultCeiling() *Ceiling {
	return &Ceiling{
		Policy: &Policy{Addons: true, Rules: []Rule{{Kind: Write, Pattern: tmpDir + "/**"}}},
		Any:    []Kind{HTTP, WS, TCP, UDP, DNS, Env},
	}
}

// ceiling is what an Engine has of a Ceiling beyond its policy.
type ceiling struct {
	any     []Kind
	private []hostPort
}

// CompileCeiling makes a ceiling ready to be a Bound. nil is DefaultCeiling. Errors are as for Compile.
func CompileCeiling(c *Ceiling) (*Engine, error) {
	if c == nil {
		c = DefaultCeiling()
	}
	e, err := Compile(c.Policy)
	if err != nil {
		return nil, err
	}
	e.ceiling = &ceiling{any: c.Any}
	for i := range c.Private {
		h, err := parseHostPort(&c.Private[i])
		if err != nil {
			return nil, placed(err, c.Private[i].Pos)
		}
		e.ceiling.private = append(e.ceiling.private, h)
	}
	return e, nil
}

// opens tells whether the engine is a ceiling that leaves a kind of rules open.
func (e *Engine) opens(k Kind) bool { return e.ceiling != nil && slices.Contains(e.ceiling.any, k) }

func (c *ceiling) names(host string, port uint16) bool {
	return slices.ContainsFunc(c.private, func(h hostPort) bool { return h.port == port && h.host.match(host) })
}
