package cli

// weir audit verify: whether records are as they were written.

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

type verifyFlags struct {
	keys   []string
	anchor string
	json   bool
}

// isHash is the form of a hash as verify prints it.
var isHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

func newAuditVerify(s *streams) *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE...",
		Short: "Check that records are as they were written",
		Long: `Checks FILE, which is what was given as --records, and the full files beside it: that each line
follows the one before, and that the server's key signed them. Names the first broken
link of each file and says what it means, and what can't be known. The exit code is 1 if a
link is broken. It prints the hash of the last line; --anchor takes one that an earlier verify
printed, and makes sure that the line is still there.`,
		Example: `  weir audit verify records.jsonl
  weir audit verify records.jsonl --key records.pub --json
  weir audit verify records.jsonl --anchor 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  weir audit verify archive/records.jsonl.000007 --key records.pub`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runAuditVerify(s, args, &f) },
	}
	registerKeys(c, &f.keys)
	c.Flags().StringVar(&f.anchor, "anchor", "", "`HASH` that an earlier verify printed as the head: records that were rolled back since then lack it")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func runAuditVerify(s *streams, args []string, f *verifyFlags) error {
	if f.anchor != "" && (len(args) != 1 || !isHash.MatchString(f.anchor)) {
		return &usageError{errors.New("--anchor is 64 hexadecimal digits that an earlier verify printed, and goes with one FILE")}
	}
	keys, err := publicKeys(f.keys)
	if err != nil {
		return err
	}
	out := verdictOf{Whole: true, Anchored: f.anchor == ""}
	for _, path := range args { // each is a chain of its own
		checked, err := record.Verify(path, keys, func(e record.Entry) error {
			out.Anchored = out.Anchored || record.Hash(e.Raw) == f.anchor ||
				e.Header != nil && e.Header.Prev == f.anchor // the last line of a file that was removed since
			return nil
		})
		if err != nil {
			return err
		}
		out.Files = append(out.Files, checked...)
	}
	for _, c := range out.Files {
		out.Whole = out.Whole && c.Broken == nil
	}
	out.Whole = out.Whole && out.Anchored
	if f.json {
		err = printJSON(s, out)
	} else {
		err = out.print(s)
	}
	if err == nil && !out.Whole {
		return &quietExit{exitError}
	}
	return err
}

// verdictOf is the outcome of verify.
type verdictOf struct {
	Whole    bool             `json:"whole"`
	Anchored bool             `json:"anchored"` // the line that --anchor names is there, or none was named
	Files    []record.Checked `json:"files"`
}

func (v *verdictOf) print(s *streams) error {
	var lines []string
	for i := range v.Files {
		lines = append(lines, checkedLines(&v.Files[i])...)
	}
	if !v.Anchored {
		lines = append(lines, "BROKEN: the line that --anchor names is not there: the records were rolled back or replaced, or it was removed with the oldest files")
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(s.out, weir.Printable(line)); err != nil {
			return err
		}
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
		out = append(out, line, fmt.Sprintf("%s: head %s", c.File, c.Head))
	}
	for _, n := range c.Notes {
		out = append(out, fmt.Sprintf("%s: note: %s", c.File, n))
	}
	return out
}
