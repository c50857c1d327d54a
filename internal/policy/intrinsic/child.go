// This file exists because a script can't be bounded from inside the process that evaluates it: one
// call of a built-in ('x'.repeat(2**30), a regular expression) allocates or runs for as long as it
// likes, and too deep a nesting ends the process. So the evaluation is a process of its own.

package intrinsic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-run/weir/internal/policy"
)

// childName is the argv[0] by which this program evaluates a script from its standard input.
const childName = "weir-evaluate-bootstrap"

// Bounds of one evaluation.
const (
	hardTime  = time.Second      // beyond the script's time; then the process ends, whatever it does
	startTime = 10 * time.Second // of the whole child, which a busy machine may be slow to start
	maxMemory = 512 << 20        // bytes beyond what the process has at its start
	maxStack  = 128 << 20        // bytes of Go stack, for nesting in the source
	maxOutput = 8 << 20          // bytes
)

// maxTime is when the script is interrupted. (A variable so that tests of many endless ones end.)
var maxTime = time.Second

// Exit statuses of the child. Go's own for a fatal error (out of memory, stack overflow) is 2.
const (
	exitTime   = 3
	exitFailed = 4
)

// task is what the child is told.
type task struct {
	Source []byte
	Env    map[string]string
	Time   time.Duration
}

// evaluation is what the child sends back.
type evaluation struct {
	Rules       []rule
	Monitor     bool
	MonitorAt   place
	Problems    []problem
	Warnings    []problem
	HandlerFile string // as the script said it
	HandlerAt   place
	HandlerName string
}

type place struct{ Line, Column int }

type rule struct {
	Place   place
	Kind    policy.Kind
	Pattern string
}

type problem struct {
	Place   place
	Message string
	Remedy  string
}

// init makes every program that can load a bootstrap file also the program that evaluates it. Were
// it a call that main must not forget, forgetting it would run main again, once for every file.
func init() {
	if len(os.Args) > 0 && os.Args[0] == childName {
		os.Exit(child(os.Stdin, os.Stdout))
	}
}

// child evaluates the task on stdin and writes an evaluation to stdout.
func child(stdin io.Reader, stdout io.Writer) (status int) {
	debug.SetMaxStack(maxStack)
	for resource, limit := range map[int]uint64{
		syscall.RLIMIT_DATA: dataSize() + maxMemory,
		syscall.RLIMIT_CPU:  uint64(startTime / time.Second),
		syscall.RLIMIT_CORE: 0,
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return exitFailed
		}
	}
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return exitFailed
	}
	time.AfterFunc(t.Time+hardTime, func() { os.Exit(exitTime) })
	if err := json.NewEncoder(stdout).Encode(evaluate(&t)); err != nil {
		return exitFailed
	}
	return 0
}

// dataSize gives the bytes that count against RLIMIT_DATA now (VmData in proc_pid_status(5)).
func dataSize() uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := strings.Cut(string(status), "VmData:")
	line, _, _ := strings.Cut(after, "kB")
	n, _ := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	return n << 10
}

// evaluateInChild runs the child. The error is a sentence for the user.
func evaluateInChild(src []byte, env map[string]string) (*evaluation, error) {
	in, err := json.Marshal(task{src, env, maxTime})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{childName}
	// A binary with the race detector would otherwise sleep for a second when it ends.
	cmd.Env = []string{"GOTRACEBACK=none", "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(in)
	var out limitedBuffer
	cmd.Stdout = &out
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case out.full:
		return nil, errors.New("the script makes too many rules")
	case ctx.Err() != nil, errors.As(err, &exit) && exit.ExitCode() == exitTime:
		return nil, errors.New("the script takes longer than a second")
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		return nil, errors.New("the script takes more than 512MB of memory or is nested too deeply")
	case err != nil:
		return nil, errors.New("the script can't be evaluated: " + err.Error())
	}
	var e evaluation
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		return nil, errors.New("the script can't be evaluated: " + err.Error())
	}
	return &e, nil
}

// limitedBuffer takes maxOutput bytes and then fails, which ends the child.
type limitedBuffer struct {
	bytes.Buffer
	full bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		b.full = true
		return 0, errors.New("too much output")
	}
	return b.Buffer.Write(p)
}
