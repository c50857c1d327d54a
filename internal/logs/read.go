package logs

// Giving lines back: of one site, past and live.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	page     = 500 // messages that are read at a time
	maxLimit = 2000
	skew     = time.Minute // by which the clocks of servers may differ
)

// Query says which lines are wanted.
type Query struct {
	Site     string    // id; needed
	Function string    // "": all
	Request  string    // "": all
	Since    time.Time // zero: whatever is there
	Limit    int       // the last so many; 0: 100, 2,000 at most
}

func (q Query) filter() (string, error) {
	if q.Site == "" {
		return "", &weir.Error{Code: weir.Invalid, Message: "it is not said whose lines are wanted", Remedy: "name a site"}
	}
	if q.Function != "" {
		return subjectOf(q.Site, q.Function), nil
	}
	return store.Token(q.Site) + ".*", nil
}

func (q Query) limit() int { return min(cmp.Or(max(q.Limit, 0), 100), maxLimit) }

// matches tells whether a line is wanted, apart from how many are.
func (q Query) matches(l Line) bool {
	return (q.Request == "" || l.Request == q.Request || slices.Contains(l.Among, q.Request)) && !l.Time.Before(q.Since)
}

// lines gives the lines of a message. What can't be read is left out.
func lines(m store.Message) (out []Line) {
	for text := range bytes.SplitSeq(m.Data, []byte("\n")) {
		var l Line
		if json.Unmarshal(text, &l) != nil {
			continue
		}
		if l.Invocation != nil {
			l = invoked(l.Invocation)
		}
		if subjectOf(l.Site, l.Function) == m.Subject {
			out = append(out, l)
		}
	}
	return out
}

// Past gives the last lines that match, in the order of their times. Errors: weir.Invalid.
func (s *Service) Past(ctx context.Context, q Query) ([]Line, error) {
	out, _, err := s.past(ctx, q)
	return out, err
}

// past gives the number of the last message that was looked at, too.
func (s *Service) past(ctx context.Context, q Query) (out []Line, last uint64, err error) {
	filter, err := q.filter()
	if err != nil {
		return nil, 0, err
	}
	var messages []store.Message
	add := func() {
		for _, m := range messages {
			last = m.Seq
			for _, l := range lines(m) {
				if q.matches(l) {
					out = append(out, l)
				}
			}
		}
		out = out[max(0, len(out)-q.limit()):]
	}
	if from := q.begin(); from.IsZero() { // each message has a line at least
		messages, err = s.stream.Last(ctx, filter, q.limit())
		add()
	} else {
		next, err := s.find(ctx, filter, from)
		if err != nil {
			return nil, 0, err
		}
		for last = next - 1; ; next = last + 1 {
			if messages, err = s.stream.Read(ctx, filter, next, page); err != nil {
				return nil, 0, err
			}
			if add(); len(messages) < page {
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Line) int { return a.Time.Compare(b.Time) })
	return out, last, err
}

// begin gives the time before which no message can match, zero if the last ones do anyhow.
func (q Query) begin() time.Time {
	from := q.Since
	if q.Request != "" {
		from = time.Unix(1, 0)
		if id, err := ulid.ParseStrict(q.Request); err == nil {
			from = ulid.Time(id.Time())
		}
		if q.Since.After(from) {
			from = q.Since
		}
	}
	if from.IsZero() {
		return from
	}
	return from.Add(-skew)
}

// find gives the number of the first message that was written at a time or later: messages are in the order of their
// times.
func (s *Service) find(ctx context.Context, filter string, from time.Time) (uint64, error) {
	end, err := s.stream.Last(ctx, filter, 1)
	if err != nil || len(end) == 0 {
		return 1, err
	}
	low, high := uint64(1), end[0].Seq+1 // what is below low is too early, what is at high or above is not
	for low < high {
		mid := low + (high-low)/2
		m, err := s.stream.Read(ctx, filter, mid, 1)
		if err != nil {
			return 0, err
		}
		if len(m) == 0 || !m[0].Time.Before(from) {
			high = mid
		} else {
			low = m[0].Seq + 1
		}
	}
	return low, nil
}

// Follow gives to each the past lines that match, if q has a Limit or Since, and then those that come, until ctx ends or
// each gives an error.
func (s *Service) Follow(ctx context.Context, q Query, each func(Line) error) error {
	filter, err := q.filter()
	if err != nil {
		return err
	}
	past, last, err := s.past(ctx, q)
	if err != nil {
		return err
	}
	if q.Limit > 0 || !q.Since.IsZero() {
		for _, l := range past {
			if err := each(l); err != nil {
				return err
			}
		}
	}
	return s.stream.Follow(ctx, filter, last+1, func(m store.Message) error {
		for _, l := range lines(m) {
			if q.matches(l) {
				if err := each(l); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
