// Command bench measures what Weir costs, against peers in the same run, and prints ratios and whether Weir keeps
// within its bounds. It drives the weir binary as a user does. The contenders take turns, so that the machine's
// noise hits all alike.
//
//	go run ./bench [-weir bin/weir] [-only warm,cold,code,fresh,memory,fleet,egress] [-quick] [-json] [-docs docs]
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/bench/report"
)

// bench is a run.
type bench struct {
	bin     string        // the weir binary
	cache   string        // what was installed
	lock    *os.File      // held while this is running
	dir     string        // of this run only; on the file system of the cache
	state   string        // Weir's state directory: where the user of its sandboxes may look, too
	scripts string        // this program's own scripts
	node    string        // the Node.js that all run on
	bwrap   string        // bubblewrap
	rounds  int           // of what is measured in turns
	span    time.Duration // how long a load lasts
	starts  int           // cold starts of each contender
}

// deployed is how many functions the server of many has.
const deployed = 1000

func main() {
	weir := flag.String("weir", "bin/weir", "the weir binary")
	only := flag.String("only", "", "comma-separated: warm, cold, code, fresh, memory, fleet, egress")
	handlers := flag.String("handlers", "", "comma-separated: trivial, stripe, heavy")
	quick := flag.Bool("quick", false, "a first look in some six minutes")
	asJSON := flag.Bool("json", false, "print JSON, with every round")
	docs := flag.String("docs", "", "folder with benchmarks.md: its results and chart are replaced")
	cache := flag.String("cache", cacheDir(), "where peers and packages are installed")
	flag.Parse()
	b := &bench{rounds: 5, span: time.Second, starts: 15}
	if *quick {
		b.rounds, b.span, b.starts = 3, 250*time.Millisecond, 4
		if *handlers == "" {
			*handlers = "stripe"
		}
	}
	b.open(*weir, *cache)
	b.install()
	r := report.Report{Machine: b.machine()}
	b.say("%s", r.Machine)
	r.Tables = b.measure(list(*only), list(*handlers))
	r.Bounds = bounds(r.Tables)
	check(write(r, *asJSON, *docs))
	check(errors.Join(os.RemoveAll(b.dir), os.RemoveAll(b.state)))
}

// open makes the run's folders. There is one run at a time: two would measure each other.
func (b *bench) open(weir, cache string) {
	var err error
	b.bin, err = filepath.Abs(weir)
	check(err)
	b.cache, err = filepath.Abs(cache)
	check(err)
	check(os.MkdirAll(b.cache, 0o755))
	lock, err := os.Create(filepath.Join(b.cache, "lock")) // held until the process ends
	check(err)
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		check(fmt.Errorf("another run is using %s", b.cache))
	}
	b.lock, b.dir = lock, filepath.Join(b.cache, "run")
	check(os.RemoveAll(b.dir)) // of a run that was broken off
	b.scripts = filepath.Join(b.dir, "scripts")
	check(os.MkdirAll(b.scripts, 0o755))
	b.state, err = os.MkdirTemp("", "weir-bench-")
	check(err)
	check(os.Chmod(b.state, 0o755))
}

// measure measures what is asked for; everything if nothing is.
func (b *bench) measure(only, handlers []string) []report.Table {
	if len(handlers) == 0 {
		handlers = []string{"trivial", "stripe", "heavy"}
	}
	wanted := func(part string) bool { return len(only) == 0 || slices.Contains(only, part) }
	var out []report.Table
	each := []struct {
		name string
		run  func(handler string) report.Table
	}{{"warm", b.warm}, {"cold", b.cold}, {"code", b.code}, {"fresh", b.fresh}, {"memory", b.memory}}
	for _, part := range each {
		for _, h := range handlers {
			if wanted(part.name) {
				out = append(out, part.run(h))
			}
		}
	}
	if wanted("fleet") {
		out = append(out, b.fleet())
	}
	if wanted("egress") {
		out = append(out, b.egress())
	}
	return out
}

func write(r report.Report, asJSON bool, docs string) error {
	if docs != "" {
		if err := writeDocs(r, docs); err != nil {
			return err
		}
	}
	if asJSON {
		return r.JSON(os.Stdout)
	}
	for _, t := range r.Tables {
		if err := t.Text(os.Stdout); err != nil {
			return err
		}
	}
	return r.Text(os.Stdout)
}

// writeDocs replaces the results of a page, and its chart.
func writeDocs(r report.Report, docs string) error {
	path := filepath.Join(docs, "benchmarks.md")
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var results, chart bytes.Buffer
	r.Markdown(&results)
	text, err := report.Insert(string(page), results.String())
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	var groups []report.Group
	for _, t := range r.Tables {
		switch title, _, _ := strings.Cut(t.Title, ", "); title {
		case warmTitle:
			groups = append(groups, t.Group(oneConn, isOurs))
		case coldTitle, freshTitle:
			groups = append(groups, t.Group(medianCol, isOurs))
		}
	}
	if err := report.SVG(&chart, groups); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, "benchmarks.svg"), chart.Bytes(), 0o644)
}

func cacheDir() string {
	dir, err := os.UserCacheDir() // $XDG_CACHE_HOME, else ~/.cache
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "weir-bench")
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

var model = regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`)

// machine describes what the figures hold for.
func (b *bench) machine() string {
	node, err := exec.Command(b.node, "--version").Output()
	check(err)
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	check(err)
	version, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-") // not whose build it is
	cpus, err := os.ReadFile("/proc/cpuinfo")
	check(err)
	processor := "unknown processor"
	if m := model.FindSubmatch(cpus); m != nil {
		processor = string(m[1])
	}
	who := "an ordinary user"
	if os.Getuid() == 0 {
		who = "root"
	}
	busy, err := os.ReadFile("/proc/loadavg")
	check(err)
	return fmt.Sprintf("%s: %d cores of %s, Linux %s, Node %s for all, as %s, load before the run %s.", time.Now().Format(time.DateOnly),
		runtime.NumCPU(), processor, version, strings.TrimSpace(string(node)), who, strings.Fields(string(busy))[0])
}

// say tells how far the run is; results alone go to standard output.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// check ends the run: what was not foreseen must not look like a figure.
func check(err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
