// This file exists because a rule may be bounded in amount, so that what is allowed in small can't be
// abused in bulk.

package policy

import "strconv"

// Size gives a number of bytes as weir.toml writes it, in the largest unit of which it is a whole
// number: "64KB". Units are powers of 1024.
func Size(n int64) string {
	const units = "KMG"
	unit := "B"
	for i := 0; i < len(units) && n > 0 && n%1024 == 0; i++ {
		n, unit = n/1024, units[i:i+1]+"B"
	}
	return strconv.FormatInt(n, 10) + unit
}

// String gives the budget in words: "10 calls, 64KB per invocation".
func (b *Budget) String() string {
	s := ""
	if b.MaxCalls > 0 {
		s = strconv.Itoa(b.MaxCalls) + " calls"
	}
	if b.MaxBytes > 0 {
		if s != "" {
			s += ", "
		}
		s += Size(b.MaxBytes)
	}
	return s + " per " + b.Per.String()
}

// Within tells whether b gives no more than o.
func (b *Budget) Within(o *Budget) bool {
	return b.Per == o.Per && (o.MaxCalls == 0 || b.MaxCalls != 0 && b.MaxCalls <= o.MaxCalls) &&
		(o.MaxBytes == 0 || b.MaxBytes != 0 && b.MaxBytes <= o.MaxBytes)
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
