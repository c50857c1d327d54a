package egress

// This file exists because some protocols have no words for a refusal: a connection is reset, a question
// gets a number. What the egress has to say about it takes another way to the function.

import (
	"cmp"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-run/weir/internal/record"
)

// Refusal says in words why a connection was reset or a DNS question refused.
type Refusal struct {
	Port    uint16          // the sandbox's own end of the connection; 0 for a question
	Type    dnsmessage.Type // of the question
	Name    string          // asked for: printable ASCII, as the client wrote it but for a dot at its end
	Message string          // all of it in one line
	Tried   string
	Nearest string // the rule that came nearest, "" if none
	Rule    string // FILE:LINE of that rule
	Fix     string // the smallest line that would allow it, "" if none can
}

// refusalOf puts a record in words: text, or its reason if that is "".
func refusalOf(r record.Decision, text string) *Refusal {
	return &Refusal{Message: cmp.Or(text, r.Target+" is refused: "+r.Reason),
		Tried: r.Target, Nearest: r.Nearest, Rule: r.Rule, Fix: r.Fix}
}

// tell passes a refusal on, if there is one and somebody who wants to know.
func (s *Sandbox) tell(r *Refusal) {
	if r != nil && s.told != nil {
		s.told(*r)
	}
}
