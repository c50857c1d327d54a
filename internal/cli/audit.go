package cli

// weir audit: what was tried, by whom, and that the records of it are whole.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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
	return c
}

// filterFlags pick records.
type filterFlags struct {
	record.Filter
	verdict string
}

func (f *filterFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.Function, "function", "", "only of the function `NAME`; * stands for any characters")
	fl.StringVar(&f.Host, "host", "", "only calls of the host `NAME`; * stands for any characters")
	fl.StringVar(&f.verdict, "decision", "", "only what was decided so: `allow|deny`")
	fl.StringVar(&f.Kind, "kind", "", "only of this `KIND`: http, ws, tcp, udp, dns, tls, read, write, exec, env, addon, syscall or invocation")
}

func (f *filterFlags) filter() (record.Filter, error) {
	f.Verdict = record.Verdict(f.verdict)
	kinds := []string{"", "http", "ws", "tcp", "udp", "dns", "tls", "read", "write", "exec", "env", "addon", "syscall", "invocation"}
	switch {
	case f.verdict != "" && f.Verdict != record.Allow && f.Verdict != record.Deny:
		return f.Filter, &usageError{fmt.Errorf("--decision is allow or deny, not %q", f.verdict)}
	case !slices.Contains(kinds, f.Kind):
		return f.Filter, &usageError{fmt.Errorf("there is no --kind %q; kinds are %s", f.Kind, strings.Join(kinds[1:], ", "))}
	case f.Valid() != nil:
		return f.Filter, &usageError{errors.New("--function and --host are names in which * stands for any characters")}
	}
	return f.Filter, nil
}

func newAuditTail(s *streams) *cobra.Command {
	var f filterFlags
	var asJSON bool
	var last int
	c := &cobra.Command{
		Use:   "tail FILE",
		Short: "Show records as they are written",
		Long: `Shows the last records of FILE, which is what was given as --records, and then each new one,
also when the server goes on in a new file. It ends when it is interrupted.`,
		Example: `  weir audit tail records.jsonl
  weir audit tail records.jsonl --decision deny --function charge --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			if last < 0 {
				return &usageError{fmt.Errorf("--last is a number of records, not %d", last)}
			}
			return runAuditTail(c, s, args[0], filter, last, asJSON)
		},
	}
	f.register(c)
	c.Flags().IntVar(&last, "last", 10, "begin with the last `N` records of those that are there")
	c.Flags().BoolVar(&asJSON, "json", false, "print the records themselves, JSON Lines")
	return c
}

func runAuditTail(c *cobra.Command, s *streams, path string, filter record.Filter, last int, asJSON bool) error {
	var before []string // the last ones that were there
	live := false
	return record.Follow(c.Context(), path, func(e record.Entry) error {
		if !filter.Match(&e) {
			return nil
		}
		if live {
			_, err := fmt.Fprintln(s.out, entryLine(&e, asJSON))
			return err
		}
		before = append(before, entryLine(&e, asJSON))
		if len(before) > last {
			before = before[1:]
		}
		return nil
	}, func() {
		for _, line := range before {
			fmt.Fprintln(s.out, line)
		}
		live, before = true, nil
	})
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
	c.Flags().StringVar(&since, "since", "", "only from `WHEN` on: a time (2026-01-02T15:04:05Z), a day (2026-01-02: its beginning, UTC), or how long ago (90m, 24h)")
	c.Flags().StringVar(&until, "until", "", "only up to `WHEN`, in the same forms")
	c.Flags().BoolVar(&asJSON, "json", false, "print the records themselves, JSON Lines")
	return c
}

func runAuditQuery(c *cobra.Command, s *streams, files []string, filter record.Filter, asJSON bool) error {
	out := bufio.NewWriter(s.out)
	for _, path := range files {
		if err := record.ReadFiles(path, func(e record.Entry) error {
			if !filter.Match(&e) {
				return c.Context().Err()
			}
			_, err := fmt.Fprintln(out, entryLine(&e, asJSON))
			return err
		}); err != nil {
			return errors.Join(out.Flush(), err) // what could be read is shown
		}
	}
	return out.Flush()
}

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
		return escaped(strings.TrimSuffix(string(e.Raw), "\n"))
	}
	text := ""
	switch {
	case e.Decision != nil:
		text = e.Decision.String()
	case e.Invocation != nil:
		text = e.Invocation.String()
	case e.Dropped != nil:
		text = fmt.Sprintf("%d records could not be written", e.Dropped.Count)
	case e.Resumed != nil:
		text = "a writer went on after one that had not closed the file"
	}
	return oneLine(e.Time().UTC().Format("2006-01-02T15:04:05.000Z") + " " + text)
}

// oneLine makes hostile text safe to be shown: it stays on its line, and drives no terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// escaped gives JSON in which what is not printable is escaped, so that it means the same.
func escaped(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func newAuditVerify(s *streams) *cobra.Command {
	var keys []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check that records are as they were written",
		Long: `Checks FILE, which is what was given as --records, and the full files beside it: that each line
follows the one before, and that the server's key signed them. Names the first broken
link of each file and says what it means, and what can't be known. The exit code is 1 if a
link is broken.`,
		Example: `  weir audit verify records.jsonl
  weir audit verify records.jsonl --key records.pub --json
  weir audit verify archive/records.jsonl.000007 --key records.pub`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runAuditVerify(s, args, keys, asJSON) },
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "`FILE` with a server's public key; may be repeated (default: records.pub in this machine's state directory)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func runAuditVerify(s *streams, args, keyFiles []string, asJSON bool) error {
	if len(keyFiles) == 0 {
		dir, err := stateDir()
		if err != nil {
			return err
		}
		keyFiles = []string{record.StateKey(dir)}
	}
	var keys []record.PublicKey
	for _, file := range keyFiles {
		k, err := record.ReadPublicKey(file)
		if err != nil {
			return err
		}
		keys = append(keys, k)
	}
	out := verdictOf{Whole: true}
	for _, path := range args { // each is a chain of its own
		checked, err := record.Verify(path, keys)
		if err != nil {
			return err
		}
		out.Files = append(out.Files, checked...)
	}
	return out.tell(s, asJSON)
}

// verdictOf is the outcome of verify.
type verdictOf struct {
	Whole bool             `json:"whole"`
	Files []record.Checked `json:"files"`
}

func (v *verdictOf) tell(s *streams, asJSON bool) error {
	for _, f := range v.Files {
		v.Whole = v.Whole && f.Broken == nil
	}
	if asJSON {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return err
		}
	} else {
		for i := range v.Files {
			for _, line := range checkedLines(&v.Files[i]) {
				fmt.Fprintln(s.out, oneLine(line))
			}
		}
	}
	if !v.Whole {
		return &quietExit{exitError}
	}
	return nil
}

// checkedLines says what became of checking a file.
func checkedLines(c *record.Checked) []string {
	var out []string
	if b := c.Broken; b != nil {
		at := weir.Position{File: c.File, Line: b.Line}
		out = append(out, fmt.Sprintf("%s: BROKEN: %s", at, b.Meaning))
	} else {
		end := "sealed"
		switch c.State {
		case record.Closed:
			end = "closed"
		case record.Open:
			end = "not closed or sealed: ended, cut off, or still being written"
		}
		line := fmt.Sprintf("%s: %d lines, each follows the one before; signed by %.16s…; %s", c.File, c.Lines, c.Key, end)
		if c.Unsigned > 0 {
			line += fmt.Sprintf("; %d lines without a signature of who wrote them", c.Unsigned)
		}
		out = append(out, line)
	}
	for _, n := range c.Notes {
		out = append(out, fmt.Sprintf("%s: note: %s", c.File, n))
	}
	return out
}
