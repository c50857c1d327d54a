// Package cli is the command line: one file for each command. It must not know how anything is
// done, only how it is asked for and how the outcome is told.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/weir"
)

// Exit codes. docs/cli.md says the same to users.
const (
	exitOK       = 0
	exitError    = 1  // something failed; the message says what
	exitUsage    = 2  // a flag or an argument is wrong
	exitInput    = 3  // a file of the user's is wrong
	exitNoWall   = 4  // a wall can't be raised on this machine
	exitFunction = 5  // the function was invoked and answered with an error
	exitPolicy   = 6  // a policy would deny what it should allow
	exitHeld     = 7  // deploy: it waits for approval
	exitGained   = 10 // policy diff --exit-code: a privilege is gained
	exitDenied   = 11 // policy explain --exit-code: the answer is no
)

// streams are what a command may talk to. Nothing but results goes to out.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs one command line and gives its exit code. It ends early, in order, on SIGINT and
// SIGTERM.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := untilSignal()
	defer stop()
	// net/http writes there what an upstream sent out of turn: a body, which no log may hold.
	log.SetOutput(io.Discard)
	errw = messages{errw}
	root := newRoot(&streams{in, out, errw})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var silent *quietExit
	if errors.As(err, &silent) {
		return silent.code
	}
	var by *interrupted
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &by) {
		fmt.Fprintln(errw, "weir: interrupted")
		return by.code()
	}
	fmt.Fprintf(errw, "weir: %v\n", err)
	return exitCode(err)
}

// messages is where people are told things. What they hold of strangers' text drives no terminal.
type messages struct{ to io.Writer }

func (m messages) Write(b []byte) (int, error) {
	_, err := io.WriteString(m.to, printableLines(string(b)))
	return len(b), err
}

// printableLines makes a text that is several lines fit for a terminal.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = weir.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// quietExit ends a command that has said everything already.
type quietExit struct{ code int }

func (e *quietExit) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// usageError is a wrong flag or argument.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + "; see --help" }

func exitCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	switch weir.ErrorCode(err) {
	case weir.Invalid, weir.Broken, weir.NotFound, weir.TooLarge:
		return exitInput
	case weir.NoWall:
		return exitNoWall
	}
	return exitError
}

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Runs the functions of Netlify sites behind walls of the operating system",
		Example: `  weir dev
  weir dev --learn
  weir policy learn --out weir.toml`,
		Long: `Weir is the content security policy of the backend. It runs functions written for
Netlify or AWS Lambda unchanged; each may make exactly the outbound calls, read and
write exactly the files, start exactly the programs and see exactly the variables that
its policy names, whatever any of its dependencies tries.`,
		Version:       weir.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          runGroup,
	}
	root.SetVersionTemplate("weir {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Help about any command", RunE: runHelp})
	root.AddCommand(newDev(s), newServe(s), newInvoke(s), newDemo(s), newDoctor(s), newAudit(s), newPolicy(s),
		newDeploy(s), newDeploys(s), newRollback(s), newSites(s), newEnv(s), newToken(s), newLogs(s), newJobs(s))
	for _, c := range root.Commands() {
		checkArgs(c)
	}
	return root
}

// runGroup is what a command does that only holds others: help, and an answer to names of none.
func runGroup(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	err := fmt.Errorf("there is no command %q", args[0])
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return &usageError{err}
}

// runHelp shows the help of the command that is named; cobra's own shows that of weir for a name of none.
func runHelp(c *cobra.Command, args []string) error {
	about, rest, err := c.Root().Find(args)
	if err != nil {
		return &usageError{err}
	}
	if len(rest) > 0 {
		return runGroup(about, rest)
	}
	return about.Help()
}

// flagError is for a flag that is not there, or whose value can't be understood: of numbers, it says so in
// the user's words instead of strconv's.
func flagError(_ *cobra.Command, err error) error {
	var number *strconv.NumError
	if errors.As(err, &number) {
		err = errors.New(strings.ReplaceAll(err.Error(), number.Error(), "must be a whole number in range"))
	}
	return &usageError{err}
}

// checkArgs makes too few or too many arguments of a command, or of one below it, usage errors.
func checkArgs(c *cobra.Command) {
	args := c.Args
	c.Args = func(c *cobra.Command, a []string) error {
		if args(c, a) != nil {
			return &usageError{fmt.Errorf("wrong number of arguments: %d; write %s", len(a), c.UseLine())}
		}
		return nil
	}
	for _, below := range c.Commands() {
		checkArgs(below)
	}
}

// stateDir is where artifacts and managed Node versions are kept. Sandboxes of a root user run
// with another uid and must be able to read it.
func stateDir() (string, error) {
	if d := os.Getenv("WEIR_STATE_DIR"); d != "" {
		return filepath.Abs(d)
	}
	if os.Getuid() == 0 {
		return "/var/cache/weir", nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", &weir.Error{Code: weir.Invalid, Message: "no place to keep artifacts", Err: err, Remedy: "set WEIR_STATE_DIR to a folder"}
	}
	return filepath.Join(d, "weir"), nil
}
