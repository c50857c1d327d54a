// Command bench measures what Weir costs, each figure against its peer in the same run, and prints
// the ratios. It drives the weir binary as a user does; the machine's noise hits both sides alike.
//
//	go run ./bench [-weir bin/weir] [-only cold,fork,load,warm,egress,memory] [-n 30]
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one line of the result: ours against the peer's, with the bound we hold ourselves to.
type figure struct {
	name       string
	ours, peer float64
	unit       string
	bound      float64
	atLeast    bool // the ratio must be at least the bound, not at most
}

func main() {
	weir := flag.String("weir", "bin/weir", "the weir binary")
	only := flag.String("only", "", "comma-separated: cold, fork, load, warm, egress, memory")
	n := flag.Int("n", 30, "repetitions of a cold start")
	flag.Parse()
	bin, err := filepath.Abs(*weir)
	check(err)
	describe()
	b := &bench{weir: bin, n: *n}
	b.dir, err = os.MkdirTemp("", "weir-bench-")
	check(err)
	defer os.RemoveAll(b.dir)
	check(os.Chmod(b.dir, 0o755))
	parts := []struct {
		name string
		run  func() []figure
	}{{"cold", b.cold}, {"fork", b.forked}, {"load", b.load}, {"warm", b.warm}, {"egress", b.egress}, {"memory", b.memory}}
	fmt.Printf("%-46s %12s %12s %8s  %s\n", "", "weir", "bare", "ratio", "bound")
	for _, p := range parts {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), p.name) {
			continue
		}
		for _, f := range p.run() {
			f.print()
		}
	}
}

func (f figure) print() {
	ratio := f.ours / f.peer
	sign, ok := "<=", ratio <= f.bound
	if f.atLeast {
		sign, ok = ">=", ratio >= f.bound
	}
	verdict := "ok"
	switch {
	case f.bound == 0:
		fmt.Printf("%-46s %9.2f %-3s %8.2f %-3s %7.2fx\n", f.name, f.ours, f.unit, f.peer, f.unit, ratio)
		return
	case !ok:
		verdict = "MISSED"
	}
	fmt.Printf("%-46s %9.2f %-3s %8.2f %-3s %7.2fx  %s %gx %s\n", f.name, f.ours, f.unit, f.peer, f.unit, ratio, sign, f.bound, verdict)
}

func describe() {
	node, err := exec.Command("node", "--version").Output()
	check(err)
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	check(err)
	fmt.Printf("%s, %d cores, Linux %s, node %s, uid %d\n", time.Now().Format("2006-01-02"), runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), strings.TrimSpace(string(node)), os.Getuid())
}

// check ends the run: a figure that could not be measured must not look like one that was.
func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
