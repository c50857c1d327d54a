package main

// Requests for files and functions, alone, mixed, and while deploys are published.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	benchload "github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

const (
	connections = 16
	page        = 10 << 10 // bytes of the file that is asked for
)

func (b *bench) load(ctx context.Context) error {
	t := report.Table{Title: fmt.Sprintf("requests over %d connections", connections), Base: "net/http, a file", Columns: []report.Column{{Name: "requests", Unit: "/s"}, {Name: "p50", Unit: "us"}, {Name: "p99", Unit: "us"}}}
	c := served.Content{Files: map[string]served.Source{"page.html": served.Bytes([]byte(strings.Repeat("page 0\n", page/7)))}, Functions: map[string]served.Source{"f": function("f", "answer 0")}}
	bare, closeBare, err := b.bareFiles(c)
	if err != nil {
		return err
	}
	defer closeBare()
	dev, stopDev, err := b.dev(c)
	if err != nil {
		return err
	}
	defer stopDev()
	s, _, err := b.serve("")
	if err != nil {
		return err
	}
	defer s.Stop()
	site, err := s.CreateSite(ctx, "shop")
	if err != nil {
		return err
	}
	if _, err := s.Deploy(ctx, site.ID, c); err != nil {
		return err
	}
	host := strings.Replace(s.Sites, "127.0.0.1", "shop.localhost", 1)
	rows := []struct {
		name    string
		targets []benchload.Target
	}{
		{"net/http, a file", []benchload.Target{file(bare)}},
		{"weir dev, a file", []benchload.Target{file(dev)}},
		{"weir serve, a file", []benchload.Target{file(host)}},
		{"weir dev, a function", []benchload.Target{fn(dev)}},
		{"weir serve, a function", []benchload.Target{fn(host)}},
		{"weir serve, both", []benchload.Target{file(host), fn(host)}},
	}
	for _, r := range rows {
		t.Rows = append(t.Rows, report.Row{Name: r.name})
	}
	for range b.rounds {
		for i, r := range rows {
			if _, err := measure(&t.Rows[i], r.targets, b.span); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
	}
	row, failed, err := b.whilePublishing(ctx, s, site.ID, []benchload.Target{file(host), fn(host)})
	if err != nil {
		return err
	}
	t.Rows = append(t.Rows, row)
	b.hold("requests that fail while deploys are published", failed, 0, "", false)
	b.bounds = append(b.bounds, t.Hold("weir serve to weir dev, a file", "weir serve, a file", "weir dev, a file", "requests", 0.8, true),
		t.Hold("weir serve to weir dev, a function", "weir serve, a function", "weir dev, a function", "requests", 0.8, true))
	b.tables = append(b.tables, t)
	return nil
}

func file(url string) benchload.Target {
	return benchload.Target{URL: url + "/page.html", Want: "page"}
}
func fn(url string) benchload.Target {
	return benchload.Target{URL: url + "/.netlify/functions/f", Want: "answer"}
}

// measure adds a round to a row; the connections are shared among the targets. It gives how many requests failed.
func measure(row *report.Row, targets []benchload.Target, span time.Duration) (failed float64, err error) {
	results := make([]benchload.Result, len(targets))
	errs := make([]error, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { results[i], errs[i] = benchload.Run(t, connections/len(targets), span) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	var rate float64
	var took []float64
	for _, r := range results {
		rate += r.Rate()
		failed += float64(r.Failed)
		for _, l := range r.Latencies {
			took = append(took, float64(l.Microseconds()))
		}
		if r.Failed > 0 {
			row.Say(r.Failure)
		}
	}
	if len(took) == 0 {
		return failed, fmt.Errorf("no request was answered as wanted: %s", row.Note)
	}
	row.Add(rate, report.Quantile(took, 0.5), report.Quantile(took, 0.99))
	return failed, nil
}

// whilePublishing asks while one deploy after the other is published, and gives how many requests failed.
func (b *bench) whilePublishing(ctx context.Context, s *served.Server, site string, targets []benchload.Target) (report.Row, float64, error) {
	row := report.Row{Name: "weir serve, both, while deploys are published"}
	ctx, cancel := context.WithCancel(ctx)
	published, over := 0, make(chan error, 1)
	go func() {
		for n := 1; ; n++ {
			c := served.Content{Files: map[string]served.Source{"page.html": served.Bytes([]byte(strings.Repeat(fmt.Sprintf("page %d\n", n), page/7)))}, Functions: map[string]served.Source{"f": function("f", fmt.Sprint("answer ", n))}}
			if _, err := s.Deploy(ctx, site, c); err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				over <- err
				return
			}
			published++
		}
	}()
	failed, err := measure(&row, targets, max(3*b.span, 10*time.Second))
	cancel()
	err = errors.Join(err, <-over)
	row.Say(fmt.Sprintf("%d deploys published", published))
	return row, failed, err
}

// bareFiles serves the files by net/http alone.
func (b *bench) bareFiles(c served.Content) (url string, done func(), err error) {
	dir, err := os.MkdirTemp(b.dir, "bare-")
	if err != nil {
		return "", nil, err
	}
	if err := folder(dir, c); err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: http.FileServer(http.Dir(dir + "/public"))}
	go srv.Serve(l)
	return "http://" + l.Addr().String(), func() { srv.Close() }, nil
}

// dev serves the site by weir dev.
func (b *bench) dev(c served.Content) (url string, stop func(), err error) {
	dir, err := os.MkdirTemp(b.dir, "dev-")
	if err != nil {
		return "", nil, err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), folder(dir, c)); err != nil {
		return "", nil, err
	}
	cmd := exec.Command(b.weir, "dev", dir, "--port", "0")
	cmd.Env = append(os.Environ(), "WEIR_STATE_DIR="+b.dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, err
	}
	if _, err := fmt.Fscanf(out, "ready %s\n", &url); err != nil {
		return "", nil, fmt.Errorf("weir dev is not ready: %w", err)
	}
	go io.Copy(io.Discard, out)
	return url, func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}, nil
}
