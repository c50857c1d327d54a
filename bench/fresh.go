package main

// A process for every request, which has seen no other: isolation = "request" against processes that are started
// and ended.

import (
	"fmt"
	"time"

	"github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
)

const (
	freshTitle = "a fresh process for every request"
	bothCores  = "two at a time"
)

func (b *bench) fresh(handler string) report.Table {
	t := report.Table{Title: freshTitle + ", " + handler, Base: bare, Columns: []report.Column{{Name: medianCol, Unit: "ms"}, {Name: bothCores, Unit: "/s"}}}
	contenders := ours(apart, apartSlow)
	servers := b.serveAll(&t, contenders, map[string]string{handler: source(handler)}, handler)
	measures := make([]func() (p50, rate float64, err error), len(servers))
	for i, s := range servers {
		if s != nil {
			measures[i] = func() (float64, float64, error) { return freshServed(s, b.span) }
		}
	}
	site, err := b.site(map[string]string{handler: source(handler)})
	check(err)
	for _, c := range peers {
		if c.once == nil {
			continue
		}
		t.Rows = append(t.Rows, report.Row{Name: c.name})
		measures = append(measures, func() (float64, float64, error) {
			return freshSpawned(func() (time.Duration, error) { return output(c.once(b, site, handler)) }, b.span)
		})
	}
	for round := range b.rounds {
		for i, measure := range measures {
			if measure == nil {
				continue
			}
			p50, rate, err := measure()
			if err != nil {
				t.Rows[i].Note, measures[i] = note(err), nil
				continue
			}
			t.Rows[i].Add(p50, rate)
		}
		b.say("%s: round %d of %d", t.Title, round+1, b.rounds)
	}
	for i, s := range servers {
		if s != nil {
			t.Rows[i].Say(s.starts())
			s.stop()
		}
	}
	return t
}

// freshServed measures a server that gives every request a process.
func freshServed(s *server, span time.Duration) (p50, rate float64, err error) {
	one, err := load.Run(s.target, 1, span)
	if err != nil {
		return 0, 0, err
	}
	two, err := load.Run(s.target, 2, span)
	s.settle()
	if err != nil {
		return 0, 0, err
	}
	if len(one.Latencies) == 0 || len(two.Latencies) == 0 {
		return 0, 0, fmt.Errorf("no answer within %v, but %d like %.60q", span, one.Failed+two.Failed, one.Failure+two.Failure)
	}
	ms := make([]float64, len(one.Latencies))
	for i, l := range one.Latencies {
		ms[i] = float64(l) / float64(time.Millisecond)
	}
	return report.Median(ms), two.Rate(), nil
}

// freshSpawned measures processes that are started for one answer.
func freshSpawned(try func() (time.Duration, error), span time.Duration) (p50, rate float64, err error) {
	ms, err := repeat(try, span)
	if err != nil {
		return 0, 0, err
	}
	type result struct {
		n   int
		err error
	}
	results := make(chan result)
	start := time.Now()
	for range 2 {
		go func() {
			ms, err := repeat(try, span)
			results <- result{len(ms), err}
		}()
	}
	n := 0
	for range 2 {
		r := <-results
		n += r.n
		if r.err != nil {
			err = r.err
		}
	}
	return report.Median(ms), float64(n) / time.Since(start).Seconds(), err
}

func repeat(try func() (time.Duration, error), span time.Duration) ([]float64, error) {
	var ms []float64
	for end := time.Now().Add(span); len(ms) == 0 || time.Now().Before(end); {
		d, err := try()
		if err != nil {
			return nil, err
		}
		ms = append(ms, float64(d)/float64(time.Millisecond))
	}
	return ms, nil
}
