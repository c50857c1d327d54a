// This file exists because a rule may be bounded in amount, so that what is allowed in small can't be
// abused in bulk.

package policy

import "strconv"

// String gives the budget in words: "10 calls, 65536 bytes per invocation".
func (b *Budget) String() string {
	s := ""
	if b.MaxCalls > 0 {
		s = strconv.Itoa(b.MaxCalls) + " calls"
	}
	if b.MaxBytes > 0 {
		if s != "" {
			s += ", "
		}
		s += strconv.FormatInt(b.MaxBytes, 10) + " bytes"
	}
	return s + " per " + b.Per.String()
}

func checkBudget(r *Rule) error {
	b := r.Budget
	switch {
	case b == nil:
		return nil
	case r.Kind != HTTP && r.Kind != WS:
		return invalid("remove it", "only http rules have a budget")
	case b.MaxCalls < 0 || b.MaxBytes < 0 || b.MaxCalls == 0 && b.MaxBytes == 0:
		return invalid("write a number of calls or bytes, or remove the rule", "a budget is more than nothing")
	case b.Per > PerMinute:
		return invalid("", "a budget is per invocation or per minute")
	}
	return nil
}
