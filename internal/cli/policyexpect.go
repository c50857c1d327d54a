package cli

// weir policy test: expectations that stand beside weir.toml, held against the policies.

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/expect"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/weir"
)

type testFlags struct {
	context string
	file    string
	json    bool
}

func newPolicyTest(s *streams) *cobra.Command {
	var f testFlags
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "Hold the policies of a site against what is expected of them",
		Long: `Reads ` + expect.FileName + ` beside the weir.toml of the site in DIR (default: this folder), which
says what functions must be allowed and what must be denied, and asks their policies:

    [functions.charge]
    allow = ["POST https://api.stripe.com/v1/charges", "tcp db.internal:5432"]
    deny = ["POST https://api.stripe.com/v1/refunds", "exec /bin/sh"]

Each is written as for weir policy explain. The exit code is 1 if one does not hold.`,
		Example: `  weir policy test
  weir policy test site --file site/strict.test.toml --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runPolicyTest(s, &f, dirArg(args)) },
	}
	contextFlag(c, &f.context)
	c.Flags().StringVar(&f.file, "file", "", "`FILE` with the expectations (default: DIR/"+expect.FileName+")")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func runPolicyTest(s *streams, f *testFlags, dir string) error {
	file := f.file
	if file == "" {
		file = filepath.Join(dir, expect.FileName)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "the expectations can't be read", Err: err, Remedy: "write them, or name their file with --file; weir policy test --help has an example"}
	}
	expectations, err := tomlpolicy.ParseExpectations(file, data)
	if err != nil {
		return err
	}
	if len(expectations) == 0 {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: file}, Message: "nothing is expected", Remedy: `write [functions.NAME] with allow = ["METHOD URL"] or deny = [...]`}
	}
	site, err := loadSite(dir, f.context)
	if err != nil {
		return err
	}
	var engines []*policy.Engine
	for _, fn := range site.Functions {
		engines = append(engines, fn.Engine)
	}
	outcomes, err := expect.Run(expectations, engines)
	if err != nil {
		return err
	}
	return tellOutcomes(s, f, outcomes)
}

func tellOutcomes(s *streams, f *testFlags, outcomes []expect.Outcome) error {
	failed := 0
	for _, o := range outcomes {
		if !o.OK {
			failed++
		}
	}
	var err error
	if f.json {
		err = printJSON(s, struct {
			Passed   int              `json:"passed"`
			Failed   int              `json:"failed"`
			Outcomes []expect.Outcome `json:"outcomes"`
		}{len(outcomes) - failed, failed, outcomes})
	} else {
		err = printOutcomes(s, outcomes, failed)
	}
	if err == nil && failed > 0 {
		return &quietExit{exitError}
	}
	return err
}

func printOutcomes(s *streams, outcomes []expect.Outcome, failed int) error {
	for _, o := range outcomes {
		if o.OK {
			continue
		}
		if _, err := fmt.Fprintf(s.out, "%s: %s: expected %s: %s\n", weir.Printable(o.Place), o.Function, o.Expected, weir.Printable(o.Answer.String())); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.out, "%d passed, %d failed\n", len(outcomes)-failed, failed)
	return err
}
