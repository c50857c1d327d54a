// Package ask answers a question that a person has about a policy, as "POST https://api.example.com/v1"
// or "tcp db.internal:5432", in the words of a denial. It decides as the egress does, but asks nobody
// outside: where a name leads is not known here.
package ask

import (
	"errors"
	"strconv"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

// The decisions.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Answer is the answer to one question. All texts are one line of printable ASCII.
type Answer struct {
	Decision string `json:"decision"`       // Allow or Deny
	Mode     string `json:"mode,omitempty"` // "monitor": what is denied is recorded and let through
	Function string `json:"function"`
	Request  string `json:"request"` // what was asked for, in canonical form, without the query of a URL
	Reason   string `json:"reason,omitempty"`
	Nearest  string `json:"nearest,omitempty"` // the rule that allows it, or that comes nearest, as written
	Rule     string `json:"rule,omitempty"`    // where that rule stands, FILE:LINE
	Fix      string `json:"fix,omitempty"`     // the smallest line that would allow it; "" if none can
	Place    string `json:"place,omitempty"`   // where the fix belongs
}

// Ask answers a question (see Parse) about the policy of an engine. What can be read in two ways is
// denied whatever the policy says. The error is a *weir.Error: the question can't be understood.
func Ask(e *policy.Engine, question string) (Answer, error) {
	p := e.Policy()
	a := Answer{Decision: Deny, Function: p.Function, Request: clip(question)}
	r, err := Parse(question)
	var bad *policy.Ambiguous
	if errors.As(err, &bad) {
		a.Reason = bad.Reason + "; that is refused whatever the policy says"
		return a, nil
	}
	if err != nil {
		return a, err
	}
	if p.Mode == policy.Monitor {
		a.Mode = "monitor"
	}
	a.take(e, &r)
	return a, nil
}

func (a *Answer) take(e *policy.Engine, r *policy.Request) {
	d := e.Decide(r)
	x := e.Explain(r, d)
	a.Request, a.Reason, a.Nearest, a.Rule, a.Fix = x.Tried, x.Reason, x.Nearest, x.Rule, x.Fix
	if d.Allow {
		a.Decision, a.Reason = Allow, ""
		return
	}
	switch r.Kind {
	case policy.HTTP, policy.WS:
		a.takeSpliced(e, r)
	case policy.TCP:
		if e.Service(r.Host, r.Port) == policy.HTTPService {
			a.Reason, a.Fix = "an http rule names this host and port, so only the requests of http rules pass there", ""
		}
	case policy.UDP:
		if r.Port == 53 {
			a.Reason, a.Fix = "port 53 is DNS, which is answered inside, and no rule can allow it", ""
		}
	case policy.Env:
		a.takeVariable(e, r)
	}
	if a.Fix != "" {
		a.Place = x.Place
	}
}

// takeSpliced knows that what a tcp rule names is carried as it is, whatever is spoken there.
func (a *Answer) takeSpliced(e *policy.Engine, r *policy.Request) {
	tcp, err := policy.NewTCP(r.URL.Host, r.URL.Port)
	if err != nil {
		return
	}
	if d := e.Decide(&tcp); d.Allow {
		x := e.Explain(&tcp, d)
		a.Decision, a.Reason = Allow, "a tcp rule names this host and port, so everything passes there as it is"
		a.Nearest, a.Rule, a.Fix = x.Nearest, x.Rule, ""
	}
}

func (a *Answer) takeVariable(e *policy.Engine, r *policy.Request) {
	var reserved *weir.Error
	if err := policy.Check(policy.Rule{Kind: policy.Env, Pattern: r.Path}); errors.As(err, &reserved) {
		a.Reason = reserved.Message
		return
	}
	if _, all := e.Variables(); all {
		a.Decision, a.Fix = Allow, ""
		a.Reason = "Intrinsic has no rules for variables, so the function sees all of the site's"
	}
}

// clip makes a question fit for a message.
func clip(s string) string {
	const longest = 400
	cut := ""
	if len(s) > longest {
		s, cut = s[:longest], "..."
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1:len(quoted)-1] + cut
}

// String gives the answer as one line.
func (a Answer) String() string {
	s := a.Request + " is allowed"
	if a.Decision == Deny {
		s = a.Request + " is not allowed"
		if a.Mode != "" {
			s = a.Request + " would not be allowed, but passes in monitor mode"
		}
	}
	if a.Nearest != "" && a.Decision == Allow {
		s += " by " + a.Nearest + at(a.Rule)
	}
	if a.Reason != "" {
		s += ": " + a.Reason
	}
	if a.Nearest != "" && a.Decision == Deny {
		s += "; the nearest rule is " + a.Nearest + at(a.Rule)
	}
	if a.Fix != "" {
		s += "; to allow it, add to " + a.Place + ": " + a.Fix
	}
	return s
}

func at(pos string) string {
	if pos == "" {
		return ""
	}
	return " (" + strings.TrimSpace(pos) + ")"
}
