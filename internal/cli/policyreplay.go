package cli

// weir policy replay: what a policy would change for calls that are on record.

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/learn"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

type replayFlags struct {
	dir     string
	records evidenceFlags
	policy  string
	json    bool
}

func newPolicyReplay(s *streams) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [DIR]",
		Short: "Ask a policy about recorded calls: what it would newly deny or allow",
		Long: `Reads records and asks a candidate about each call in them: the weir.toml of the site in
DIR (default: this folder), or the file that --policy names. It prints each call that the
candidate decides otherwise than it was decided. The exit code is 6 if it would deny a
call that was allowed.`,
		Example: `  weir policy replay --records records.jsonl
  weir policy replay site --records records.jsonl --policy stricter.toml --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.dir = dirArg(args)
			return runPolicyReplay(c.Context(), s, &f)
		},
	}
	f.records.register(c, recordsDefault)
	c.Flags().StringVar(&f.policy, "policy", "", "`FILE` with the candidate (default: DIR/weir.toml)")
	c.Flags().BoolVar(&f.json, "json", false, "print the outcome as JSON")
	return c
}

func runPolicyReplay(ctx context.Context, s *streams, f *replayFlags) error {
	candidate, text, err := f.candidate()
	if err != nil {
		return err
	}
	r := learn.NewReplay(func(function string) (*policy.Engine, error) {
		p, err := candidate.Of(function, nil)
		if err != nil {
			return nil, err
		}
		return policy.Compile(p)
	}, text)
	known, err := f.records.read(ctx, s, f.dir, r)
	if err != nil {
		return err
	}
	changes, err := r.Changes()
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(s, struct {
			*learn.Replay
			Changes  []learn.Change `json:"changes"`
			Evidence evidence       `json:"evidence"`
		}{r, changes, known})
	} else {
		err = printReplay(s, r, changes)
	}
	if err == nil && r.Denied > 0 {
		return &quietExit{exitPolicy}
	}
	return err
}

// candidate reads the candidate, and gives its text, too.
func (f *replayFlags) candidate() (*sitepolicy.File, string, error) {
	if f.policy != "" {
		b, err := readFile(f.policy, "--policy")
		if err != nil {
			return nil, "", err
		}
		file, err := sitepolicy.ParseFile(f.policy, b)
		return file, string(b), err
	}
	file, err := sitepolicy.ReadFile(f.dir)
	if err != nil {
		return nil, "", err
	}
	if file.Empty() {
		return nil, "", &weir.Error{Code: weir.NotFound, Message: f.dir + " has no " + sitepolicy.FileName, Remedy: "name the candidate with --policy"}
	}
	b, err := readFile(filepath.Join(f.dir, sitepolicy.FileName), "DIR")
	return file, string(b), err
}

func printReplay(s *streams, r *learn.Replay, changes []learn.Change) error {
	for _, c := range changes {
		word := "now denied"
		if c.Decision == record.Allow {
			word = "now allowed"
		}
		what := c.Kind + " " + c.Target
		if c.Method != "" {
			what = c.Method + " " + c.Target
		}
		line := fmt.Sprintf("%s: %s: %s (%d×, last %s)", word, c.Function, what, c.Calls, c.Last.UTC().Format("2006-01-02"))
		if c.Reason != "" {
			line += ": " + c.Reason
		}
		if c.Nearest != "" {
			line += "; rule " + withPlace(c.Nearest, c.Rule)
		}
		if _, err := fmt.Fprintln(s.out, weir.Printable(line)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.out, "calls newly denied: %d, newly allowed: %d, left commented for review: %d, as before: %d, can't be told: %d\n",
		r.Denied, r.Allowed, r.Waiting, r.Same, r.Unknown)
	return err
}
