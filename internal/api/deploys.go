package api

// Deploys: from their beginning to being published, restored or removed.

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weir-run/weir/internal/api/wire"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/weir"
)

func (c *call) createDeploy() (any, error) {
	var in wire.NewDeploy
	if err := c.decode(&in, maxDeclaration, false); err != nil {
		return nil, err
	}
	if title := c.r.URL.Query().Get("title"); title != "" {
		in.Title = title
	}
	d, err := c.Deploys.Begin(c.r.Context(), c.author(), c.site.ID, deploys.BeginOptions{
		Draft: in.Draft != nil && *in.Draft, Alias: in.Branch, Title: in.Title, Source: in.Source})
	if err != nil {
		return nil, err
	}
	c.deploy = d
	// netlify-cli declares by a call of its own; Netlify's Go client here.
	if in.Files == nil && in.Functions == nil {
		return c.wireDeploy(d), nil
	}
	return c.declareFiles(in.Declaration)
}

// declare leaves draft as it was begun: netlify-cli sends false here even for a draft.
func (c *call) declare() (any, error) {
	var in wire.Declaration
	if err := c.decode(&in, maxDeclaration, false); err != nil {
		return nil, err
	}
	return c.declareFiles(in)
}

func (c *call) declareFiles(in wire.Declaration) (any, error) {
	d, err := declaration(in)
	if err != nil {
		return nil, err
	}
	if len(in.Environment) > 0 {
		if err := c.Deploys.TakesPart(c.r.Context(), c.author(), c.deploy.ID); err != nil {
			return nil, err
		}
		if err := c.setDeployVariables(in.Environment); err != nil {
			return nil, err
		}
	}
	missing, deploy, err := c.Deploys.Declare(c.r.Context(), c.author(), c.deploy.ID, d)
	if err != nil {
		return nil, err
	}
	out := c.wireDeploy(deploy)
	require(&out, missing)
	return out, nil
}

func (c *call) getDeploy() (any, error) {
	out, err := c.fullDeploy(c.deploy)
	if err != nil {
		return nil, err
	}
	if c.deploy.State == weir.DeployPrepared || c.deploy.State == weir.DeployUploading {
		missing, err := c.Deploys.Missing(c.r.Context(), c.deploy.ID)
		if err != nil {
			return nil, err
		}
		require(&out, missing)
	}
	return out, nil
}

func (c *call) deploys() (any, error) {
	q := c.r.URL.Query()
	all, err := c.Deploys.Deploys(c.r.Context(), c.site.ID, deploys.Filter{Review: weir.Review(q.Get("review")), Alias: q.Get("branch")})
	if err != nil {
		return nil, err
	}
	out := []wire.Deploy{}
	for _, d := range all {
		if w := c.wireDeploy(d); q.Get("state") == "" || q.Get("state") == w.State {
			out = append(out, w)
		}
	}
	from, to, err := page(q, len(out))
	if err != nil {
		return nil, err
	}
	return out[from:to], nil
}

// cancel leaves a deploy that is withheld as it is: netlify-cli, to which it has failed, cancels what fails.
func (c *call) cancel() (any, error) {
	if withheld(c.deploy, "") != "" {
		return c.wireDeploy(c.deploy), nil
	}
	return c.answer(c.Deploys.Cancel(c.r.Context(), c.author(), c.deploy.ID))
}

func (c *call) deleteDeploy() (any, error) {
	return nil, c.Deploys.DeleteDeploy(c.r.Context(), c.author(), c.deploy.ID)
}

func (c *call) restore() (any, error) {
	_, err := c.Deploys.Publish(c.r.Context(), c.author(), c.deploy.ID)
	return c.changed(err)
}

func (c *call) rollback() (any, error) {
	site, err := c.Deploys.Rollback(c.r.Context(), c.author(), c.site.ID)
	c.deploy.ID = site.Published
	return c.changed(err)
}

// lock keeps what is published, or publishes the deploy that is named first.
func (c *call) lock() (any, error) {
	if c.site.Published != c.deploy.ID {
		if _, err := c.Deploys.Publish(c.r.Context(), c.author(), c.deploy.ID); err != nil {
			return nil, err
		}
	}
	_, err := c.Sites.Lock(c.r.Context(), c.author(), c.site.ID)
	return c.changed(err)
}

func (c *call) unlock() (any, error) {
	_, err := c.Sites.Unlock(c.r.Context(), c.author(), c.site.ID)
	return c.changed(err)
}

// changed tells of the call's deploy as it is now.
func (c *call) changed(err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return c.answer(c.Deploys.Deploy(c.r.Context(), c.deploy.ID))
}

// answer tells of a deploy that was changed, and the site with it.
func (c *call) answer(d weir.Deploy, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	if c.site, err = c.Sites.Site(c.r.Context(), d.Site); err != nil {
		return nil, err
	}
	return c.wireDeploy(d), nil
}

// require says what is to be uploaded.
func require(d *wire.Deploy, m deploys.Missing) {
	if m.Files != nil {
		d.Required = m.Files
	}
	if m.Functions != nil {
		d.RequiredFunctions = m.Functions
	}
}

// fullDeploy is a deploy with its functions and warnings.
func (c *call) fullDeploy(d weir.Deploy) (wire.Deploy, error) {
	out := c.wireDeploy(d)
	if d.Manifest == "" {
		return out, nil
	}
	m, err := c.Deploys.Outline(c.r.Context(), d.ID)
	if err != nil {
		return out, err
	}
	out.Weir.Warnings = m.Warnings
	for _, name := range slices.Sorted(maps.Keys(m.Functions)) {
		f := m.Functions[name]
		out.AvailableFunctions = append(out.AvailableFunctions, wire.Function{Name: name, SHA256: f.SHA256, Runtime: f.Runtime, Schedule: f.Config.Schedule, Fault: f.Fault})
	}
	return out, nil
}

// wireDeploy is a deploy of the call's site.
func (c *call) wireDeploy(d weir.Deploy) wire.Deploy {
	at, own := c.SiteURL(c.site), c.DeployURL(c.site, d)
	published := c.site.Published == d.ID
	out := wire.Deploy{
		ID: d.ID, SiteID: d.Site, UserID: c.Account, State: string(d.State), Name: c.site.Name, URL: at, SSLURL: at, DeployURL: own, DeploySSLURL: own,
		AdminURL: c.adminURL(c.site), Draft: d.Draft, Required: []string{}, RequiredFunctions: []string{}, ErrorMessage: d.Error, Branch: d.Alias,
		Title: d.Title, Context: d.Context, Locked: published && c.site.Locked, AvailableFunctions: []wire.Function{}, DeploySource: d.Source,
		CreatedAt: d.Created, UpdatedAt: d.Updated,
		Weir: wire.DeployReview{Review: string(d.Review), Reviewer: d.Reviewer, ReviewedAt: known(d.ReviewedAt), Baseline: d.Baseline, Author: d.Author, Published: published},
	}
	if published {
		out.PublishedAt = known(d.Done)
	}
	if why := withheld(d, own); why != "" {
		out.State, out.ErrorMessage = string(weir.DeployFailed), why
	}
	return out
}

// withheld says why a deploy that is ready is not where it was meant to be, "" if it is. Netlify's clients know of no
// review: to them it has failed, else they would say that it is live.
func withheld(d weir.Deploy, at string) string {
	switch {
	case d.State != weir.DeployReady:
	case d.Review == weir.ReviewRejected:
		return fmt.Sprintf("the deploy %s was rejected by %s, so it is not served; deploy again without what was not approved", d.ID, printable(d.Reviewer))
	case d.Review == weir.ReviewHeld && !d.Draft:
		return fmt.Sprintf("the deploy %s is held: it may do more than was approved; weir deploys diff %s says what, and it goes live when somebody "+
			"with the role approver agrees: weir deploys approve %s; until then what is live stays, and %s runs it with no more than was approved", d.ID, d.ID, d.ID, at)
	}
	return ""
}

// known gives nil for a time that is not known.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
