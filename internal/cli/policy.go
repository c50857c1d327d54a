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
	usageErrors(c)
	return c
}
