package build

// A bundler can't be bounded from inside the process that runs it: a source file that is nested deep
// enough, or one that never ends, takes the process with it. What the site's sources are is decided
// by strangers, so the bundling is done in a child. If it dies, each function gets a child of its
// own, and the guilty one is told from the others.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// childName is the argv[0] by which this program bundles functions for another.
const childName = "weir-bundle-functions"

// Bounds of one child.
const (
	maxMemory = 2 << 30 // bytes beyond what the process has at its start
	maxStack  = 256 << 20
	maxTime   = 5 * time.Minute
	minTime   = 10 * time.Second // that a function has by itself
)

// timeAlone bounds a child that bundles one of n functions, after the child for all has died: together they have
// about as long as that one, however many hang.
func timeAlone(n int) time.Duration { return max(maxTime/time.Duration(n), minTime) }

// job is what a child is told on its standard input.
type job struct {
	Dir      string    // the site; "" if all functions are archives
	Archives []spooled // those that belong to no site
	Names    []string  // of the functions to build
	Env      map[string]string
	// Scratch is a folder for what archives hold; "" if there are none.
	Scratch string
	// Bytes and Entries are how much all Archives together may unpack to.
	Bytes, Entries int64
}

// functions gives what makes each function of a job.
func (j *job) functions() (map[string]func() output, error) {
	make := map[string]func() output{}
	left := newBudget(j.Bytes, j.Entries)
	for _, a := range j.Archives {
		make[a.Name] = func() output { return a.build(j.Scratch, j.Env, left) }
	}
	if j.Dir == "" {
		return make, nil
	}
	s, err := site.Load(j.Dir)
	if err != nil {
		return nil, err // it changed since the parent read it; the parent will read it again
	}
	known := newMemo()
	for _, f := range s.Functions {
		make[f.Name] = func() output { return buildFunction(context.Background(), s, f, known, j.Env, j.Scratch) }
	}
	return make, nil
}

// wire is an output as a child sends it: one JSON object a line, in any order.
type wire struct {
	Name, Entry, Export string
	Config              weir.FunctionConfig
	Form                string
	Files               map[string]wireFile
	PackEntry, PackWhy  string
	PackFiles           map[string]wireFile // nil: there is no pack
	Policy              *policy.Policy
	Warnings            []string
	Took                taken
	Errors              []weir.Error // with the cause's text in Message
}

type wireFile struct {
	Path string
	Data []byte
	Link string
}

// init makes every program that can build a site also the child. Were it a call that main must not
// forget, forgetting it would run main again, once for every build.
func init() {
	if len(os.Args) > 0 && os.Args[0] == childName {
		os.Exit(child(os.Stdin, os.Stdout))
	}
}

func child(stdin io.Reader, stdout io.Writer) (status int) {
	debug.SetMaxStack(maxStack)
	limit := dataSize() + maxMemory
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return 1
	}
	var j job
	if err := json.NewDecoder(stdin).Decode(&j); err != nil {
		return 1
	}
	functions, err := j.functions()
	if err != nil {
		return 1
	}
	var mu sync.Mutex
	out := json.NewEncoder(stdout)
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, name := range j.Names {
		build, ok := functions[name]
		if !ok {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			w := build().wire()
			<-slots
			mu.Lock()
			defer mu.Unlock()
			if out.Encode(w) != nil {
				status = 1
			}
		})
	}
	wg.Wait()
	return status
}

// dataSize gives the bytes that count against RLIMIT_DATA now (VmData in proc_pid_status(5)).
func dataSize() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmData:")
	line, _, _ := strings.Cut(after, "kB")
	n, _ := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	return n << 10
}

// buildSite builds every function of s, in their order. A bootstrap file sees the variables of env; archives are
// unpacked in the folder scratch.
func buildSite(ctx context.Context, s *site.Site, env map[string]string, scratch string) ([]output, error) {
	j := job{Dir: s.Dir, Env: env, Scratch: scratch}
	for _, f := range s.Functions {
		j.Names = append(j.Names, f.Name)
	}
	return buildAll(ctx, j, listed(s, scratch), func(i int, why string) error {
		return broken(s.Rel(s.Functions[i].Main), "it can't be bundled: "+why,
			"look for a file that is nested too deeply, too large or not a regular file, also among its packages")
	})
}

// buildAll builds every function that j names, in their order, by a child that lists no folders but these. blame
// makes the error of one that no child has survived.
func buildAll(ctx context.Context, j job, folders []string, blame func(i int, why string) error) ([]output, error) {
	names := j.Names
	done, err := runChild(ctx, j, folders, maxTime)
	out := make([]output, len(names))
	for i, name := range names {
		w, ok := done[name]
		if !ok && len(names) > 1 { // the child died; whose fault was it?
			var alone map[string]wire
			j.Names = []string{name}
			alone, err = runChild(ctx, j, folders, timeAlone(len(names)))
			w, ok = alone[name]
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if out[i] = w.output(); !ok {
			out[i] = output{name: name, err: blame(i, died(err))}
		}
	}
	return out, nil
}

// died says why a child gave no result.
func died(err error) string {
	var exit *exec.ExitError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "bundling takes too long"
	case errors.As(err, &exit) && exit.ExitCode() == 2: // Go's own for out of memory and stack overflow
		return "bundling takes too much memory"
	}
	return "the bundler ended without a result"
}

// runChild does a job and gives the functions that were finished in the most time it has; the child lists no
// folders but these. The error says how the child ended.
func runChild(ctx context.Context, j job, folders []string, most time.Duration) (done map[string]wire, err error) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		runtime.LockOSThread() // never unlocked: the thread is confined for good, and ends here
		if err = confine(folders); err == nil {
			done, err = runConfined(ctx, j, most)
		}
	}()
	<-over
	return done, err
}

// runConfined is runChild on a thread that is as the child is to be. The child dies with it.
func runConfined(ctx context.Context, j job, most time.Duration) (map[string]wire, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	in, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	// A binary with the race detector would otherwise sleep for a second when it ends.
	cmd.Env = []string{"GOTRACEBACK=none", "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(string(in))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := map[string]wire{}
	for dec := json.NewDecoder(bufio.NewReader(pipe)); ; {
		var w wire
		if dec.Decode(&w) != nil {
			break
		}
		done[w.Name] = w
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return done, err
}

func (o output) wire() wire {
	w := wire{Name: o.name, Entry: o.entry, Export: o.export, Config: o.config, Form: o.form, Files: o.files.wire(), Policy: o.policy, Warnings: o.warnings, Took: o.took,
		PackEntry: o.pack.entry, PackWhy: o.pack.why, PackFiles: o.pack.files.wire()}
	w.addErrors(o.err)
	return w
}

func (t tree) wire() map[string]wireFile {
	if t == nil {
		return nil
	}
	files := map[string]wireFile{}
	for name, f := range t {
		files[name] = wireFile{f.path, f.data, f.link}
	}
	return files
}

func treeOf(files map[string]wireFile) tree {
	if files == nil {
		return nil
	}
	t := tree{}
	for name, f := range files {
		t[name] = source{path: f.Path, data: f.Data, link: f.Link}
	}
	return t
}

func (w *wire) addErrors(err error) {
	if err == nil {
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			w.addErrors(e)
		}
		return
	}
	e := weir.Error{Code: weir.ErrorCode(err), Message: err.Error()}
	var known *weir.Error
	if errors.As(err, &known) {
		e = *known
		if e.Err != nil {
			e.Message += ": " + e.Err.Error()
			e.Err = nil
		}
	}
	w.Errors = append(w.Errors, e)
}

func (w wire) output() output {
	o := output{name: w.Name, entry: w.Entry, export: w.Export, config: w.Config, form: w.Form, files: treeOf(w.Files), policy: w.Policy, warnings: w.Warnings, took: w.Took,
		pack: packForm{w.PackEntry, treeOf(w.PackFiles), w.PackWhy}}
	var errs []error
	for i := range w.Errors {
		errs = append(errs, &w.Errors[i])
	}
	if len(errs) == 1 {
		o.err = errs[0]
	} else {
		o.err = errors.Join(errs...)
	}
	return o
}
