package cron

import (
	"strings"
	"testing"
	"time"
)

// at is a Wednesday.
var at = time.Date(2025, time.January, 15, 10, 30, 20, 0, time.UTC)

func TestNext(t *testing.T) {
	for text, want := range map[string]string{
		"* * * * *":           "2025-01-15T10:31:00Z",
		"30 10 * * *":         "2025-01-16T10:30:00Z",
		"31 10 * * *":         "2025-01-15T10:31:00Z",
		"0 10 * * *":          "2025-01-16T10:00:00Z",
		"0 11 * * *":          "2025-01-15T11:00:00Z",
		"5,10 10,12 * * *":    "2025-01-15T12:05:00Z",
		"*/15 * * * *":        "2025-01-15T10:45:00Z",
		"40/10 10 * * *":      "2025-01-15T10:40:00Z",
		"10-20/5 9-17 * * *":  "2025-01-15T11:10:00Z",
		"0 23 31 12 *":        "2025-12-31T23:00:00Z",
		"0 0 29 2 *":          "2028-02-29T00:00:00Z",
		"0 0 * * 7":           "2025-01-19T00:00:00Z",
		"0 0 * * SUN":         "2025-01-19T00:00:00Z",
		"0 0 1 * mon-wed":     "2025-01-20T00:00:00Z", // one of the two is enough
		"0 0 */31 * mon":      "2025-09-01T00:00:00Z", // both, as the first has a *
		"0 0 20 feb,mar *":    "2025-02-20T00:00:00Z",
		"@hourly":             "2025-01-15T11:00:00Z",
		"@daily":              "2025-01-16T00:00:00Z",
		"@weekly":             "2025-01-19T00:00:00Z",
		"@monthly":            "2025-02-01T00:00:00Z",
		"@Yearly":             "2026-01-01T00:00:00Z",
		" 0  0 1\t1 * ":       "2026-01-01T00:00:00Z",
		"59 23 * * *":         "2025-01-15T23:59:00Z",
		"0 0 31 4,6,9,11,1 *": "2025-01-31T00:00:00Z",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := s.Next(at).Format(time.RFC3339); got != want {
			t.Errorf("%q comes at %s, want %s", text, got, want)
		}
	}
}

// TestZonesMeanNothing: the schedule is in UTC, wherever the clock is.
func TestZonesMeanNothing(t *testing.T) {
	s, err := Parse("0 0 * * *")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Next(at.In(time.FixedZone("", 14*3600))); !got.Equal(time.Date(2025, time.January, 16, 0, 0, 0, 0, time.UTC)) {
		t.Error(got)
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "0 fields",
		"* * * *":                    "4 fields",
		"* * * * * *":                "6 fields",
		"@reboot":                    "no schedule with a name",
		"@every 1m":                  "no schedule with a name",
		"60 * * * *":                 "minute: \"60\" is no value from 0 to 59",
		"* 24 * * *":                 "hour: ",
		"* * 0 * *":                  "day of the month: ",
		"* * * 13 *":                 "month: ",
		"* * * * 8":                  "day of the week: ",
		"*/0 * * * *":                "is no step",
		"*/x * * * *":                "is no step",
		"9-5 * * * *":                "begins after its end",
		"-1 * * * *":                 "is no value",
		"+1 * * * *":                 "is no value",
		"1,,2 * * * *":               "is no value",
		"0 0 30 2 *":                 "never comes",
		"TZ=UTC * * * * *":           "6 fields",
		strings.Repeat("* ", 100_00): "longer than 512",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"* * * * *", "@daily", "1-5/2,7 */3 L ? mon", "0 0 29 2 *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		next := s.Next(at)
		if !next.After(at) || next.Second() != 0 || s.minutes>>next.Minute()&1 == 0 || s.hours>>next.Hour()&1 == 0 || !s.on(next) {
			t.Errorf("%q comes at %v", text, next)
		}
	})
}
