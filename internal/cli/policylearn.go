package cli

// weir policy learn: from records to a weir.toml that a person can read.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/learn"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

type learnFlags struct {
	dir     string
	records evidenceFlags
	out     string
	force   bool
	json    bool
}

func newPolicyLearn(s *streams) *cobra.Command {
	var f learnFlags
	c := &cobra.Command{
		Use:   "learn [DIR]",
		Short: "Make a weir.toml from what functions were seen to do",
		Long: `Reads records and prints a weir.toml that allows what the functions of the site in DIR
(default: this folder) did, with the evidence beside each rule. Ids in paths become *.
What a hijacked package may have done deserves a second look and is written as a comment,
with the reason. If the site has a weir.toml, it is kept as it is and added to; rules that
nobody used are named, never removed.`,
		Example: `  weir dev --learn                         # call the functions, then:
  weir policy learn --out weir.toml
  weir policy learn site --records monday.jsonl --records tuesday.jsonl
  weir policy learn --out weir.toml --force   # add to the weir.toml that is there`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.dir = dirArg(args)
			return runPolicyLearn(c.Context(), s, &f)
		},
	}
	f.records.register(c, recordsDefault)
	c.Flags().StringVar(&f.out, "out", "", "write to this `FILE` instead of standard output")
	c.Flags().BoolVar(&f.force, "force", false, "replace the file that --out names, if there is one")
	c.Flags().BoolVar(&f.json, "json", false, "print the proposal as JSON")
	return c
}

// recordsDefault is what is read without --records.
const recordsDefault = " (default: DIR/" + learnedRecords + ")"

func dirArg(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return "."
}

func runPolicyLearn(ctx context.Context, s *streams, f *learnFlags) error {
	if _, err := os.Lstat(f.out); f.out != "" && err == nil && !f.force {
		return &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: f.out}, Message: "there is such a file already",
			Remedy: "look at the proposal first, without --out; then replace the file with --force"}
	}
	pol, err := sitepolicy.Load(f.dir, contextVariables("dev"))
	if err != nil {
		return err
	}
	set := learn.NewSet()
	known, err := f.records.read(ctx, s, f.dir, set)
	if err != nil {
		return err
	}
	o := learn.Options{Exists: exists}
	if o.Existing, err = existing(pol, set.Functions()); err != nil {
		return err
	}
	if o.Sources, err = ownCode(s, f.dir); err != nil {
		return err
	}
	p, err := set.Propose(o)
	if err != nil {
		return err
	}
	text, err := proposed(p, pol, o.Existing)
	if err != nil {
		return err
	}
	if f.out != "" {
		if err := writeWhole(f.out, text); err != nil {
			return err
		}
	}
	switch {
	case f.json:
		err = printJSON(s, struct {
			*learn.Proposal
			Evidence evidence `json:"evidence"`
			Text     string   `json:"weir.toml"`
		}{p, known, text})
	case f.out == "":
		_, err = fmt.Fprint(s.out, text)
	}
	summarize(s, p, f.out)
	stillMonitored(s, o.Existing)
	return err
}

// existing gives the policies that functions have now.
func existing(pol *sitepolicy.Site, functions []string) (map[string]*policy.Policy, error) {
	out := map[string]*policy.Policy{}
	for _, name := range functions {
		var own *policy.Policy
		i := slices.IndexFunc(pol.Functions, func(f sitepolicy.Function) bool { return f.Name == name })
		if i >= 0 && pol.Functions[i].Policy != nil && pol.Functions[i].Policy.Intrinsic {
			own = pol.Functions[i].Policy
		}
		p, err := pol.File.Of(name, own)
		if err != nil {
			return nil, err
		}
		if p.Source != "" {
			out[name] = p
		}
	}
	return out, nil
}

// ownCode gives what the functions' own code names; nil if the folder is no site with functions.
func ownCode(s *streams, dir string) (func(function string) learn.Sources, error) {
	st, err := site.Load(dir)
	if err != nil {
		return nil, err
	}
	if len(st.Functions) == 0 {
		fmt.Fprintf(s.err, "%s has no functions, so nobody can tell which hosts their own code names\n", dir)
		return nil, nil
	}
	return func(function string) learn.Sources {
		i := slices.IndexFunc(st.Functions, func(f site.Function) bool { return f.Name == function })
		if i < 0 {
			return &site.Names{} // names nothing
		}
		return st.Names(st.Functions[i])
	}, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// proposed gives the text of the weir.toml that is proposed, and makes sure that Weir takes it.
func proposed(p *learn.Proposal, pol *sitepolicy.Site, have map[string]*policy.Policy) (string, error) {
	file := filepath.Join(pol.Dir, sitepolicy.FileName)
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	text, err := p.Edit(sitepolicy.FileName, string(before), have)
	if err != nil {
		return "", err
	}
	parsed, err := sitepolicy.ParseFile("the proposal", []byte(text))
	for _, f := range p.Functions {
		if err != nil {
			break
		}
		var own *policy.Policy
		if f.Intrinsic {
			own = have[f.Name]
		}
		var of *policy.Policy
		if of, err = parsed.Of(f.Name, own); err == nil {
			_, err = policy.Compile(of)
		}
	}
	if err != nil {
		return "", fmt.Errorf("the proposal does not fit into %s: %w", sitepolicy.FileName, err)
	}
	return text, nil
}

// writeWhole writes a file at once or not at all.
func writeWhole(file, text string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".weir-*")
	if err == nil {
		defer os.Remove(tmp.Name())
		_, err = tmp.WriteString(text)
		err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return &weir.Error{Code: weir.Invalid, Message: "can't write " + file, Err: err, Remedy: "check --out"}
	}
	return nil
}

// summarize says on standard error what is new and what is to be looked at.
func summarize(s *streams, p *learn.Proposal, out string) {
	rules, doubts := 0, 0
	for _, f := range p.Functions {
		live := 0
		for i := range f.Rules {
			if f.Rules[i].Live() && !f.Intrinsic {
				live++
			}
		}
		rules, doubts = rules+live, doubts+len(f.Rules)-live
		line := fmt.Sprintf("%s: %d new, %d for a second look", f.Name, live, len(f.Rules)-live)
		if f.Unnameable > 0 {
			line += fmt.Sprintf("; calls that no rule can allow: %d", f.Unnameable)
		}
		if f.OverBudget > 0 {
			line += fmt.Sprintf("; calls beyond the budget of their rule: %d", f.OverBudget)
		}
		if left := f.LeftOut(); left != "" {
			line += "; " + left
		}
		fmt.Fprintln(s.err, line)
	}
	unused := p.Unused()
	for _, g := range unused {
		fmt.Fprintf(s.err, "unused: %s %s %q (%s)\n", g.Function, g.Key, g.Rule, g.Place)
	}
	parts := []string{fmt.Sprintf("in all: %d new, %d for a second look, %d unused", rules, doubts, len(unused))}
	if out != "" {
		parts = append(parts, "written to "+out)
	}
	if p.Lost > 0 {
		parts = append(parts, fmt.Sprintf("records left out for want of room: %d", p.Lost))
	}
	if p.Records == 0 {
		parts = append(parts, "no decisions in the records: were the functions called?")
	}
	fmt.Fprintln(s.err, strings.Join(parts, "; "))
}

// stillMonitored tells which functions would go on being watched only, whatever their rules say.
func stillMonitored(s *streams, have map[string]*policy.Policy) {
	for _, name := range slices.Sorted(maps.Keys(have)) {
		switch p := have[name]; {
		case p.Mode == policy.Monitor && p.Intrinsic:
			fmt.Fprintf(s.err, "%s is still monitored: its rules hold nothing back until %s has no .enableMonitorMode() and weir.toml no mode = \"monitor\" for it\n", name, p.Source)
		case p.Mode == policy.Monitor:
			fmt.Fprintf(s.err, "%s is still monitored: its rules hold nothing back until its mode is \"enforce\"\n", name)
		}
	}
}
