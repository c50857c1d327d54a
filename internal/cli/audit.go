package cli

// weir audit: what was tried, by whom, and that the records of it are whole.

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

func newAudit(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "See what functions tried, and that the records of it are whole",
		Example: `  weir audit tail records.jsonl
  weir audit query records.jsonl --since 1h --decision deny
  weir audit verify records.jsonl`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newAuditTail(s), newAuditQuery(s), newAuditVerify(s))
	for _, below := range c.Commands() {
		below.RunE = promptly(below.RunE)
	}
	return c
}

// filterFlags pick records.
type filterFlags struct {
	record.Filter
	verdict string
}

// kinds are the kinds of records that can be picked.
var kinds = append(slices.Clone(record.Kinds), "invocation", "change")

func (f *filterFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.Function, "function", "", "only of the function `NAME`; * stands for any characters")
	fl.StringVar(&f.Host, "host", "", "only calls of the host `NAME`; * stands for any characters")
	fl.StringVar(&f.verdict, "decision", "", "only what was decided so: `allow|deny`")
	fl.StringVar(&f.Kind, "kind", "", "only of this `KIND`: "+strings.Join(kinds, ", "))
}

func (f *filterFlags) filter() (record.Filter, error) {
	f.Verdict = record.Verdict(f.verdict)
	switch {
	case f.verdict != "" && f.Verdict != record.Allow && f.Verdict != record.Deny:
		return f.Filter, &usageError{fmt.Errorf("--decision is allow or deny, not %q", f.verdict)}
	case f.Kind != "" && !slices.Contains(kinds, f.Kind):
		return f.Filter, &usageError{fmt.Errorf("there is no --kind %q; kinds are %s", f.Kind, strings.Join(kinds, ", "))}
	case f.Valid() != nil:
		return f.Filter, &usageError{errors.New("--function and --host are names in which * stands for any characters")}
	}
	return f.Filter, nil
}

func newAuditTail(s *streams) *cobra.Command {
	var f filterFlags
	var asJSON bool
	var since string
	var last int
	c := &cobra.Command{
		Use:   "tail FILE",
		Short: "Show records as they are written",
		Long: `Shows the last records of FILE, which is what was given as --records, and of the full files beside
it, and then each new one, also when the server goes on in a new file. It ends when it is interrupted.`,
		Example: `  weir audit tail records.jsonl
  weir audit tail records.jsonl --since 1h
  weir audit tail records.jsonl --decision deny --function charge --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err == nil {
				filter.Since, err = moment(since, "--since")
			}
			if err != nil {
				return err
			}
			if last < 0 {
				return &usageError{fmt.Errorf("--last is a number of records, not %d", last)}
			}
			if since != "" && !c.Flags().Changed("last") {
				last = -1
			}
			return record.Follow(c.Context(), args[0], filter, last, func(e record.Entry) error {
				_, err := fmt.Fprintln(s.out, entryLine(&e, asJSON))
				return err
			}, nil)
		},
	}
	f.register(c)
	c.Flags().StringVar(&since, "since", "", "begin with all from `WHEN` on: "+momentForms)
	c.Flags().IntVarP(&last, "last", "n", 10, "begin with the last `N` records of those that are there")
	c.Flags().BoolVar(&asJSON, "json", false, "print the records themselves, JSON Lines")
	return c
}

func newAuditQuery(s *streams) *cobra.Command {
	var f filterFlags
	var asJSON bool
	var since, until string
	c := &cobra.Command{
		Use:   "query FILE...",
		Short: "Find records",
		Long: `Prints the records of FILE, which is what was given as --records, and of the full files beside
it, the oldest first. Lines that tell of records that are missing are always printed.`,
		Example: `  weir audit query records.jsonl --since 1h --decision deny
  weir audit query records.jsonl --function charge --host '*.stripe.com' --json
  weir audit query records.jsonl --since 2026-01-02 --until 2026-01-03T12:00:00Z`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err == nil {
				filter.Since, err = moment(since, "--since")
			}
			if err == nil {
				filter.Until, err = moment(until, "--until")
			}
			if err != nil {
				return err
			}
			return runAuditQuery(c, s, args, filter, asJSON)
		},
	}
	f.register(c)
	c.Flags().StringVar(&since, "since", "", "only from `WHEN` on: "+momentForms)
	c.Flags().StringVar(&until, "until", "", "only up to `WHEN`, in the same forms")
	c.Flags().BoolVar(&asJSON, "json", false, "print the records themselves, JSON Lines")
	return c
}

func runAuditQuery(c *cobra.Command, s *streams, files []string, filter record.Filter, asJSON bool) error {
	out := bufio.NewWriter(s.out)
	for _, path := range files {
		if err := record.ReadFiles(path, func(e record.Entry) error {
			if filter.Match(&e) {
				if _, err := fmt.Fprintln(out, entryLine(&e, asJSON)); err != nil {
					return err
				}
			}
			return c.Context().Err()
		}); err != nil {
			return errors.Join(out.Flush(), err) // what could be read is shown
		}
	}
	return out.Flush()
}

// momentForms are the forms that moment reads.
const momentForms = "a time (2026-01-02T15:04:05Z), a day (2026-01-02: its beginning, UTC), or how long ago (90m, 24h)"

// moment reads a time, or how long ago it was.
func moment(text, flag string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	return time.Time{}, &usageError{fmt.Errorf("%s %q is neither a time (2026-01-02T15:04:05Z, 2026-01-02) nor how long ago (90m, 24h)", flag, text)}
}

// entryLine gives a record as one line that no terminal takes for more: as it was written, or for
// people.
func entryLine(e *record.Entry, asJSON bool) string {
	if asJSON {
		return weir.PrintableJSON(strings.TrimSuffix(string(e.Raw), "\n"))
	}
	text := ""
	switch {
	case e.Decision != nil:
		text = e.Decision.String()
	case e.Invocation != nil:
		text = e.Invocation.String()
	case e.Change != nil:
		text = e.Change.String()
	case e.Dropped != nil:
		text = fmt.Sprintf("%d records could not be written", e.Dropped.Count)
	case e.Resumed != nil:
		text = "a writer went on after one that had not closed the file"
	}
	return weir.Printable(e.Time().UTC().Format("2006-01-02T15:04:05.000Z") + " " + text)
}
