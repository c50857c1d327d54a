package cli

// weir token: who may do what on a server.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
)

func newToken(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "token",
		Short: "Make, list and end the tokens of a server",
		Example: `  weir token create anna --role developer
  weir token create ci-shop --deploy --site shop --expires 2160h
  weir token revoke anna`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newTokenCreate(s), newTokenList(s), newTokenRevoke(s))
	return c
}

func newTokenCreate(s *streams) *cobra.Command {
	var f serverFlags
	var t wire.NewToken
	var deploy bool
	var expires time.Duration
	var given func(flag string) bool
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token, and print it: it is told this once",
		Long: `Makes a token and prints it on standard output. NAME is what records call its holder.
With --deploy it may deploy to one site, and nothing else.`,
		Example: `  weir token create anna --role developer >anna.token
  weir token create ci-shop --deploy --site shop --expires 2160h`,
		Args: cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			t.Name, t.Kind = args[0], "personal"
			switch {
			case deploy:
				t.Kind = "deploy"
			case t.Role == "":
				return &usageError{errors.New("a token has a --role, or is one to --deploy")}
			}
			if given("expires") {
				t.Expires = time.Now().Add(expires).UTC()
			}
			made, err := c.CreateToken(ctx, t)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, made)
			}
			_, err = fmt.Fprintln(out, made.Secret)
			return err
		}),
	}
	f.register(c)
	c.Flags().StringVar(&t.Role, "role", "", "what it may do: `ROLE`, one of viewer, developer, approver, owner")
	c.Flags().StringArrayVar(&t.Sites, "site", nil, "only for the site `NAME`; may be repeated (default: all, and the server)")
	c.Flags().BoolVar(&deploy, "deploy", false, "a token for a pipeline, which may only deploy to its one site")
	c.Flags().DurationVar(&expires, "expires", 0, "`TIME` from now after which it counts no longer, as 720h (default: never)")
	given = c.Flags().Changed
	return c
}

func newTokenList(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List all tokens, without their secrets",
		Example: `  weir token list`,
		Args:    cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			all, err := c.Tokens(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"NAME", "KIND", "ROLE", "SITES", "EXPIRES", "LAST USED", "ID"}}
			for _, t := range all {
				sites := "all"
				if len(t.Sites) > 0 {
					sites = cell(strings.Join(t.Sites, ","))
				}
				rows = append(rows, []string{cell(t.Name), cell(t.Kind), orDash(cell(t.Role)), sites, day(t.Expires), day(t.LastUsed), cell(t.ID)})
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	return c
}

// day gives a time to the minute, "-" for none.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func newTokenRevoke(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "revoke TOKEN",
		Short:   "End a token, by its name or id; from then on it counts nowhere",
		Example: `  weir token revoke anna`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, _ io.Writer, args []string) error {
			if err := c.RevokeToken(ctx, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "the token %s counts no longer\n", args[0])
			return nil
		}),
	}
	f.register(c)
	return c
}
