package cli

// weir policy holds the offline commands; what they share stands here.

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/policy/sitepolicy"
)

func newPolicy(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Work on policies, offline",
		Long: `Works on the policies of a site without building or running it: weir.toml, and the
bootstrap files of Intrinsic's functions.`,
		Example: `  weir policy check
  weir policy explain --function charge POST https://api.stripe.com/v1/charges
  weir policy diff --git main`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newPolicyCheck(s), newPolicyExplain(s), newPolicyDiff(s), newPolicyTest(s), newPolicyLearn(s), newPolicyReplay(s))
	for _, below := range c.Commands() {
		below.RunE = promptly(below.RunE)
	}
	return c
}

// contextFlag adds the flag that says in which of Netlify's deploy contexts bootstrap files are read.
func contextFlag(c *cobra.Command, context *string) {
	c.Flags().StringVar(context, "context", "production", "deploy context `NAME` that Intrinsic's bootstrap files see, such as production or dev")
}

// contextVariables are the variables that bootstrap files see in a deploy context.
func contextVariables(context string) map[string]string {
	v := map[string]string{"CONTEXT": context, "NETLIFY": "true"}
	if context == "dev" {
		v["NETLIFY_DEV"] = "true"
	}
	return v
}

// loadSite reads the policies of a site. What is wrong with one function's own file is an error here.
func loadSite(dir, context string) (*sitepolicy.Site, error) {
	site, err := sitepolicy.Load(dir, contextVariables(context))
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, f := range site.Functions {
		faults = append(faults, f.Err) // Join leaves out nil
	}
	return site, errors.Join(faults...)
}
