package cli

// weir policy check: faults and advice, for people and for CI.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/lint"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/weir"
)

type checkFlags struct {
	context string
	ceiling string
	records evidenceFlags
	strict  bool
	json    bool
}

func newPolicyCheck(s *streams) *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check [DIR]",
		Short: "Say what is wrong with the policies of a site, and what is wider than it need be",
		Long: `Reads the policies of the site in DIR (default: this folder) and says what is wrong with
them, and what is wider than its author likely meant or has no effect. With --records, it
also names the rules that nothing recorded needed. Advice alone leaves the exit code 0,
with --strict 1; what is wrong makes it 3. With --ceiling, it also says what of them the
organisation's ceiling does not grant, as a server would cut it, and then exits with 1.`,
		Example: `  weir policy check
  weir policy check site --strict
  weir policy check --ceiling ceiling.toml
  weir policy check --records records.jsonl --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runPolicyCheck(c.Context(), s, &f, dirArg(args)) },
	}
	contextFlag(c, &f.context)
	f.records.register(c, "")
	c.Flags().StringVar(&f.ceiling, "ceiling", "", "`FILE` with the most that any policy may allow, as weir serve takes it")
	c.Flags().BoolVar(&f.strict, "strict", false, "exit with 1 if there is any advice")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func runPolicyCheck(ctx context.Context, s *streams, f *checkFlags, dir string) error {
	site, err := loadSite(dir, f.context)
	if err != nil {
		return err
	}
	for _, w := range site.Warnings {
		fmt.Fprintf(s.err, "weir: %s\n", w)
	}
	found, err := f.advice(ctx, s, site, dir)
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(s, struct {
			Functions int            `json:"functions"`
			Findings  []lint.Finding `json:"findings"`
		}{len(site.Functions), append([]lint.Finding{}, found...)})
	} else {
		err = printAdvice(s, site, found)
	}
	beyond := slices.ContainsFunc(found, func(x lint.Finding) bool { return x.ID == lint.Beyond })
	if err == nil && (f.strict && len(found) > 0 || beyond) {
		return &quietExit{exitError}
	}
	return err
}

// advice is all that is to be said about the policies of a site.
func (f *checkFlags) advice(ctx context.Context, s *streams, site *sitepolicy.Site, dir string) ([]lint.Finding, error) {
	var fs lint.Findings
	fs.Sections(site.Unmatched)
	for _, fn := range site.Functions {
		fs.Policy(fn.Engine)
		fs.HeldLess(fn.Policy, fn.Warnings)
	}
	if f.ceiling != "" {
		if err := beyond(&fs, site, f.ceiling); err != nil {
			return nil, err
		}
	}
	if len(f.records.files) == 0 {
		return fs.List(), nil
	}
	var u lint.Usage
	if _, err := f.records.read(ctx, s, dir, &u); err != nil {
		return nil, err
	}
	for _, fn := range site.Functions {
		fs.Unused(fn.Engine, &u)
	}
	return fs.List(), nil
}

// beyond finds what of the policies a ceiling does not grant.
func beyond(fs *lint.Findings, site *sitepolicy.Site, file string) error {
	ceiling, err := readCeiling(file)
	if err != nil {
		return err
	}
	for _, fn := range site.Functions {
		top, err := ceiling.For(fn.Policy.Function)
		if err != nil {
			return err
		}
		_, over, err := policy.Cut(fn.Policy, top)
		if err != nil {
			return err
		}
		fs.Beyond(fn.Policy, over)
	}
	return nil
}

// readCeiling reads the file that --ceiling names.
func readCeiling(file string) (*tomlpolicy.Ceiling, error) {
	text, err := readFile(file, "--ceiling")
	if err != nil {
		return nil, err
	}
	return tomlpolicy.ParseCeiling(file, text)
}

func printAdvice(s *streams, site *sitepolicy.Site, found []lint.Finding) error {
	for _, x := range found {
		line := x.String()
		if x.Place != "" {
			line = x.Place + ": " + line
		}
		if _, err := fmt.Fprintln(s.out, weir.Printable(line)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.out, "%s checked, advice: %d\n", counted(len(site.Functions), "function"), len(found))
	return err
}

// counted gives a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// printJSON prints a result for programs, which drives no terminal either.
func printJSON(s *streams, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(s.out, weir.PrintableJSON(b.String()))
	return err
}
