// This file exists because a function's policy is not the last word on a server: what the organisation
// lets anybody have, and what was approved before, bound it, each a policy of its own.

package policy

import (
	"cmp"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

// Bound is a policy beyond which another can't go. Both are asked: patterns of URLs have no common part
// that could be written as one.
type Bound struct {
	Engine *Engine
	Name   string // for denials: "the organisation's ceiling"
	Remedy string // whom to ask: "ask who may change it"
}

// Within gives an engine that allows what e and all bounds allow, and no more:
//
//   - Decide, Names and NamesUDP say yes if all do; a host and port that is http here and tcp there is denied.
//   - Grants and Globs are what all grant; a glob stays if a bound has it, too, or grants all of its directory.
//   - Policy has the mode Monitor if all have, native libraries if all have them, the smallest limits, and
//     isolation by request if one has it. Its rules are those of e.
//
// How a host is treated, which ports are captured and which names are known (Service, Hosts, Ports and so on) stay
// those of e, so that a denial can say what was tried. e and the bounds stay as they are.
func (e *Engine) Within(bounds ...Bound) *Engine {
	out := *e
	out.bounds = slices.Clone(e.bounds)
	p := *e.Policy()
	for _, b := range bounds {
		out.bounds = append(out.bounds, b)
		out.bounds = append(out.bounds, b.Engine.bounds...) // their budgets count, too
		b.Engine.lower(&p)
	}
	out.bounded, out.held = &p, map[Kind]held{}
	for k := Read; k <= Exec; k++ {
		h := held{e.own(k), e.ownGlobs(k)}
		for _, b := range out.bounds {
			if !b.Engine.opens(k) {
				h = h.within(held{b.Engine.own(k), b.Engine.ownGlobs(k)})
			}
		}
		out.held[k] = h
	}
	return &out
}

// lower lowers the settings of a policy to those of the engine's.
func (e *Engine) lower(p *Policy) {
	by := e.Policy()
	if by.Mode != Monitor {
		p.Mode = Enforce
	}
	p.Addons = p.Addons && by.Addons
	p.Limits = lowest(p.Limits.WithDefaults(), e.limits())
	p.Running = narrower(p.Running, e.running())
}

// limits gives the limits of the policy, those of a ceiling as they are written: 0 for none.
func (e *Engine) limits() weir.Limits {
	if e.ceiling != nil {
		return e.policy.Limits
	}
	return e.Policy().Limits.WithDefaults()
}

// unlimited is more than any policy can have of a count.
const unlimited = int(^uint(0) >> 1)

// running gives how instances run by the policy, with unlimited for a count that a ceiling leaves open.
func (e *Engine) running() weir.Running {
	r := e.Policy().Running
	if e.ceiling == nil {
		r.Concurrency = max(r.Concurrency, 1)
		return r
	}
	r.Concurrency = cmp.Or(r.Concurrency, unlimited)
	if _, written := e.policy.Settings["keep_warm"]; !written {
		r.KeepWarm = unlimited
	}
	return r
}

// lowest gives the lower of each two limits. 0 in b is none.
func lowest(a, b weir.Limits) weir.Limits {
	return weir.Limits{
		Timeout:   lower(a.Timeout, b.Timeout),
		Memory:    lower(a.Memory, b.Memory),
		CPU:       lower(a.CPU, b.CPU),
		Tmp:       lower(a.Tmp, b.Tmp),
		Processes: lower(a.Processes, b.Processes),
		Files:     lower(a.Files, b.Files),
		Request:   lower(a.Request, b.Request),
		Response:  lower(a.Response, b.Response),
		Log:       lower(a.Log, b.Log),
	}
}

func lower[T cmp.Ordered](a, b T) T {
	var none T
	if b == none {
		return a
	}
	return min(a, b)
}

// narrower gives how instances run if both a and b are to hold. The version of Node.js is that of a: it is no
// privilege.
func narrower(a, b weir.Running) weir.Running {
	if b.Isolation == weir.PerRequest {
		a.Isolation = weir.PerRequest
	}
	a.Concurrency = min(max(a.Concurrency, 1), b.Concurrency)
	a.KeepWarm = min(a.KeepWarm, b.KeepWarm)
	return a
}

// bound lets the bounds have their say about a decision of the policy.
func (e *Engine) bound(r *Request, d Decision) Decision {
	for i := range e.bounds {
		if e.bounds[i].Engine.bears(r) {
			continue
		}
		if d.Allow {
			return Decision{Rule: -1, Nearest: d.Rule, Reason: OutOfBounds, Bound: i + 1}
		}
		d.Bound = i + 1
		return d
	}
	return d
}

// bears tells whether the engine, as a bound, allows r.
func (e *Engine) bears(r *Request) bool {
	return e.Decide(r).Allow || r.Kind == Env && e.policy.Intrinsic // that language has no rules for variables
}

// Charge is a budget that an allowed request takes from: that of the rule by which the policy or a bound
// allows it. Bound and Rule tell it from the others of the same engine; Bound is as in Decision.
type Charge struct {
	Bound, Rule int
	Budget      *Budget
}

// Charges gives the budgets that a request takes from which d allows. It must have room in all of them.
func (e *Engine) Charges(r *Request, d Decision) []Charge {
	if !d.Allow {
		return nil
	}
	out := e.charge(nil, 0, d)
	for i := range e.bounds {
		b := e.bounds[i].Engine
		out = b.charge(out, i+1, b.decide(r))
	}
	return out
}

func (e *Engine) charge(to []Charge, bound int, d Decision) []Charge {
	if d.Rule < 0 || e.policy.Rules[d.Rule].Budget == nil {
		return to
	}
	return append(to, Charge{bound, d.Rule, e.policy.Rules[d.Rule].Budget})
}

// Variables gives the variables that the function may see, in the order of the policy; all tells that it sees
// all of the site's: Intrinsic has no rules for variables, and a ceiling may leave them open.
func (e *Engine) Variables() (names []string, all bool) {
	names, all = e.own(Env), e.policy.Intrinsic || e.opens(Env)
	for i := range e.bounds {
		its, open := e.bounds[i].Engine.Variables()
		switch {
		case open:
		case all:
			names, all = its, false
		default:
			set := setOf(its)
			names = slices.DeleteFunc(names, func(n string) bool { return !set[n] })
		}
	}
	return names, all
}
