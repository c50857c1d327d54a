package cli

// weir policy explain: one question to a policy, answered in the words of a denial.

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/ask"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/weir"
)

type explainFlags struct {
	context  string
	function string
	exitCode bool
	json     bool
}

func newPolicyExplain(s *streams) *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain [DIR] --function NAME (METHOD URL | tcp HOST:PORT | udp HOST:PORT | dns TYPE NAME | read PATH | write PATH | exec PATH | env NAME | addon PATH)",
		Short: "Say what a function's policy decides, by which rule, and what would change it",
		Long: `Asks the policy of one function of the site in DIR (default: this folder) and says what it
decides, the rule that decided or came nearest, the reason, and the smallest change that
would allow what it denies. Nobody outside is asked: where a name leads is not looked up.
The exit code is 0 whatever the answer, since the question was answered; with
--exit-code it is 11 if the answer is no.`,
		Example: `  weir policy explain --function charge POST https://api.stripe.com/v1/charges
  weir policy explain site --function charge tcp db.internal:5432 --json
  weir policy explain --function thumbs exec /usr/bin/convert`,
		Args: cobra.RangeArgs(2, 4),
		RunE: func(c *cobra.Command, args []string) error { return runPolicyExplain(s, &f, args) },
	}
	contextFlag(c, &f.context)
	c.Flags().StringVar(&f.function, "function", "", "the function `NAME` (required)")
	c.Flags().BoolVar(&f.exitCode, "exit-code", false, "exit with 11 if it is denied")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func runPolicyExplain(s *streams, f *explainFlags, args []string) error {
	dir, question := splitQuestion(args)
	if f.function == "" {
		return &usageError{errors.New("--function is missing")}
	}
	site, err := sitepolicy.Load(dir, contextVariables(f.context))
	if err != nil {
		return err
	}
	eng, err := functionOf(site, f.function)
	if err != nil {
		return err
	}
	answer, err := ask.Ask(eng, question)
	if err != nil {
		return &usageError{err}
	}
	if f.json {
		err = printJSON(s, answer)
	} else {
		err = printAnswer(s, answer)
	}
	if err == nil && f.exitCode && answer.Decision == ask.Deny {
		return &quietExit{exitDenied}
	}
	return err
}

// splitQuestion tells the folder, if one is named, from the question, also from one that lacks a word. A
// folder called like a kind of question is named as ./tcp.
func splitQuestion(args []string) (dir, question string) {
	words := 2
	if args[0] == "dns" || len(args) > 3 {
		words = 3
	}
	if slices.Contains(ask.Kinds, args[0]) {
		return ".", strings.Join(args, " ")
	}
	if len(args) > words || args[0] != strings.ToUpper(args[0]) && isFolder(args[0]) {
		return args[0], strings.Join(args[1:], " ")
	}
	return ".", strings.Join(args, " ")
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// functionOf gives the policy of one function of a site.
func functionOf(site *sitepolicy.Site, name string) (*policy.Engine, error) {
	var names []string
	for _, f := range site.Functions {
		if f.Name == name {
			return f.Engine, f.Err
		}
		names = append(names, f.Name)
	}
	return nil, noFunction(name, names)
}

// noFunction is the error for a name that is none of a site's functions.
func noFunction(name string, names []string) error {
	remedy := "the site has no functions"
	if len(names) > 0 {
		remedy = "the functions are " + strings.Join(names, ", ")
		if near := policy.Suggest(name, names); near != "" {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
	}
	return &weir.Error{Code: weir.NotFound, Message: fmt.Sprintf("there is no function %q", name), Remedy: remedy}
}

func printAnswer(s *streams, a ask.Answer) error {
	verdict := a.Decision
	if a.Mode != "" && a.Decision == ask.Deny {
		verdict += ", but let through: the mode is " + a.Mode
	}
	nearest := "nearest"
	if a.Decision == ask.Allow {
		nearest = "by"
	}
	for _, line := range [][2]string{{verdict, a.Request}, {"reason", a.Reason}, {nearest, withPlace(a.Nearest, a.Rule)}, {"fix", a.Fix}, {"where", a.Place}} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(s.out, "%-8s %s\n", line[0]+":", weir.Printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}

func withPlace(rule, place string) string {
	if place == "" {
		return rule
	}
	return rule + " (" + place + ")"
}
