package cli

// weir logs: what functions printed, and what was denied them.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/weir"
)

func newLogs(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	var q client.LogQuery
	var since string
	var follow bool
	c := &cobra.Command{
		Use:   "logs",
		Short: "See what the functions of a site print, and what they are denied",
		Long: `Prints the last lines that functions of a site printed, with what they were denied and how
their invocations ended; with --follow also those to come, until it is interrupted.`,
		Example: `  weir logs --site shop --function charge
  weir logs --site shop --follow
  weir logs --site shop --request 01JFQ8Z3V9T5N2K7C4M6B1XADE`,
		Args: cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			name, err := site.find(".")
			if err == nil {
				q.Since, err = moment(since, "--since")
			}
			if err == nil {
				err = checkLast(q.Limit, follow)
			}
			if err != nil {
				return err
			}
			print := func(l wire.LogLine) error { return printLine(s, out, l, f.json) }
			if follow {
				return c.FollowLogs(ctx, name, q, print, tryingAgain(s))
			}
			all, err := c.Logs(ctx, name, q)
			if err != nil {
				return err
			}
			for _, l := range all {
				if err := print(l); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	f.register(c)
	site.register(c)
	fl := c.Flags()
	fl.BoolVarP(&follow, "follow", "f", false, "go on with the lines to come")
	fl.StringVar(&q.Function, "function", "", "only of the function `NAME`")
	fl.StringVar(&q.Request, "request", "", "only of the request `ID`, which answers name in x-nf-request-id")
	fl.StringVar(&since, "since", "", "only from `WHEN` on: "+momentForms)
	fl.IntVarP(&q.Limit, "last", "n", 100, "the last `N` lines of those that are there")
	return c
}

// checkLast refuses a number of lines that can't be. None makes sense only where others are to come.
func checkLast(n int, more bool) error {
	if n < 0 || n == 0 && !more {
		return &usageError{fmt.Errorf("--last %d is no number of lines", n)}
	}
	return nil
}

// printLine prints a line of a log as one line, whatever is in it.
func printLine(s *streams, out io.Writer, l wire.LogLine, asJSON bool) error {
	if asJSON {
		b, err := json.Marshal(l)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, weir.PrintableJSON(string(b)))
		return err
	}
	_, err := fmt.Fprintf(out, "%s %s %s %s | %s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), cell(l.Function), orDash(cell(l.Request)), cell(l.Stream), weir.Printable(l.Text))
	return err
}
