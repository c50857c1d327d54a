package api

// What the API asks of the parts that do the work. Each interface is what its handlers call, no more.

import (
	"context"
	"io"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/policy/diff"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// Sites are the sites of the server and what is set for each.
type Sites interface {
	CreateSite(ctx context.Context, by deploys.Author, name string) (weir.Site, error)
	Site(ctx context.Context, idOrNameOrDomain string) (weir.Site, error)
	Sites(ctx context.Context) ([]weir.Site, error)
	UpdateSite(ctx context.Context, by deploys.Author, id string, change deploys.SiteChange) (weir.Site, error)
	Lock(ctx context.Context, by deploys.Author, id string) (weir.Site, error)
	Unlock(ctx context.Context, by deploys.Author, id string) (weir.Site, error)
	DeleteSite(ctx context.Context, by deploys.Author, id string) error
	SitePolicy(ctx context.Context, id string) (deploys.SitePolicy, error)
	SetPolicy(ctx context.Context, by deploys.Author, id, text string) error
}

// Deploys are the deploys of sites.
type Deploys interface {
	Begin(ctx context.Context, by deploys.Author, siteID string, o deploys.BeginOptions) (weir.Deploy, error)
	TakesPart(ctx context.Context, by deploys.Author, id string) error
	Declare(ctx context.Context, by deploys.Author, id string, d deploys.Declaration) (deploys.Missing, weir.Deploy, error)
	Missing(ctx context.Context, id string) (deploys.Missing, error)
	UploadFile(ctx context.Context, by deploys.Author, id, path string, body io.Reader) error
	UploadFunction(ctx context.Context, by deploys.Author, id, name string, u deploys.FunctionUpload, body io.Reader) error
	Cancel(ctx context.Context, by deploys.Author, id string) (weir.Deploy, error)
	Deploy(ctx context.Context, id string) (weir.Deploy, error)
	Deploys(ctx context.Context, siteID string, f deploys.Filter) ([]weir.Deploy, error) // the last begun first
	Outline(ctx context.Context, id string) (weir.Manifest, error)                       // without the files
	Manifest(ctx context.Context, id string) (weir.Manifest, error)
	Publish(ctx context.Context, by deploys.Author, id string) (weir.Site, error)
	Rollback(ctx context.Context, by deploys.Author, siteID string) (weir.Site, error)
	RemoveAlias(ctx context.Context, by deploys.Author, siteID, alias string) (weir.Site, error)
	Restage(ctx context.Context, by deploys.Author, id string) (weir.Deploy, error)
	DeleteDeploy(ctx context.Context, by deploys.Author, id string) error
	Approve(ctx context.Context, by deploys.Author, id, note string) (weir.Deploy, error)
	Reject(ctx context.Context, by deploys.Author, id, note string) (weir.Deploy, error)
	Diff(ctx context.Context, id string) (diff.Result, error)
}

// Journal is the record of all changes. What makes a change appends to it by itself, but for Jobs.
type Journal interface {
	Append(ctx context.Context, c record.Change) error
	Read(ctx context.Context, f access.Filter) ([]record.Change, error)
}

// Access knows who calls.
type Access interface {
	Authenticate(ctx context.Context, bearer, from string) (access.Identity, error)
	Create(ctx context.Context, by access.Identity, spec access.Spec) (access.Token, string, error)
	List(ctx context.Context, by access.Identity) ([]access.Token, error)
	Revoke(ctx context.Context, by access.Identity, idOrName string) (access.Token, error)
}

// Environ keeps variables. The values of secrets are "" in what it gives.
type Environ interface {
	List(ctx context.Context, site string) ([]environ.Variable, error)
	Get(ctx context.Context, site, key string) (environ.Variable, error)
	Set(ctx context.Context, by environ.Author, v environ.Variable) error
	SetValue(ctx context.Context, by environ.Author, site, key string, v environ.Value) error
	DeleteValue(ctx context.Context, by environ.Author, site, key string, v environ.Value) error
	Delete(ctx context.Context, by environ.Author, site, key string) error
	RemoveSite(ctx context.Context, id string) error // all variables of a site that is no more
	Rotate(ctx context.Context, by environ.Author) (sealed int, err error)
	SetDeployVariables(ctx context.Context, by environ.Author, deployID string, vars []environ.Variable) error
}

// Jobs are background runs and schedules.
type Jobs interface {
	List(site string) []jobs.Info
	DeadLetters(site string) []jobs.Info
	Replay(ctx context.Context, site, id string) error
	Drop(ctx context.Context, site, id string) error
	Schedules(ctx context.Context, site string) ([]jobs.Schedule, error)
	RunNow(ctx context.Context, site, function string) (jobs.Outcome, error)
}

// Logs are what functions print, and what was decided about them.
type Logs interface {
	Past(ctx context.Context, q logs.Query) ([]logs.Line, error)
	Follow(ctx context.Context, q logs.Query, each func(logs.Line) error) error
}
