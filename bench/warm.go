package main

// Functions that run already: how long a request takes, and how many are answered in a second over 1, 16 and 64
// connections.

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
		{Name: oneConn, Unit: "/s"}, {Name: "CPU", Unit: "us"}, {Name: "p50", Unit: "us"}, {Name: "p99", Unit: "us"},
		{Name: "16 connections", Unit: "/s"}, {Name: "CPU of 16", Unit: "us"}, {Name: manyConns, Unit: "/s"}, {Name: "CPU of 64", Unit: "us"}}}
	contenders := append(ours(plain, twoAtOnce, many), peers...)
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
				continue
			}
			s.settle()
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
		before := processorTime(s.cmd.Process.Pid)
		r, err := load.Run(s.target, conns, b.span)
		if err != nil {
			return err
		}
		if r.Failed > 0 {
			row.Note = fmt.Sprintf("over %d connections, answers like %.60q", conns, r.Failure)
		}
		if len(r.Latencies) == 0 {
			return fmt.Errorf("no answer within %v over %d connections", b.span, conns)
		}
		used := processorTime(s.cmd.Process.Pid) - before
		values = append(values, r.Rate(), float64(used)/float64(time.Microsecond)/float64(len(r.Latencies)))
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

// settle waits until a server is idle, so that what it goes on with after its turn is not at the next one's cost.
func (s *server) settle() {
	for range 100 {
		before := processorTime(s.cmd.Process.Pid)
		time.Sleep(100 * time.Millisecond)
		if processorTime(s.cmd.Process.Pid)-before < 10*time.Millisecond {
			return
		}
	}
}

// processorTime gives how long a process and those below it have computed, the kernel's part included. What other
// programs do on the machine hardly moves it. (The first number of /proc/PID/task/TID/schedstat, in ns: the kernel's
// Documentation/scheduler/sched-stats.rst.)
func processorTime(pid int) time.Duration {
	var total time.Duration
	for _, p := range append(descendants(pid), pid) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
		check(err)
		for _, f := range threads {
			text, _ := os.ReadFile(f) // empty if the thread has ended
			ns, _, _ := strings.Cut(string(text), " ")
			n, _ := strconv.ParseInt(ns, 10, 64)
			total += time.Duration(n)
		}
	}
	return total
}

// serveAll starts the contenders and gives the table a row for each; those that can't
// serve the function are nil, and their row says why.
func (b *bench) serveAll(t *report.Table, contenders []contender, functions map[string]string, function string) []*server {
	servers := make([]*server, len(contenders))
	shared := ""
	for i, c := range contenders {
		row := report.Row{Name: c.name}
		s, err := b.serveOne(c, functions, function, &shared)
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

func (b *bench) serveOne(c contender, functions map[string]string, function string, shared *string) (*server, error) {
	site, err := b.siteOf(c, functions, shared)
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
