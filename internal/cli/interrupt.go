package cli

// What ends a command early: SIGINT and SIGTERM.

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i *interrupted) Error() string { return "interrupted" }

// code is the exit code that shells give a command that a signal ended.
func (i *interrupted) code() int { return 128 + int(i.signal) }

// insist is how long after the first signal another one ends the process at once. A terminal and who is run by it may
// both pass one on.
const insist = time.Second

// untilSignal gives a context that the first SIGINT or SIGTERM ends. One that comes later is for who will not wait for
// that end, and takes its course. The caller must call the function it gets.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			cancel(&interrupted{s.(syscall.Signal)})
			time.AfterFunc(insist, func() { signal.Stop(signals) })
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// tidyTime is what a command that is interrupted has to remove what it wrote for a while.
const tidyTime = 500 * time.Millisecond

// promptly makes a command that only reads files end when it is interrupted, even while it waits for a
// file that gives nothing, such as a fifo, or reads one that takes long.
func promptly(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		done := make(chan error, 1)
		go func() { done <- run(c, args) }()
		select {
		case err := <-done:
			return err
		case <-c.Context().Done():
		}
		select {
		case err := <-done:
			return err
		case <-time.After(tidyTime):
			return c.Context().Err()
		}
	}
}
