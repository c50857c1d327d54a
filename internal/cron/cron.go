// Package cron reads schedules as crontab(5) has them, in UTC, and says when they come next. It must not know
// what is run by them, nor when: it has no clock.
package cron

// Netlify's scheduled functions are written so: five fields, or a word such as @daily.

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxLength bounds the text of a schedule, in bytes: every minute of an hour by itself fits.
const maxLength = 512

// horizon is how far ahead a time is looked for: the 29th of February may be eight years away.
const horizon = 9 * 366

// words are the schedules that have a name.
var words = map[string]string{
	"@yearly":   "0 0 1 1 *",
	"@annually": "0 0 1 1 *",
	"@monthly":  "0 0 1 * *",
	"@weekly":   "0 0 * * 0",
	"@daily":    "0 0 * * *",
	"@midnight": "0 0 * * *",
	"@hourly":   "0 * * * *",
}

// field is one of the five.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on, in lower case
}

var fields = [5]field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of the month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of the week", max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}}, // 7 is Sunday, too
}

// Schedule says when something is to be run. It is made by Parse.
type Schedule struct {
	minutes, hours, days, months, weekdays uint64 // one bit for each value
	// either tells that a day fits if the day of the month does or that of the week: neither field begins with *.
	either bool
}

// Parse reads a schedule: five fields (minute, hour, day of the month, month, day of the week) of values, names
// of months and days, lists, ranges and steps; or @hourly, @daily, @midnight, @weekly, @monthly, @yearly or
// @annually. One that never comes (the 30th of February) is an error. The error says what is wrong in one line.
func Parse(text string) (Schedule, error) {
	if len(text) > maxLength {
		return Schedule{}, fmt.Errorf("it is longer than %d bytes", maxLength)
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "@") {
		long, ok := words[strings.ToLower(text)]
		if !ok {
			return Schedule{}, fmt.Errorf("%.40q is no schedule with a name", text)
		}
		text = long
	}
	parts := strings.Fields(text)
	if len(parts) != len(fields) {
		return Schedule{}, fmt.Errorf("it has %d fields, and must have 5: minute, hour, day of the month, month, day of the week", len(parts))
	}
	var sets [5]uint64
	for i, part := range parts {
		set, err := fields[i].set(part)
		if err != nil {
			return Schedule{}, fmt.Errorf("%s: %w", fields[i].name, err)
		}
		sets[i] = set
	}
	s := Schedule{minutes: sets[0], hours: sets[1], days: sets[2], months: sets[3], weekdays: sets[4] | sets[4]>>7&1,
		either: parts[2][0] != '*' && parts[4][0] != '*'}
	if s.Next(time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("there is no such day: it never comes")
	}
	return s, nil
}

// set reads a list such as "1,5-9,20/10".
func (f *field) set(list string) (set uint64, err error) {
	for item := range strings.SplitSeq(list, ",") {
		span, step, stepped := strings.Cut(item, "/")
		low, high := f.min, f.max
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if low, err = f.value(first); err != nil {
				return 0, err
			}
			switch {
			case ranged:
				if high, err = f.value(last); err != nil {
					return 0, err
				}
			case !stepped:
				high = low
			}
		}
		by := 1
		if stepped {
			if by, err = strconv.Atoi(step); err != nil || by < 1 || by > f.max {
				return 0, fmt.Errorf("%.40q is no step from 1 to %d", step, f.max)
			}
		}
		if low > high {
			return 0, fmt.Errorf("%.40q begins after its end", span)
		}
		for v := low; v <= high; v += by {
			set |= 1 << v
		}
	}
	return set, nil
}

func (f *field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < f.min || v > f.max || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("%.40q is no value from %d to %d", text, f.min, f.max)
	}
	return v, nil
}

// Next gives the first time after a time that the schedule names, in UTC and at the beginning of a minute.
func (s Schedule) Next(after time.Time) time.Time {
	t := after.UTC().Truncate(time.Minute).Add(time.Minute)
	minute, hour := t.Minute(), t.Hour()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for range horizon {
		if s.on(day) {
			if from(s.hours, hour) != hour {
				minute = 0
			}
			m := from(s.minutes, minute)
			if m < 0 { // not in this hour
				hour, m = hour+1, from(s.minutes, 0)
			}
			if h := from(s.hours, hour); h >= 0 {
				return day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
			}
		}
		day, hour, minute = day.AddDate(0, 0, 1), 0, 0
	}
	return time.Time{}
}

// on tells whether a day fits.
func (s Schedule) on(day time.Time) bool {
	if s.months>>day.Month()&1 == 0 {
		return false
	}
	month, week := s.days>>day.Day()&1 == 1, s.weekdays>>day.Weekday()&1 == 1
	if s.either {
		return month || week
	}
	return month && week
}

// from gives the lowest value in a set that is not below low, -1 if there is none.
func from(set uint64, low int) int {
	if set >>= low; set == 0 {
		return -1
	}
	return low + bits.TrailingZeros64(set)
}
