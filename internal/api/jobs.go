package api

// Background runs and schedules. What is run again or dropped is a change, and on record before it is made.

import (
	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/record"
)

var jobRoutes = []route{
	{method: "GET", path: "/weir/sites/{site_id}/jobs", id: "listJobs", about: "background runs that wait or run; with state=dead those that were given up", right: access.Read, scope: ofSite, query: []string{"state"}, out: []wire.Job{}, do: (*call).jobs},
	{method: "POST", path: "/weir/sites/{site_id}/jobs/{job_id}/replay", id: "replayJob", about: "run one again that was given up", right: access.RunJobs, scope: ofSite, do: (*call).replayJob},
	{method: "DELETE", path: "/weir/sites/{site_id}/jobs/{job_id}", id: "dropJob", about: "forget one that was given up", right: access.RunJobs, scope: ofSite, do: (*call).dropJob},
	{method: "GET", path: "/weir/sites/{site_id}/schedules", id: "listSchedules", about: "the functions that run by themselves, and when next", right: access.Read, scope: ofSite, out: []wire.Schedule{}, do: (*call).schedules},
	{method: "POST", path: "/weir/sites/{site_id}/schedules/{function}/run", id: "runSchedule", about: "run a scheduled function now, and wait for its end", right: access.RunJobs, scope: ofSite, out: wire.Outcome{}, do: (*call).runSchedule},
}

func (c *call) jobs() (any, error) {
	all := c.Jobs.List(c.site.ID)
	if c.r.URL.Query().Get("state") == "dead" {
		all = c.Jobs.DeadLetters(c.site.ID)
	}
	out := []wire.Job{}
	for _, j := range all {
		out = append(out, wire.Job(j))
	}
	return out, nil
}

func (c *call) replayJob() (any, error) {
	id := c.r.PathValue("job_id")
	return nil, c.journalled("job.replay", map[string]string{"job": id}, func() error { return c.Jobs.Replay(c.r.Context(), c.site.ID, id) })
}

func (c *call) dropJob() (any, error) {
	id := c.r.PathValue("job_id")
	return nil, c.journalled("job.drop", map[string]string{"job": id}, func() error { return c.Jobs.Drop(c.r.Context(), c.site.ID, id) })
}

func (c *call) schedules() (any, error) {
	all, err := c.Jobs.Schedules(c.r.Context(), c.site.ID)
	if err != nil {
		return nil, err
	}
	out := []wire.Schedule{}
	for _, s := range all {
		out = append(out, wire.Schedule(s))
	}
	return out, nil
}

func (c *call) runSchedule() (any, error) {
	name := c.r.PathValue("function")
	var out wire.Outcome
	err := c.journalled("job.run", map[string]string{"function": name}, func() error {
		outcome, err := c.Jobs.RunNow(c.r.Context(), c.site.ID, name)
		out = wire.Outcome(outcome)
		return err
	})
	return out, err
}

// journalled makes a change of the call's site that is on record before. One that fails then is on record as failed.
func (c *call) journalled(action string, detail map[string]string, do func() error) error {
	change := record.Change{Author: c.who.Name, From: c.who.From, Action: action, Site: c.site.ID, Detail: detail}
	if err := c.Journal.Append(c.r.Context(), change); err != nil {
		return err
	}
	err := do()
	if err != nil {
		detail["failed"] = printable(err.Error())
		if err := c.Journal.Append(c.r.Context(), change); err != nil {
			c.Logger.Warn("a change that failed is on record as made", "action", action, "site", c.site.ID, "error", err)
		}
	}
	return err
}
