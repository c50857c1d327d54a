package main

// From the upload of a small change to the first request that shows it.

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

func (b *bench) publish(ctx context.Context) error {
	t := report.Table{Title: "until a new deploy is shown", Columns: []report.Column{{Name: "deploy of a file and a function", Unit: "ms"}, {Name: "shown after it is ready", Unit: "ms"},
		{Name: "shown after a rollback", Unit: "ms"}, {Name: "its function answers after it is ready", Unit: "ms"}}}
	s, _, err := b.serve("")
	if err != nil {
		return err
	}
	defer s.Stop()
	site, err := s.CreateSite(ctx, "shop")
	if err != nil {
		return err
	}
	row := report.Row{Name: "weir serve"}
	for n := range 5*b.rounds + 1 {
		version, answer := fmt.Sprintf("version %d", n), fmt.Sprintf("answer %d", n)
		c := served.Content{Files: map[string]served.Source{"index.html": served.Bytes([]byte(version))}, Functions: map[string]served.Source{"f": function("f", answer)}}
		start := time.Now()
		if _, err := s.Deploy(ctx, site.ID, c); err != nil {
			return err
		}
		ready := time.Now()
		if err := shown(ctx, s, "/", version); err != nil {
			return err
		}
		visible := time.Now()
		if err := shown(ctx, s, "/.netlify/functions/f", answer); err != nil {
			return err
		}
		answered := time.Now()
		if n == 0 { // what all others are rolled back to
			continue
		}
		if _, err := s.Rollback(ctx, site.ID); err != nil {
			return err
		}
		back := time.Now()
		if err := shown(ctx, s, "/", "version 0"); err != nil {
			return err
		}
		took := time.Since(back)
		row.Add(ms(ready.Sub(start)), ms(visible.Sub(ready)), ms(took), ms(answered.Sub(ready)))
	}
	t.Rows = append(t.Rows, row)
	b.tables = append(b.tables, t)
	b.hold("a new deploy is shown after it is ready", report.Median(row.Cells[1]), 1000, " ms", false)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// shown asks until the answer is what is wanted. An answer that is none is an error.
func shown(ctx context.Context, s *served.Server, path, want string) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		status, body, err := s.Get(ctx, "GET", "shop.localhost", path)
		if err != nil || status != 200 {
			return fmt.Errorf("%s: %d %.200s %v", path, status, body, err)
		}
		if body == want {
			return nil
		}
	}
	return fmt.Errorf("%s does not become %q", path, want)
}
