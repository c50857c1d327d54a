package cli

// weir demo: runs the story and tells it, or its JSON.

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/demo"
	"github.com/weir-run/weir/internal/weir"
)

func newDemo(s *streams) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Tell the story in one minute: a hijacked dependency, on bare Node and behind Weir",
		Long: `Runs a payment function with a hijacked dependency, first on bare Node, where the thief
gets the Stripe key, the card and more, then behind Weir, where the payment goes through
and the thief gets nothing. The first run fetches the real stripe package with npm ci;
after that no network is needed. Stripe, the thief and the cloud's metadata service are
stand-ins on 127.0.0.1; names and addresses are mapped to them by a few lines of
JavaScript on bare Node and by what --resolve does behind Weir. The exit code is 1 if the
story did not come true.`,
		Example: `  weir demo
  weir demo --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error { return runDemo(c, s, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	return c
}

func runDemo(c *cobra.Command, s *streams, asJSON bool) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	o, err := demo.Run(c.Context(), demo.Options{StateDir: dir, Progress: s.err})
	if err != nil {
		return err
	}
	return tellDemo(s, o, asJSON)
}

// tellDemo prints the outcome. If the story did not come true, what the function and Weir printed
// meanwhile goes to the error stream: it may say why.
func tellDemo(s *streams, o *demo.Outcome, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(s, o)
	} else {
		err = o.Text(s.out, isTerminal(s) && os.Getenv("NO_COLOR") == "")
	}
	if err != nil || o.CameTrue {
		return err
	}
	for _, l := range append(o.Bare.Log, o.Weir.Log...) {
		fmt.Fprintf(s.err, "| %s\n", weir.Printable(l))
	}
	return &quietExit{exitError}
}

// isTerminal tells whether results are read by a person. A character device is near enough: colours
// in /dev/null hurt nobody.
func isTerminal(s *streams) bool {
	f, ok := s.out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
