package jobs

// Times of scheduled functions: cron with five fields, in UTC (crontab(5)), and the names for common ones. It is read
// from the source of functions, so what can't be meant is refused: more fields, dates that never come, extensions
// that others read otherwise.

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// Cron is when a function runs.
type Cron struct {
	minutes, hours, days, months, weekdays uint64 // a bit for each value
	either                                 bool   // days and weekdays are both restricted: one of them is enough
}

var named = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

var (
	monthNames   = []string{"", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// horizon is how far apart two runs may be: 29 February, around a year 2100 without one.
const horizon = 9 // years

// ParseCron reads "MINUTE HOUR DAY MONTH WEEKDAY" or "@hourly" and its kin. Errors are weir.Invalid.
func ParseCron(text string) (Cron, error) {
	var c Cron
	expr := text
	if n, ok := named[strings.TrimSpace(text)]; ok {
		expr = n
	}
	fields := strings.Fields(expr)
	if len(fields) != 5 || len(text) > 200 {
		return c, invalidCron(text, "it has no five fields")
	}
	for i, f := range []struct {
		name       string
		bits       *uint64
		first, end int
		names      []string
	}{
		{"minute", &c.minutes, 0, 59, nil}, {"hour", &c.hours, 0, 23, nil}, {"day", &c.days, 1, 31, nil},
		{"month", &c.months, 1, 12, monthNames}, {"weekday", &c.weekdays, 0, 7, weekdayNames},
	} {
		for part := range strings.SplitSeq(fields[i], ",") {
			bits, ok := cronPart(strings.ToLower(part), f.first, f.end, f.names)
			if !ok {
				return c, invalidCron(text, "its "+f.name+" can't be read")
			}
			*f.bits |= bits
		}
	}
	c.weekdays |= c.weekdays >> 7 // 7 is Sunday, as 0 is
	c.either = !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*")
	if c.Next(time.Unix(0, 0)).IsZero() {
		return c, invalidCron(text, "there is no such day")
	}
	return c, nil
}

func invalidCron(text, why string) error {
	return &weir.Error{Code: weir.Invalid, Message: fmt.Sprintf("the schedule %q can't be: %s", weir.Cut(weir.Printable(text), 100), why),
		Remedy: `write five fields, MINUTE HOUR DAY MONTH WEEKDAY, as in "30 4 * * 1-5", or @hourly, @daily, @weekly, @monthly or @yearly`}
}

// cronPart reads one of "*", "N", "N-M", and these with "/STEP".
func cronPart(part string, first, end int, names []string) (bits uint64, ok bool) {
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		if step, ok = cronNumber(stepText, 1, end, nil); !ok {
			return 0, false
		}
	}
	from, to := first, end
	if span != "*" {
		low, high, ranged := strings.Cut(span, "-")
		if from, ok = cronNumber(low, first, end, names); !ok {
			return 0, false
		}
		switch {
		case ranged:
			if to, ok = cronNumber(high, from, end, names); !ok {
				return 0, false
			}
		case !stepped:
			to = from
		}
	}
	for n := from; n <= to; n += step {
		bits |= 1 << n
	}
	return bits, true
}

func cronNumber(text string, least, most int, names []string) (int, bool) {
	for n, name := range names {
		if name != "" && text == name {
			return n, n >= least && n <= most
		}
	}
	if text == "" || len(text) > 2 || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= least && n <= most
}

// Next gives the first time after a time, zero if there is none for years.
func (c Cron) Next(after time.Time) time.Time {
	t := after.UTC().Truncate(time.Minute).Add(time.Minute)
	for end := t.AddDate(horizon, 0, 0); t.Before(end); {
		y, m, d := t.Date()
		switch {
		case c.months>>m&1 == 0:
			t = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.day(t):
			t = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		case c.hours>>t.Hour()&1 == 0:
			t = time.Date(y, m, d, t.Hour()+1, 0, 0, 0, time.UTC)
		case c.minutes>>t.Minute()&1 == 0:
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

func (c Cron) day(t time.Time) bool {
	day, weekday := c.days>>t.Day()&1 == 1, c.weekdays>>int(t.Weekday())&1 == 1
	if c.either {
		return day || weekday
	}
	return day && weekday
}
