package cli

// weir sites: what a server serves.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
)

func newSites(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "sites",
		Short: "See, make, change and remove the sites of a server",
		Example: `  weir sites list
  weir sites create shop
  weir sites domains shop www.example.com example.com`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newSitesList(s), newSitesCreate(s), newSitesDelete(s), newSitesDomains(s), newSitesPolicy(s), newSitesChanges(s), newSitesLink(s))
	return c
}

func newSitesList(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the sites that your token may see",
		Example: `  weir sites list --server https://weir.example.com --token-file token`,
		Args:    cobra.NoArgs,
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, _ []string) error {
			all, err := c.Sites(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"NAME", "URL", "PUBLISHED", "ID"}}
			for _, site := range all {
				rows = append(rows, []string{cell(site.Name), cell(site.URL), orDash(cell(site.DeployID)), cell(site.ID)})
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	return c
}

func newSitesCreate(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:     "create [NAME]",
		Short:   "Make a site",
		Long:    `Makes a site. Its NAME becomes part of its host name; without one, a name is made up.`,
		Example: `  weir sites create shop`,
		Args:    cobra.MaximumNArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			site, err := c.CreateSite(ctx, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return printSite(s, &f, out, site)
		}),
	}
	f.register(c)
	return c
}

func printSite(s *streams, f *serverFlags, out io.Writer, site wire.Site) error {
	if f.json {
		return printJSON(s, site)
	}
	_, err := fmt.Fprintf(out, "name  %s\nid    %s\nurl   %s\n", site.Name, site.ID, site.URL)
	return err
}

func newSitesDelete(s *streams) *cobra.Command {
	var f serverFlags
	var force bool
	c := &cobra.Command{
		Use:     "delete SITE",
		Short:   "Remove a site with its deploys, variables and domains",
		Example: `  weir sites delete shop --force`,
		Args:    cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			site, err := c.Site(ctx, args[0])
			if err != nil {
				return err
			}
			if !force {
				return &usageError{fmt.Errorf("the site %s (%s) would be gone for good: say so with --force", site.Name, site.URL)}
			}
			if err := c.DeleteSite(ctx, site.ID); err != nil {
				return err
			}
			fmt.Fprintf(s.err, "the site %s is gone\n", site.Name)
			return nil
		}),
	}
	f.register(c)
	c.Flags().BoolVar(&force, "force", false, "yes, remove it")
	return c
}

func newSitesDomains(s *streams) *cobra.Command {
	var f serverFlags
	var none bool
	c := &cobra.Command{
		Use:   "domains SITE [DOMAIN...]",
		Short: "Show or set the host names by which a site is served besides its own",
		Long: `Shows the host names of SITE or, if any are given, sets them; the first is the primary
one. A host name must lead to the server: that is a matter of DNS.`,
		Example: `  weir sites domains shop
  weir sites domains shop www.example.com example.com
  weir sites domains shop --none`,
		Args: cobra.MinimumNArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			domains := args[1:]
			if none && len(domains) > 0 {
				return &usageError{errors.New("--none stands alone")}
			}
			site, err := c.Site(ctx, args[0])
			if err == nil && (none || len(domains) > 0) {
				primary, others := "", []string{}
				if len(domains) > 0 {
					primary, others = domains[0], domains[1:]
				}
				site, err = c.UpdateSite(ctx, site.ID, wire.SiteChange{CustomDomain: &primary, DomainAliases: &others})
			}
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, site)
			}
			for _, d := range append([]string{site.CustomDomain}, site.DomainAliases...) {
				if d != "" {
					fmt.Fprintln(out, d)
				}
			}
			return nil
		}),
	}
	f.register(c)
	c.Flags().BoolVar(&none, "none", false, "remove all of them")
	return c
}

func newSitesPolicy(s *streams) *cobra.Command {
	var f serverFlags
	var set string
	var remove bool
	c := &cobra.Command{
		Use:   "policy SITE",
		Short: "Show or set the policy of a site on the server",
		Long: `Shows the weir.toml that is set for SITE on the server, or sets it. It counts instead of
the one that deploys bring, for deploys from then on.`,
		Example: `  weir sites policy shop
  weir sites policy shop --set weir.toml
  weir sites policy shop --remove`,
		Args: cobra.ExactArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			switch {
			case set != "" && remove:
				return &usageError{errors.New("--set and --remove exclude each other")}
			case remove:
				return c.SetPolicy(ctx, args[0], "")
			case set != "":
				text, err := readFile(set, "--set")
				if err != nil {
					return err
				}
				return c.SetPolicy(ctx, args[0], string(text))
			}
			text, err := c.Policy(ctx, args[0])
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, wire.Policy{Text: text})
			}
			if text == "" {
				fmt.Fprintln(s.err, "none is set: what deploys bring counts")
			}
			_, err = io.WriteString(out, text)
			return err
		}),
	}
	f.register(c)
	c.Flags().StringVar(&set, "set", "", "`FILE` with the policy, a weir.toml")
	c.Flags().BoolVar(&remove, "remove", false, "remove the policy from the server")
	return c
}

func newSitesChanges(s *streams) *cobra.Command {
	var f serverFlags
	var last int
	c := &cobra.Command{
		Use:   "changes [SITE]",
		Short: "Show who changed what, on a site or on the whole server",
		Example: `  weir sites changes shop
  weir sites changes -n 20 --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			if err := checkLast(last, false); err != nil {
				return err
			}
			all, err := c.Changes(ctx, strings.Join(args, ""), last)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			for _, change := range all {
				fmt.Fprintf(out, "%s %s\n", change.Time.UTC().Format("2006-01-02T15:04:05.000Z"), change)
			}
			return nil
		}),
	}
	f.register(c)
	c.Flags().IntVarP(&last, "last", "n", 100, "the last `N` changes")
	return c
}

func newSitesLink(s *streams) *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "link SITE [DIR]",
		Short: "Say which site a folder is",
		Long: `Writes the id of SITE to DIR/` + linkFile + ` (default: this folder), where commands find it
that are not given --site.`,
		Example: `  weir sites link shop`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: asked(&f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
			site, err := c.Site(ctx, args[0])
			if err != nil {
				return err
			}
			dir := dirArg(args[1:])
			if _, err := os.Stat(dir); err != nil {
				return &usageError{fmt.Errorf("there is no folder %s", dir)}
			}
			if err := link(dir, site.ID); err != nil {
				return err
			}
			return printSite(s, &f, out, site)
		}),
	}
	f.register(c)
	return c
}
