package cli

// weir policy diff: what a change gives away, before it is merged.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy/diff"
	"github.com/weir-run/weir/internal/policy/snapshot"
	"github.com/weir-run/weir/internal/weir"
)

type diffFlags struct {
	context                         string
	git                             string
	exitCode, json, markdown, sarif bool
}

func newPolicyDiff(s *streams) *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:   "diff (OLD NEW | --git REVISION [DIR])",
		Short: "Say which privileges functions gain or lose from one policy to another",
		Long: `Compares the policies OLD and NEW, each a weir.toml, the folder of a site or the folder of
an artifact, or with --git the site in DIR (default: this folder) with itself in an earlier
revision. It compares what is allowed, not how it is written: where rules stand and in
which order is no change. What can't be told for sure counts as gained.`,
		Example: `  weir policy diff weir.toml proposal.toml
  weir policy diff --git origin/main --exit-code
  weir policy diff --git origin/main site --markdown >comment.md`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return runPolicyDiff(c.Context(), s, &f, args) },
	}
	contextFlag(c, &f.context)
	c.Flags().StringVar(&f.git, "git", "", "compare with this `REVISION`: a branch, a tag or a commit")
	c.Flags().BoolVar(&f.exitCode, "exit-code", false, "exit with 10 if any privilege is gained")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	c.Flags().BoolVar(&f.markdown, "markdown", false, "print Markdown, for a comment on a pull request")
	c.Flags().BoolVar(&f.sarif, "sarif", false, "print what is gained as SARIF 2.1.0, for code scanning")
	return c
}

func runPolicyDiff(ctx context.Context, s *streams, f *diffFlags, args []string) error {
	before, after, err := f.open(ctx, args)
	if err != nil {
		return err
	}
	a, b, unmatched, err := snapshot.Pair(before, after)
	if err != nil {
		return err
	}
	for _, w := range unmatched {
		fmt.Fprintf(s.err, "weir: %v\n", w)
	}
	r, err := diff.Compare(a, b)
	if err != nil {
		return err
	}
	if err := f.print(s, r, after.Dir); err != nil {
		return err
	}
	if f.exitCode && r.Gains() > 0 {
		return &quietExit{exitGained}
	}
	return nil
}

func (f *diffFlags) open(ctx context.Context, args []string) (before, after *snapshot.Snapshot, err error) {
	env := contextVariables(f.context)
	switch {
	case f.json && f.markdown || f.json && f.sarif || f.markdown && f.sarif:
		return nil, nil, &usageError{errors.New("--json, --markdown and --sarif exclude each other")}
	case f.git == "" && len(args) != 2:
		return nil, nil, &usageError{fmt.Errorf("two policies are compared, and %d were named; with --git REVISION, a site is compared with itself", len(args))}
	case f.git != "" && len(args) > 1:
		return nil, nil, &usageError{errors.New("with --git, there is but one folder to name")}
	case f.git != "":
		dir := dirArg(args)
		if before, err = snapshot.OpenGit(ctx, f.git, dir, env); err != nil {
			return nil, nil, fmt.Errorf("in the revision %s: %w", f.git, err)
		}
		after, err = snapshot.Open(dir, env)
		return before, after, err
	}
	if before, err = snapshot.Open(args[0], env); err != nil {
		return nil, nil, err
	}
	after, err = snapshot.Open(args[1], env)
	return before, after, err
}

// workingDir is this folder, "" if it is gone.
func workingDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

// print writes the result in the form that was asked for. Text of a policy's author drives no terminal.
func (f *diffFlags) print(s *streams, r diff.Result, dir string) error {
	var b bytes.Buffer
	var err error
	switch {
	case f.json:
		err = r.JSON(&b)
	case f.sarif:
		if rel, err := filepath.Rel(workingDir(), dir); err == nil && filepath.IsAbs(dir) {
			dir = rel
		}
		err = r.SARIF(&b, filepath.ToSlash(dir))
	case f.markdown:
		err = r.Markdown(&b)
	default:
		err = r.Text(&b)
	}
	if err != nil {
		return err
	}
	text := b.String()
	if f.json || f.sarif {
		text = weir.PrintableJSON(text)
	} else {
		text = printableLines(text)
	}
	_, err = io.WriteString(s.out, text)
	return err
}
