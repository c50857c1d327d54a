// This file exists because a developer should hear of a ceiling before the first denial does: what of a policy lies
// beyond it is said when it is deployed, line by line.

package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

const ceilingRemedy = "remove it, or ask whoever looks after the ceiling"

// Cut gives a policy without the rules that lie wholly beyond a ceiling (nil: DefaultCeiling) and with its settings
// lowered, and a warning for each line that is not all granted, with its position. Rules that lie partly beyond
// stay as they are: Within keeps to the common part. The error is that of Compile or CompileCeiling.
func Cut(p *Policy, c *Ceiling) (cut *Policy, beyond []*weir.Error, err error) {
	e, err := Compile(p)
	if err != nil {
		return nil, nil, err
	}
	top, err := CompileCeiling(c)
	if err != nil {
		return nil, nil, err
	}
	out := *e.policy
	out.Rules = nil
	mine, its := NewCoverage(e), NewCoverage(top)
	for i := range e.policy.Rules {
		r := &e.policy.Rules[i]
		said, some := mine.beyond(i, its, top)
		if said != "" {
			beyond = append(beyond, warning(r.Pos, "%s %s %s", r.Kind, quote(r.Pattern), said))
		}
		if some {
			out.Rules = append(out.Rules, *r)
		}
	}
	top.lower(&out)
	beyond = append(beyond, lowered(e.policy, &out, top)...)
	slices.SortStableFunc(beyond, func(a, b *weir.Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return &out, beyond, nil
}

func warning(pos weir.Position, format string, args ...any) *weir.Error {
	return &weir.Error{Code: weir.Invalid, Pos: pos, Message: fmt.Sprintf(format, args...), Remedy: ceilingRemedy}
}

// beyond says what of rule i the ceiling top, with its rules in by, doesn't grant, "" if it grants all. some tells
// that it may grant a part.
func (c *Coverage) beyond(i int, by *Coverage, top *Engine) (said string, some bool) {
	r := &c.rules[i]
	private := ""
	if host, ok := r.leadsInside(top); ok {
		private = "names " + clip(host) + ", an address that the ceiling does not list as private, so it can't be reached"
	}
	if top.opens(r.rule.Kind) {
		return private, true
	}
	all, some, example := r.within(by, &c.effort)
	switch {
	case all && private == "":
		return r.overBudget(by), true
	case all:
		return private, true
	case !some && !c.Unsure():
		return "is beyond the organisation's ceiling, so it allows nothing", false
	case example != "":
		return "is partly beyond the organisation's ceiling; not allowed is, for example, " + example, true
	}
	return "is partly or wholly beyond the organisation's ceiling", true
}

// leadsInside tells whether a rule names an address that is plainly not public, and the ceiling doesn't list it.
func (r *covered) leadsInside(top *Engine) (host string, ok bool) {
	host = r.host.exact
	a, err := netip.ParseAddr(host)
	inside := err == nil && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) || host == "localhost"
	return host, inside && slices.ContainsFunc(r.places, func(p place) bool { return p.kind != DNS && !top.Names(host, p.port) })
}

// within tells how much of what r allows the rules of by allow: all of it, or at least some. example is a request
// that they don't, if one can be given.
func (r *covered) within(by *Coverage, effort *int) (all, some bool, example string) {
	if r.places == nil {
		all = r.coveredFile(by, by.index.nearFiles(r, effort))
		return all, all || slices.ContainsFunc(by.rules, func(o covered) bool { return r.meetsFile(&o) }), ""
	}
	all = true
	for _, p := range r.places {
		list := by.index.near(r, p, effort)
		ok, text := r.coveredPlace(p, by, list, effort)
		all, example = all && ok, cmp.Or(example, text)
		some = some || ok || slices.ContainsFunc(list, func(j int) bool { return r.meetsAt(p, &by.rules[j], effort) })
	}
	return all, some, example
}

// meetsFile tells whether two rules of the same kind, about files, programs or variables, may have one in common.
func (r *covered) meetsFile(o *covered) bool {
	return o.rule.Kind == r.rule.Kind && (r.file.in(o.file) || o.file.in(r.file))
}

// in tells whether all that f is about is what o is about.
func (f fileRule) in(o fileRule) bool { return f == o || o.deep && below(f.path, o.path) }

// meetsAt tells whether two rules may have a request at a place in common, queries aside.
func (r *covered) meetsAt(p place, o *covered, effort *int) bool {
	if !slices.Contains(o.places, p) || r.url != nil && o.apart(r) {
		return false
	}
	return r.automaton().meets(o.automaton(), effort)
}

// overBudget says that rules of by give what r allows in a smaller amount only.
func (r *covered) overBudget(by *Coverage) string {
	for i := range by.rules {
		b, mine := by.rules[i].rule.Budget, r.rule.Budget
		if b == nil || !slices.ContainsFunc(r.places, func(p place) bool { ok, _ := r.coveredPlace(p, by, []int{i}, &by.effort); return ok }) {
			continue
		}
		if mine == nil || !mine.Within(b) {
			return "may be used less than it says: the ceiling gives " + b.String()
		}
	}
	return ""
}

// lowered gives a warning for each setting that is written in p and lower in cut.
func lowered(p, cut *Policy, top *Engine) (out []*weir.Error) {
	tell := func(setting string, lower bool, to string) {
		if lower {
			out = append(out, warning(p.At(setting), "%s is beyond the organisation's ceiling; it is %s", setting, to))
		}
	}
	tell("mode", p.Mode != cut.Mode, "enforce")
	tell("addons", p.Addons != cut.Addons, "false")
	was, is := p.Limits, cut.Limits // 0 is not written
	tell("limits.timeout", was.Timeout > is.Timeout, is.Timeout.String())
	tell("limits.cpu", was.CPU > is.CPU, fmt.Sprint(is.CPU))
	for _, l := range []struct {
		name    string
		was, is int64
	}{{"memory", was.Memory, is.Memory}, {"tmp", was.Tmp, is.Tmp}, {"request", was.Request, is.Request}, {"response", was.Response, is.Response}, {"log", was.Log, is.Log}} {
		tell("limits."+l.name, l.was > l.is, Size(l.is))
	}
	tell("limits.processes", was.Processes > is.Processes, fmt.Sprint(is.Processes))
	tell("limits.files", was.Files > is.Files, fmt.Sprint(is.Files))
	tell("isolation", p.Running.Isolation == weir.PerInstance && cut.Running.Isolation == weir.PerRequest, string(weir.PerRequest))
	tell("concurrency", p.Running.Concurrency > cut.Running.Concurrency, fmt.Sprint(cut.Running.Concurrency))
	tell("keep_warm", p.Running.KeepWarm > cut.Running.KeepWarm, fmt.Sprint(cut.Running.KeepWarm))
	if p.Intrinsic && !top.opens(Env) && !top.policy.Intrinsic {
		out = append(out, warning(weir.Position{File: p.Source}, "the function sees only those of the site's variables that the organisation's ceiling names"))
	}
	return out
}
