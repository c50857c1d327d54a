// Package expect holds policies against what is expected of them: requests that must be allowed and
// requests that must not. It must not know where policies come from.
package expect

import (
	"errors"
	"fmt"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/ask"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/weir"
)

// FileName is the name of the file of expectations beside weir.toml.
const FileName = "weir.test.toml"

// Outcome is what became of one expectation for one function.
type Outcome struct {
	OK       bool          `json:"ok"`
	Place    string        `json:"place"`    // of the expectation
	Expected string        `json:"expected"` // ask.Allow or ask.Deny
	Pos      weir.Position `json:"-"`
	ask.Answer
}

// Run asks every function that an expectation is about. Each error is a *weir.Error at the position of
// an expectation that can't be understood, or is about no function; several are joined.
func Run(expectations []tomlpolicy.Expectation, functions []*policy.Engine) ([]Outcome, error) {
	var out []Outcome
	var faults []error
	for _, x := range expectations {
		asked := 0
		for _, e := range functions {
			if !x.About(e.Policy().Function) {
				continue
			}
			asked++
			answer, err := ask.Ask(e, x.Question)
			if err != nil {
				faults = append(faults, placed(err, x.Pos))
				break // it is as unclear to the others
			}
			o := Outcome{Place: x.Pos.String(), Pos: x.Pos, Expected: ask.Deny, Answer: answer}
			if x.Allow {
				o.Expected = ask.Allow
			}
			o.OK = answer.Decision == o.Expected
			out = append(out, o)
		}
		if asked == 0 {
			faults = append(faults, &weir.Error{Code: weir.Invalid, Pos: x.Pos, Message: fmt.Sprintf("[functions.%s] is about no function of this site", x.Section),
				Remedy: "correct the name, or remove the section"})
		}
	}
	return out, errors.Join(faults...)
}

func placed(err error, pos weir.Position) error {
	var e *weir.Error
	if errors.As(err, &e) {
		e.Pos = pos
	}
	return err
}
