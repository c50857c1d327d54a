package main

// Large deploys: none of what is uploaded may be held in memory.

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

func (b *bench) large(ctx context.Context) error {
	t := report.Table{Title: "large deploys", Columns: []report.Column{{Name: "deploy", Unit: "s"}, {Name: "hashed and sent", Unit: "s"}, {Name: "written to files", Unit: "s"},
		{Name: "memory of the server before", Unit: "MB"}, {Name: "most", Unit: "MB"}}}
	one := served.Content{Files: map[string]served.Source{"video.bin": noise(1, 512<<20)}}
	eight := served.Content{Files: map[string]served.Source{}}
	for i := range 8 {
		eight.Files[fmt.Sprintf("part%d.bin", i)] = noise(uint64(10+i), 64<<20)
	}
	two := served.Content{Functions: map[string]served.Source{}}
	for i, name := range []string{"left", "right"} {
		var err error
		if two.Functions[name], err = heavy(name, uint64(20+i), 200<<20); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		name    string
		content served.Content
	}{{"a file of 512 MB", one}, {"8 files of 64 MB", eight}, {"2 functions of 200 MB", two}} {
		row := report.Row{Name: c.name}
		if err := b.largeOne(ctx, c.content, &row); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		t.Rows = append(t.Rows, row)
		b.hold("memory of the server, "+c.name, row.Cells[4][0], 200, " MB", false)
	}
	b.tables = append(b.tables, t)
	return nil
}

func (b *bench) largeOne(ctx context.Context, c served.Content, row *report.Row) error {
	bare, err := sent(c)
	if err != nil {
		return err
	}
	disk, err := b.written(c)
	if err != nil {
		return err
	}
	s, state, err := b.serve("")
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	defer s.Stop()
	site, err := s.CreateSite(ctx, "large")
	if err != nil {
		return err
	}
	before, err := peak(s.Pid())
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := s.Deploy(ctx, site.ID, c); err != nil {
		return err
	}
	took := time.Since(start)
	most, err := peak(s.Pid())
	row.Add(took.Seconds(), bare.Seconds(), disk.Seconds(), before, most)
	return err
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak is the most that a process had in memory since it began, in MB (proc_pid_status(5)).
func peak(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	m := peakLine.FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("process %d does not tell its peak", pid)
	}
	kb, err := strconv.Atoi(string(m[1]))
	return float64(kb) / 1024, err
}

// processorTime is what a process has used of the processors, with its children that have ended, in seconds
// (proc_pid_stat(5); USER_HZ is 100).
func processorTime(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 15 {
		return 0, fmt.Errorf("process %d does not tell what it has used", pid)
	}
	sum := 0
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return float64(sum) / 100, nil
}
