package main

// How soon a server of many sites is ready, and answers.

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

func (b *bench) restart(ctx context.Context) error {
	t := report.Table{Title: "start of a server, after it was killed", Base: "of nothing", Columns: []report.Column{{Name: "ready", Unit: "s"}, {Name: "first answer of a site", Unit: "s"}, {Name: "memory of the server", Unit: "MB"}}}
	for _, of := range []struct {
		name   string
		sites  int
		deploy int
	}{{"of nothing", 0, 0}, {fmt.Sprintf("of %d sites with a deploy each", b.sites), b.sites, 1}, {fmt.Sprintf("of one site with %d deploys", b.sites), 1, b.sites}} {
		row := report.Row{Name: of.name}
		state, err := b.fill(ctx, of.sites, of.deploy)
		if err != nil {
			return err
		}
		for range b.rounds {
			if err := b.restartOnce(ctx, state, of.sites, &row); err != nil {
				return err
			}
		}
		t.Rows = append(t.Rows, row)
		if of.sites > 0 {
			b.hold("ready after a restart, "+of.name, report.Median(row.Cells[0]), 3, " s", false)
		}
	}
	b.tables = append(b.tables, t)
	return nil
}

func (b *bench) restartOnce(ctx context.Context, state string, sites int, row *report.Row) error {
	start := time.Now()
	s, _, err := b.serve(state)
	if err != nil {
		return err
	}
	defer s.Kill()
	ready := time.Since(start)
	if sites > 0 {
		status, body, err := s.Get(ctx, "GET", "site0000.localhost", "/")
		if err != nil || status != 200 {
			return fmt.Errorf("the first answer: %d %.200s %v", status, body, err)
		}
	}
	answered := time.Since(start)
	most, err := peak(s.Pid())
	row.Add(ready.Seconds(), answered.Seconds(), most)
	return err
}

// fill makes the state of a server that was killed.
func (b *bench) fill(ctx context.Context, sites, deploys int) (state string, err error) {
	s, state, err := b.serve("")
	if err != nil {
		return "", err
	}
	defer s.Kill()
	todo := make(chan int)
	failed := make(chan error, 16)
	var workers sync.WaitGroup
	for range cap(failed) {
		workers.Go(func() {
			for i := range todo {
				if err := fillOne(ctx, s, i, deploys); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for i := range sites {
		select {
		case todo <- i:
		case err := <-failed:
			return "", err
		}
	}
	close(todo)
	workers.Wait()
	select {
	case err := <-failed:
		return "", err
	default:
		return state, nil
	}
}

func fillOne(ctx context.Context, s *served.Server, i, deploys int) error {
	name := fmt.Sprintf("site%04d", i)
	site, err := s.CreateSite(ctx, name)
	if err != nil {
		return err
	}
	for n := range deploys {
		c := served.Content{Files: map[string]served.Source{"index.html": served.Bytes(fmt.Appendf(nil, "%s version %d", name, n))},
			Functions: map[string]served.Source{"hello": function("hello", name)}}
		if _, err := s.Deploy(ctx, site.ID, c); err != nil {
			return err
		}
	}
	return nil
}
