package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// interrupt runs a command until it waits for a fifo, interrupts it and checks its exit code:
// interrupt SIGNAL CODE FIFO COMMAND ARGS…
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: interrupt SIGNAL CODE FIFO COMMAND ARGS…")
	}
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}[args[0]]
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if !ok {
		ts.Fatalf("no signal %s", args[0])
	}
	cmd := exec.Command(inPath(ts, args[3]), args[4:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "WEIR_STATE_DIR=" + ts.Getenv("WEIR_STATE_DIR")}
	var said bytes.Buffer
	cmd.Stderr = &said
	ts.Check(cmd.Start())
	writer := make(chan *os.File, 1)
	go func() { // a fifo opens for writing once it is read
		f, err := os.OpenFile(ts.MkAbs(args[2]), os.O_WRONLY, 0)
		if err == nil {
			writer <- f
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case f := <-writer:
		defer f.Close()
	case err := <-ended:
		ts.Fatalf("ended without reading %s: %v\n%s", args[2], err, &said)
	}
	ts.Check(cmd.Process.Signal(sig))
	err = <-ended
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want || !strings.Contains(said.String(), "weir: interrupted") {
		ts.Fatalf("%v, want exit code %d\n%s", err, want, &said)
	}
}

// inPath is the program that a script means by a name.
func inPath(ts *testscript.TestScript, name string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, name); exec.Command(p, "--help").Run() == nil {
			return p
		}
	}
	ts.Fatalf("there is no %s", name)
	return ""
}
