package cli

// weir deploys and weir rollback: what was deployed, what it may do, and what is published.

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
)

func newDeploys(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "deploys",
		Short: "See, review and publish the deploys of a site",
		Example: `  weir deploys list --site shop --held
  weir deploys diff 6750a1b2c3d4e5f607182930
  weir deploys approve 6750a1b2c3d4e5f607182930 --note "reviewed with anna"`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newDeploysList(s), newDeploysShow(s), newDeploysDiff(s), newReview(s, "approve", "Agree to what a held deploy may do, and publish it if it would have been", (*client.Client).Approve),
		newReview(s, "reject", "Refuse what a held deploy may do", (*client.Client).Reject),
		newDeployChange(s, "publish", "Publish a deploy, an earlier one too", publish),
		newDeployChange(s, "lock", "Publish a deploy, and no new one by itself until it is unlocked", (*client.Client).Lock),
		newDeployChange(s, "unlock", "Let new deploys be published by themselves again", (*client.Client).Unlock),
		newDeployChange(s, "restage", "Begin a deploy with the same content, for which today's policy and ceiling count", (*client.Client).Restage),
		newDeployChange(s, "cancel", "Give up a deploy that isn't ready", (*client.Client).Cancel), newDeploysDelete(s), newUnalias(s))
	return c
}

func newDeploysList(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	var held bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the deploys of a site, the newest first",
		Example: `  weir deploys list --site shop
  weir deploys list --site shop --held`,
		Args: cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			name, err := site.find(".")
			if err != nil {
				return err
			}
			review := ""
			if held {
				review = "held"
			}
			all, err := c.Deploys(ctx, name, review)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"ID", "BEGUN", "STATE", "CONTEXT", "BY", "TITLE"}}
			for _, d := range all {
				rows = append(rows, []string{cell(d.ID), day(d.CreatedAt), cell(published(d)), cell(strings.TrimSpace(d.Context + " " + d.Branch)), cell(d.Weir.Author), cell(d.Title)})
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	site.register(c)
	c.Flags().BoolVar(&held, "held", false, "only those that wait for approval")
	return c
}

func newDeploysShow(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "show DEPLOY",
		Short:   "Show a deploy: its state, its functions, and what is wrong with them",
		Example: `  weir deploys show 6750a1b2c3d4e5f607182930`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			d, err := c.Deploy(ctx, args[0])
			if err != nil {
				return err
			}
			return printDeploy(s, &f, out, d)
		}),
	}
	f.register(c)
	return c
}

// printDeploy prints a deploy as it is.
func printDeploy(s *streams, f *serverFlags, out io.Writer, d wire.Deploy) error {
	if f.json {
		return printJSON(s, d)
	}
	rows := [][]string{{"deploy", cell(d.ID)}, {"site", cell(d.Name)}, {"state", cell(published(d))}, {"url", cell(d.DeployURL)}, {"context", cell(d.Context)},
		{"by", cell(d.Weir.Author) + ", " + day(d.CreatedAt)}}
	wrong := "error"
	if d.Weir.Review != "" {
		wrong = "why" // to this client, which knows of reviews, it has not failed
	}
	for _, row := range [][]string{{"title", cell(d.Title)}, {"alias", cell(d.Branch)}, {wrong, words(d.ErrorMessage)}} {
		if row[1] != "" {
			rows = append(rows, row)
		}
	}
	if d.Weir.Reviewer != "" {
		rows = append(rows, []string{"review", cell(d.Weir.Review) + " by " + cell(d.Weir.Reviewer)})
	}
	for _, fn := range d.AvailableFunctions {
		text := cell(fn.Name)
		if fn.Schedule != "" {
			text += " (" + cell(fn.Schedule) + ")"
		}
		if fn.Fault != "" {
			text += ": " + words(fn.Fault)
		}
		rows = append(rows, []string{"function", text})
	}
	for _, w := range d.Weir.Warnings {
		rows = append(rows, []string{"warning", words(w)})
	}
	return table(out, rows)
}

func newDeploysDiff(s *streams) *cobra.Command {
	var f serverFlags
	var markdown bool
	c := &cobra.Command{
		Use:   "diff DEPLOY",
		Short: "Say what a deploy may do that was not approved before",
		Example: `  weir deploys diff 6750a1b2c3d4e5f607182930
  weir deploys diff 6750a1b2c3d4e5f607182930 --markdown >comment.md`,
		Args: cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			mediaType := "text/plain"
			if f.json {
				mediaType = "application/json"
			} else if markdown {
				mediaType = "text/markdown"
			}
			text, err := c.Diff(ctx, args[0], mediaType)
			if err != nil {
				return err
			}
			_, err = out.Write(text)
			return err
		}),
	}
	f.register(c)
	c.Flags().BoolVar(&markdown, "markdown", false, "print Markdown, for a comment")
	return c
}

func newReview(s *streams, name, short string, do func(*client.Client, context.Context, string, string) (wire.Deploy, error)) *cobra.Command {
	var f serverFlags
	var note string
	c := &cobra.Command{
		Use:     name + " DEPLOY",
		Short:   short,
		Example: `  weir deploys ` + name + ` 6750a1b2c3d4e5f607182930 --note "see the review of pull request 12"`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			d, err := do(c, ctx, args[0], note)
			if err != nil {
				return err
			}
			return printDeploy(s, &f, out, d)
		}),
	}
	f.register(c)
	c.Flags().StringVar(&note, "note", "", "`TEXT` for the record: why")
	return c
}

func newDeployChange(s *streams, name, short string, do func(*client.Client, context.Context, string) (wire.Deploy, error)) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     name + " DEPLOY",
		Short:   short,
		Example: `  weir deploys ` + name + ` 6750a1b2c3d4e5f607182930`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			d, err := do(c, ctx, args[0])
			if err != nil {
				return err
			}
			return printDeploy(s, &f, out, d)
		}),
	}
	f.register(c)
	return c
}

func newDeploysDelete(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "delete DEPLOY...",
		Short:   "Remove deploys that nothing serves, with their URLs and aliases",
		Example: `  weir deploys delete 6750a1b2c3d4e5f607182930`,
		Args:    cobra.MinimumNArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			for _, id := range args {
				if err := c.DeleteDeploy(ctx, id); err != nil {
					return err
				}
				fmt.Fprintf(s.err, "the deploy %s is gone\n", id)
			}
			return nil
		}),
	}
	f.register(c)
	return c
}

func newUnalias(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     "unalias ALIAS",
		Short:   "Have an alias of a site lead nowhere; its deploy stays",
		Example: `  weir deploys unalias feature-login --site shop`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, _ io.Writer, args []string) error {
			name, err := site.find(".")
			if err != nil {
				return err
			}
			return c.RemoveAlias(ctx, name, args[0])
		}),
	}
	f.register(c)
	site.register(c)
	return c
}

func publish(c *client.Client, ctx context.Context, id string) (wire.Deploy, error) {
	d, err := c.Deploy(ctx, id)
	if err != nil {
		return d, err
	}
	return c.Restore(ctx, d.SiteID, id)
}

func newRollback(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     "rollback",
		Short:   "Publish the deploy that a site served before",
		Long:    `Publishes the deploy that was published before, in one step. What it may do is checked as for any deploy.`,
		Example: `  weir rollback --site shop`,
		Args:    cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			name, err := site.find(".")
			if err != nil {
				return err
			}
			d, err := c.Rollback(ctx, name)
			if err != nil {
				return fmt.Errorf("the site serves what it did: %w", err)
			}
			return printDeploy(s, &f, out, d)
		}),
	}
	f.register(c)
	site.register(c)
	return c
}
