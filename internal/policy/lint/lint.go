// Package lint looks at policies that are valid and says what in them is wider than its author likely
// meant, and what has no effect. It only advises: what it says nothing about is not thereby safe. It
// must not know where policies come from, and it asks neither the network nor the disk.
package lint

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// The lints, by the ids that they are known by. Ids never change their meaning.
const (
	NoFunction = "no-function"    // a section is about no function
	Shadowed   = "shadowed"       // a rule allows nothing that others don't
	TooMany    = "too-many"       // the rules are too many to find all that have no effect
	NoBudget   = "no-budget"      // a budget never counts, because an earlier rule allows the same without one
	Monitor    = "monitor"        // nothing is denied
	AnyScheme  = "any-scheme"     // *:// also allows plain http
	PlainHTTP  = "plain-http"     // http:// or ws:// to a public host
	WideHost   = "wide-host"      // a wildcard for names that anyone can register
	WholeHost  = "whole-host"     // ** right after the host
	Rented     = "rented-host"    // anyone can have a corner of the host
	RawAddress = "raw-address"    // an IP address instead of a name
	Metadata   = "metadata"       // the cloud's metadata service
	BlindTCP   = "blind-tcp"      // tcp on a port of HTTP
	WideDNS    = "wide-dns"       // a dns rule with a wildcard
	Shell      = "shell"          // exec of a shell, an interpreter or a program that fetches or starts others
	WideRead   = "wide-read"      // reading of wide or secret-laden places
	WriteOut   = "write-beyond"   // writing outside of /tmp
	Unused     = "unused"         // no record shows that the rule was needed
	HeldLess   = "held-less"      // a bootstrap file of Intrinsic's says more than is held
	Beyond     = "beyond-ceiling" // the organisation's ceiling does not grant all of it
)

// Finding is one piece of advice.
type Finding struct {
	ID        string        `json:"id"`
	Pos       weir.Position `json:"-"`
	Place     string        `json:"place,omitempty"` // Pos as text
	Functions []string      `json:"functions,omitempty"`
	Rule      string        `json:"rule,omitempty"` // as written; "" if it is about no rule
	Text      string        `json:"text"`
	Remedy    string        `json:"remedy,omitempty"`
}

// String gives the finding as one line without its place.
func (f Finding) String() string {
	s := f.Text
	if f.Rule != "" {
		s = fmt.Sprintf("%q %s", f.Rule, f.Text)
	}
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s + " [" + f.ID + "]"
}

// Findings gathers advice; one that is the same for several functions is told once.
type Findings struct {
	list []Finding
	told map[advice]int // index in list
}

// advice is what findings that are told once have in common.
type advice struct {
	id, text, rule string
	pos            weir.Position
}

// Policy looks at the policy of one function.
func (fs *Findings) Policy(e *policy.Engine) {
	p := e.Policy()
	if p.Mode == policy.Monitor {
		remedy := `write mode = "enforce" once the records show nothing unexpected`
		if p.Intrinsic { // enforce in weir.toml would not undo it
			remedy = `once the records show nothing unexpected, remove .enableMonitorMode(), or where weir.toml says so, its mode = "monitor"`
		}
		fs.add(p, Finding{ID: Monitor, Pos: p.At("mode"), Text: "the mode is monitor: whatever is tried is recorded and let through", Remedy: remedy})
	}
	for i := range p.Rules {
		for _, f := range about(&p.Rules[i]) {
			fs.rule(p, i, f)
		}
	}
	fs.shadows(e)
}

// Sections takes the warnings about sections that are about no function.
func (fs *Findings) Sections(unmatched []*weir.Error) {
	for _, w := range unmatched {
		fs.list = append(fs.list, Finding{ID: NoFunction, Pos: w.Pos, Text: w.Message, Remedy: w.Remedy})
	}
}

// HeldLess takes the warnings of the bootstrap file that a policy is from.
func (fs *Findings) HeldLess(p *policy.Policy, warnings []*weir.Error) {
	fs.warned(HeldLess, p, warnings)
}

// Beyond takes what a ceiling does not grant of a policy (policy.Cut).
func (fs *Findings) Beyond(p *policy.Policy, beyond []*weir.Error) { fs.warned(Beyond, p, beyond) }

func (fs *Findings) warned(id string, p *policy.Policy, warnings []*weir.Error) {
	for _, w := range warnings {
		fs.add(p, Finding{ID: id, Pos: w.Pos, Text: w.Message, Remedy: w.Remedy})
	}
}

// rule adds a finding about rule i.
func (fs *Findings) rule(p *policy.Policy, i int, f Finding) {
	f.Pos, f.Rule = p.Rules[i].Pos, p.Rules[i].Pattern
	fs.add(p, f)
}

func (fs *Findings) add(p *policy.Policy, f Finding) {
	key := advice{f.ID, f.Text, f.Rule, f.Pos}
	if i, told := fs.told[key]; told {
		fs.list[i].Functions = append(fs.list[i].Functions, p.Function)
		return
	}
	if fs.told == nil {
		fs.told = map[advice]int{}
	}
	fs.told[key] = len(fs.list)
	f.Functions = []string{p.Function}
	fs.list = append(fs.list, f)
}

// List gives the findings by their places.
func (fs *Findings) List() []Finding {
	out := slices.Clone(fs.list)
	for i := range out {
		out[i].Place = out[i].Pos.String()
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// about gives what is to be said of one rule by itself.
func about(r *policy.Rule) []Finding {
	switch r.Kind {
	case policy.HTTP, policy.WS:
		return aboutURL(r)
	case policy.TCP, policy.UDP:
		return aboutEndpoint(r)
	case policy.DNS:
		return aboutDNS(r)
	case policy.Read:
		return aboutRead(r)
	case policy.Write:
		return aboutWrite(r)
	case policy.Exec:
		return aboutExec(r)
	}
	return nil
}
