package main

// The first answer of a function that has no process yet. Peers that are one process start it; servers that start
// something for a function when it is first called are asked for another function each time.

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/weir-run/weir/bench/report"
)

const (
	coldTitle = "first answer of a function without a process"
	medianCol = "median"
)

// pauseBefore is how long the machine is left alone before a start, so that what Weir keeps ready is ready.
const pauseBefore = 300 * time.Millisecond

func (b *bench) cold(handler string) report.Table {
	t := report.Table{Title: coldTitle + ", " + handler, Base: bare, Columns: []report.Column{{Name: medianCol, Unit: "ms"}, {Name: "least", Unit: "ms"}}}
	functions := map[string]string{}
	for i := range b.starts + 1 {
		functions[nth(handler, i)] = source(handler)
	}
	contenders := append(ours(plain, forked, noPool), peers...)
	var tries []func(i int) (time.Duration, error)
	var servers []*server
	shared := ""
	for _, c := range contenders {
		row := report.Row{Name: c.name, Note: c.note}
		try, s, err := b.firstAnswer(c, functions, handler, &shared)
		if err != nil {
			row.Note = note(err)
		}
		t.Rows, tries, servers = append(t.Rows, row), append(tries, try), append(servers, s)
	}
	times := make([][]float64, len(contenders))
	for n := range b.starts {
		for i, try := range tries {
			if try == nil {
				continue
			}
			time.Sleep(pauseBefore)
			d, err := try(n + 1)
			if err != nil {
				t.Rows[i].Note, tries[i] = note(err), nil
				continue
			}
			times[i] = append(times[i], float64(d)/float64(time.Millisecond))
		}
		b.say("%s: %d of %d", t.Title, n+1, b.starts)
	}
	for i, s := range servers {
		if s != nil {
			t.Rows[i].Say(s.starts())
			s.stop()
		}
		if tries[i] != nil {
			t.Rows[i].Cells = [][]float64{times[i], {report.Quantile(times[i], 0)}}
		}
	}
	return t
}

func nth(handler string, i int) string { return fmt.Sprintf("%s-%02d", handler, i) }

// firstAnswer prepares a contender, and gives what takes the time of its first answer of the i-th function; each
// function can be asked once. The server is one that has to be ended.
func (b *bench) firstAnswer(c contender, functions map[string]string, handler string, shared *string) (func(i int) (time.Duration, error), *server, error) {
	site, err := b.siteOf(c, functions, shared)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case c.lazy:
		s, err := c.serve(b, site, nth(handler, 0))
		if err == nil {
			err = s.await()
		}
		if err != nil {
			return nil, nil, err
		}
		stem := s.target.URL[:len(s.target.URL)-len("00")]
		return func(i int) (time.Duration, error) {
			target := s.target
			target.URL = fmt.Sprintf("%s%02d", stem, i)
			if c.name == forked.name {
				return s.firstForked(target)
			}
			start := time.Now()
			err := ask(target)
			return time.Since(start), err
		}, s, nil
	case c.once != nil:
		try := func(i int) (time.Duration, error) { return output(c.once(b, site, nth(handler, i))) }
		_, err := try(0)
		if err != nil {
			return nil, nil, err
		}
		return try, nil, nil
	}
	try := func(i int) (time.Duration, error) {
		start := time.Now()
		s, err := c.serve(b, site, nth(handler, i))
		if err != nil {
			return 0, err
		}
		if err := s.await(); err != nil {
			return 0, err
		}
		d := time.Since(start)
		s.stop()
		return d, nil
	}
	if _, err := try(0); err != nil {
		return nil, nil, err
	}
	return try, nil, nil
}

// output takes the time until a process has written "hello", and waits for its end.
func output(cmd *exec.Cmd) (time.Duration, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var took time.Duration
	var said []byte
	for buf := make([]byte, 4096); ; {
		n, err := out.Read(buf)
		said = append(said, buf[:n]...)
		if took == 0 && bytes.Contains(said, []byte("hello")) {
			took = time.Since(start)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
	}
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%w: %.200s", err, complaint.Bytes())
	}
	if took == 0 {
		return 0, fmt.Errorf("it answered %.200q", said)
	}
	return took, nil
}
