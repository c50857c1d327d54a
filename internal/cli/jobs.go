package cli

// weir jobs: background runs, and functions that run by themselves.

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/weir-run/weir/internal/api/client"
	"github.com/weir-run/weir/internal/api/wire"
)

func newJobs(s *streams) *cobra.Command {
	c := &cobra.Command{
		Use:   "jobs",
		Short: "See background runs and schedules of a site, run them again or now",
		Example: `  weir jobs dead --site shop
  weir jobs replay 01JFQ8Z3V9T5N2K7C4M6B1XADE --site shop
  weir jobs run nightly --site shop`,
		Args: cobra.ArbitraryArgs,
		RunE: runGroup,
	}
	c.AddCommand(newJobsList(s, "list", "List background runs that wait or run", false), newJobsList(s, "dead", "List background runs that were given up", true),
		newJobChange(s, "replay", "Run one again that was given up", (*client.Client).ReplayJob), newJobChange(s, "drop", "Forget one that was given up", (*client.Client).DropJob),
		newSchedules(s), newJobsRun(s))
	return c
}

// ofSite is asked for a command about a site.
func ofSite(f *serverFlags, site *siteFlag, s *streams, do func(ctx context.Context, c *client.Client, site string, out io.Writer, args []string) error) func(*cobra.Command, []string) error {
	return asked(f, s, func(ctx context.Context, c *client.Client, out io.Writer, args []string) error {
		name, err := site.find(".")
		if err != nil {
			return err
		}
		return do(ctx, c, name, out, args)
	})
}

func newJobsList(s *streams, name, short string, dead bool) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     name,
		Short:   short,
		Example: `  weir jobs ` + name + ` --site shop`,
		Args:    cobra.NoArgs,
		RunE: ofSite(&f, &site, s, func(ctx context.Context, c *client.Client, site string, out io.Writer, _ []string) error {
			all, err := c.Jobs(ctx, site, dead)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"ID", "FUNCTION", "STATE", "ACCEPTED", "RUNS", "NEXT", "ERROR"}}
			for _, j := range all {
				rows = append(rows, []string{cell(j.ID), cell(j.Function), cell(j.State), day(j.Accepted), strconv.Itoa(j.Runs), day(j.Next), cell(j.Error)})
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	site.register(c)
	return c
}

func newJobChange(s *streams, name, short string, do func(*client.Client, context.Context, string, string) error) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     name + " JOB",
		Short:   short,
		Example: `  weir jobs ` + name + ` 01JFQ8Z3V9T5N2K7C4M6B1XADE --site shop`,
		Args:    cobra.ExactArgs(1),
		RunE: ofSite(&f, &site, s, func(ctx context.Context, c *client.Client, site string, _ io.Writer, args []string) error {
			return do(c, ctx, site, args[0])
		}),
	}
	f.register(c)
	site.register(c)
	return c
}

func newSchedules(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     "schedules",
		Short:   "List the functions that run by themselves, and when next (UTC)",
		Example: `  weir jobs schedules --site shop`,
		Args:    cobra.NoArgs,
		RunE: ofSite(&f, &site, s, func(ctx context.Context, c *client.Client, site string, out io.Writer, _ []string) error {
			all, err := c.Schedules(ctx, site)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(s, all)
			}
			rows := [][]string{{"FUNCTION", "CRON", "NEXT", "LAST", "OUTCOME"}}
			for _, x := range all {
				rows = append(rows, []string{cell(x.Function), cell(x.Cron), day(x.Next), day(x.Last), outcome(wire.Outcome{Outcome: x.Outcome, Error: x.Error})})
			}
			return table(out, rows)
		}),
	}
	f.register(c)
	site.register(c)
	return c
}

func outcome(o wire.Outcome) string {
	if o.Error == "" {
		return cell(o.Outcome)
	}
	return cell(o.Outcome + ": " + o.Error)
}

func newJobsRun(s *streams) *cobra.Command {
	var f serverFlags
	var site siteFlag
	c := &cobra.Command{
		Use:     "run FUNCTION",
		Short:   "Run a scheduled function now, and wait for its end",
		Long:    `Runs FUNCTION as its schedule would. If it fails, the exit code is 5.`,
		Example: `  weir jobs run nightly --site shop`,
		Args:    cobra.ExactArgs(1),
		RunE: ofSite(&f, &site, s, func(ctx context.Context, c *client.Client, site string, out io.Writer, args []string) error {
			o, err := c.RunSchedule(ctx, site, args[0])
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(s, o)
			} else {
				_, err = fmt.Fprintln(out, outcome(o))
			}
			if err == nil && o.Outcome != "ok" {
				return &quietExit{exitFunction}
			}
			return err
		}),
	}
	f.register(c)
	site.register(c)
	return c
}
