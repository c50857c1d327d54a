package main

// Functions that run already: how long a request takes, and how many are answered in a second over 1, 16 and 64
// connections.

import (
	"fmt"
	"time"

	"github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
)

const (
	warmTitle = "warm requests"
	oneConn   = "1 connection"
	manyConns = "64 connections"
)

func (b *bench) warm(handler string) report.Table {
	t := report.Table{Title: warmTitle + ", " + handler, Base: bare, Columns: []report.Column{
		{Name: oneConn, Unit: "/s"}, {Name: "p50", Unit: "us"}, {Name: "p99", Unit: "us"}, {Name: "16 connections", Unit: "/s"}, {Name: manyConns, Unit: "/s"}}}
	contenders := append(ours(plain, twoAtOnce, many, apart), peers...)
	servers := b.serveAll(&t, contenders, map[string]string{handler: source(handler)}, handler)
	for round := range b.rounds + 1 { // the first one warms up
		for i, s := range servers {
			if s == nil {
				continue
			}
			if err := b.warmRound(&t.Rows[i], s, round > 0); err != nil {
				t.Rows[i].Note = err.Error()
				s.stop()
				servers[i] = nil
			}
		}
		b.say("%s: round %d of %d", t.Title, round, b.rounds)
	}
	for _, s := range servers {
		if s != nil {
			s.stop()
		}
	}
	return t
}

func (b *bench) warmRound(row *report.Row, s *server, count bool) error {
	var values []float64
	for _, conns := range []int{1, 16, 64} {
		r, err := load.Run(s.target, conns, b.span/5, b.span)
		if err != nil {
			return err
		}
		if r.Failed > 0 {
			row.Note = fmt.Sprintf("over %d connections, answers like %.60q", conns, r.Failure)
		}
		if len(r.Latencies) == 0 {
			return fmt.Errorf("no answer within %v over %d connections", b.span, conns)
		}
		values = append(values, r.Rate())
		if conns == 1 {
			us := make([]float64, len(r.Latencies))
			for i, l := range r.Latencies {
				us[i] = float64(l) / float64(time.Microsecond)
			}
			values = append(values, report.Median(us), report.Quantile(us, 0.99))
		}
	}
	if count {
		row.Add(values...)
	}
	return nil
}

// serveAll starts the contenders, each with a site of its own, and gives the table a row for each; those that can't
// serve the function are nil, and their row says why.
func (b *bench) serveAll(t *report.Table, contenders []contender, functions map[string]string, function string) []*server {
	servers := make([]*server, len(contenders))
	for i, c := range contenders {
		row := report.Row{Name: c.name}
		s, err := b.serveOne(c, functions, function)
		if err == nil {
			if err = s.await(); err == nil {
				servers[i] = s
			}
		}
		if err != nil {
			row.Note = note(err)
		}
		t.Rows = append(t.Rows, row)
	}
	return servers
}

func (b *bench) serveOne(c contender, functions map[string]string, function string) (*server, error) {
	site, err := b.site(functions)
	if err != nil {
		return nil, err
	}
	return c.serve(b, site, function)
}

// note is what a row says of a contender that can't be measured.
func note(err error) string {
	text := err.Error()
	if len(text) > 160 {
		text = text[:160] + " …"
	}
	return text
}
