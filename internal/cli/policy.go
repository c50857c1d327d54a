package cli

import (
	"github.com/spf13/cobra"
)

func newPolicy(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Work on policies, offline",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newPolicyLearn(s), newPolicyReplay(s))
	return c
}

// contextVariables are the variables that bootstrap files see in a deploy context.
func contextVariables(context string) map[string]string {
	v := map[string]string{"CONTEXT": context, "NETLIFY": "true"}
	if context == "dev" {
		v["NETLIFY_DEV"] = "true"
	}
	return v
}
