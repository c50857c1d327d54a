package main

// The memory of an idle instance that has loaded its function, and of functions that have none.

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/weir-run/weir/bench/load"
	"github.com/weir-run/weir/bench/report"
)

const (
	memoryTitle = "memory of an idle instance"
	privateCol  = "private"
	fleetTitle  = "deployed functions without a process"
	startCol    = "start"
	serverCol   = "server"
	childrenCol = "processes"
)

// side is how many instances of each contender run at once, so that all share their pages alike.
const side = 4

// rest is how long processes come to rest before their memory is read.
const rest = time.Second

// pause is a function that takes long enough for others to be called meanwhile.
func pause(handler string) string {
	return source(handler) + "const answer = exports.handler;\n" +
		"exports.handler = (e, c) => new Promise((done) => setTimeout(done, 500)).then(() => answer(e, c));\n"
}

func (b *bench) memory(handler string) report.Table {
	t := report.Table{Title: memoryTitle + ", " + handler, Base: bare, Columns: []report.Column{
		{Name: "all processes, PSS", Unit: "MB an instance"}, {Name: privateCol, Unit: "MB"}}}
	functions := map[string]string{handler: pause(handler)}
	for _, c := range ours(plain, forked, noZygote) {
		row := report.Row{Name: c.name}
		s, err := b.serveOne(c, functions, handler, nil)
		if err == nil {
			if c.name == forked.name {
				err = s.breed(s.target)
			}
			if err == nil {
				err = s.fill()
			}
			if err == nil {
				time.Sleep(rest)
				row.Cells, err = memoryOf(descendants(s.cmd.Process.Pid))
				row.Note = s.starts()
			}
			s.stop()
		}
		if err != nil {
			row.Note = note(err)
		}
		t.Rows = append(t.Rows, row)
	}
	shared := ""
	for _, c := range peers {
		if c.lazy || c.name == "lambda-local" { // several functions share one process there
			continue
		}
		t.Rows = append(t.Rows, b.memoryOfPeer(c, functions, handler, &shared))
	}
	return t
}

func (b *bench) memoryOfPeer(c contender, functions map[string]string, handler string, shared *string) report.Row {
	row := report.Row{Name: c.name}
	var pids []int
	for range side {
		s, err := b.serveOne(c, functions, handler, shared)
		if err == nil {
			defer s.stop()
			err = s.await()
		}
		if err != nil {
			row.Note = note(err)
			return row
		}
		pids = append(append(pids, s.cmd.Process.Pid), descendants(s.cmd.Process.Pid)...)
	}
	time.Sleep(rest)
	var err error
	if row.Cells, err = memoryOf(pids); err != nil {
		row.Note = note(err)
	}
	return row
}

// fill calls the function as often at the same time as there shall be instances.
func (s *server) fill() error {
	answers := make(chan error)
	for range side {
		go func() { answers <- ask(s.target) }()
	}
	var err error
	for range side {
		if e := <-answers; e != nil {
			err = e
		}
	}
	return err
}

// memoryOf gives the memory of all processes for each instance, and the private memory of one: the median of those
// that have no children, since a process that others were forked from, or that only guards, is no instance.
func memoryOf(pids []int) ([][]float64, error) {
	var pss float64
	var private []float64
	for _, pid := range pids {
		p, own, err := smaps(pid)
		if err != nil {
			return nil, err
		}
		pss += p
		if len(descendants(pid)) == 0 {
			private = append(private, own)
		}
	}
	if len(private) < side {
		return nil, fmt.Errorf("%d instances, want %d", len(private), side)
	}
	return [][]float64{{pss / side}, {report.Median(private)}}, nil
}

// fleet measures a server of many functions, of which one has been called.
func (b *bench) fleet() report.Table {
	t := report.Table{Title: fleetTitle, Base: fleetRow(1), Columns: []report.Column{
		{Name: startCol, Unit: "s"}, {Name: serverCol, Unit: "MB"}, {Name: childrenCol}}}
	for _, n := range []int{1, deployed} {
		functions := map[string]string{}
		for i := range n {
			functions[fmt.Sprintf("f%04d", i)] = source("trivial")
		}
		row := report.Row{Name: fleetRow(n)}
		site, err := b.site(functions)
		for range (b.rounds + 1) / 2 {
			if err == nil {
				err = b.fleetRound(&row, site)
			}
		}
		if err != nil {
			row.Note = note(err)
		}
		t.Rows = append(t.Rows, row)
		b.say("%s: %d", t.Title, n)
	}
	return t
}

func fleetRow(n int) string { return fmt.Sprintf("weir, %d deployed", n) }

func (b *bench) fleetRound(row *report.Row, site string) error {
	start := time.Now()
	s, err := b.weir(plain, site, "f0000")
	if err != nil {
		return err
	}
	defer s.stop()
	took := time.Since(start)
	if err := ask(load.Target{URL: s.target.URL, Want: "hello"}); err != nil {
		return err
	}
	time.Sleep(rest)
	pss, _, err := smaps(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	row.Add(took.Seconds(), pss, float64(len(descendants(s.cmd.Process.Pid))))
	return nil
}

// descendants gives the processes below one (proc_pid_task(5)).
func descendants(pid int) []int {
	var out []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	check(err)
	for _, f := range tasks {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range bytes.Fields(text) {
			child, err := strconv.Atoi(string(field))
			check(err)
			out = append(append(out, child), descendants(child)...)
		}
	}
	return out
}

var smapsLine = regexp.MustCompile(`(?m)^(Pss|Private_Clean|Private_Dirty):\s+(\d+) kB`)

// smaps gives the proportional and the private set size of a process in MB (proc_pid_smaps(5)).
func smaps(pid int) (pss, private float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, err
	}
	for _, m := range smapsLine.FindAllSubmatch(text, -1) {
		kb, err := strconv.Atoi(string(m[2]))
		if err != nil {
			return 0, 0, err
		}
		if string(m[1]) == "Pss" {
			pss = float64(kb) / 1024
		} else {
			private += float64(kb) / 1024
		}
	}
	return pss, private, nil
}
