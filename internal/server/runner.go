package server

// Functions that nobody waits for are run like all others.

import (
	"context"
	"errors"

	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/weir"
)

// runner implements jobs.Runner.
type runner struct{ s *Server }

// Run runs a function of the deploy that the job came to.
func (r runner) Run(ctx context.Context, job jobs.Job) (jobs.Outcome, error) {
	m, err := r.s.mountOfDeploy(ctx, job.Site, job.Deploy)
	if err != nil {
		return jobs.Outcome{}, err
	}
	defer r.s.mounts.release(m)
	res, err := m.dispatcher.Invoke(ctx, weir.Invocation{ID: job.ID, Function: job.Function, Event: job.Event})
	if err == nil {
		res, err = res.Whole()
	}
	var e *weir.Error
	switch {
	case err == nil && res.Error == nil:
		return jobs.Outcome{Outcome: jobs.OK}, nil
	case err == nil:
		return jobs.Outcome{Outcome: "error", Error: m.clean(res.Error.Error())}, nil
	case !errors.As(err, &e):
		return jobs.Outcome{Outcome: string(weir.Internal), Error: "an internal error"}, nil
	}
	switch e.Code {
	case weir.Busy, weir.Unavailable, weir.NoWall, weir.NotFound: // it was not started
		return jobs.Outcome{}, err
	}
	return jobs.Outcome{Outcome: string(e.Code), Error: e.Told()}, nil
}

// acceptFor takes the calls of a deploy's background functions.
func (s *Server) acceptFor(d weir.Deploy) gateway.Accepter {
	return func(ctx context.Context, inv weir.Invocation) error {
		return s.jobs.Accept(ctx, jobs.Job{ID: inv.ID, Site: d.Site, Deploy: d.ID, Function: inv.Function, Event: inv.Event})
	}
}

// setSchedules says what of a site is run by schedule from now on.
func (s *Server) setSchedules(site weir.Site) {
	p := jobs.Published{Deploy: site.Published, Crons: site.Schedules}
	if site.ID != "" {
		p.URL = s.urls.site(site)
	}
	if err := s.jobs.SetSchedules(site.ID, p); err != nil {
		s.o.Logger.Warn("a function does not run by its schedule", "site", site.Name, "error", err)
	}
}
