package deploys

// How a deploy begins, what is known of it, and how somebody ends it early.

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// BeginOptions say what a deploy is to become.
type BeginOptions struct {
	Draft   bool
	Alias   string // any text; its letters and digits count
	Title   string
	Source  string // what the client calls itself
	Context string // "": by Alias and Draft
}

// maxTitle bounds a title and a source, in bytes.
const maxTitle = 1 << 10

// active is a deploy that isn't at its end.
type active struct {
	site, id string
	found    bool // it isn't known that this server has anything to do for it
}

func (a active) key() string { return "active." + a.site + "." + a.id }

// Begin begins a deploy of a site. Errors: weir.Invalid for an alias that can't be part of a host name, weir.Busy if
// too many deploys of the site aren't at their end.
func (s *Service) Begin(ctx context.Context, a Author, siteID string, o BeginOptions) (weir.Deploy, error) {
	r, err := s.begin(ctx, a, siteID, o, "")
	return r.Deploy, err
}

func (s *Service) begin(ctx context.Context, a Author, siteID string, o BeginOptions, like string) (deployRecord, error) {
	site, _, err := s.readSite(ctx, siteID)
	if err != nil {
		return deployRecord{}, err
	}
	alias, err := aliasOf(o.Alias, site.Name)
	if err != nil {
		return deployRecord{}, err
	}
	switch o.Context {
	case weir.ContextProduction, weir.ContextPreview, weir.ContextBranch, weir.ContextDev:
	case "":
		o.Context = weir.ContextProduction
		if alias != "" {
			o.Context = weir.ContextBranch
		} else if o.Draft {
			o.Context = weir.ContextPreview
		}
	default:
		return deployRecord{}, &weir.Error{Code: weir.Invalid, Message: "there is no context " + quote(o.Context),
			Remedy: "use production, deploy-preview, branch-deploy or dev"}
	}
	open, err := s.uploads.Keys(ctx, "active."+siteID)
	if err != nil {
		return deployRecord{}, err
	}
	if len(open) >= s.o.Limits.Open {
		return deployRecord{}, &weir.Error{Code: weir.Busy, Message: fmt.Sprintf("%d deploys of the site are not at their end", len(open)),
			Remedy: "wait for them, or cancel some"}
	}
	all, err := s.deploys.Keys(ctx, "deploy."+siteID)
	if err != nil {
		return deployRecord{}, err
	}
	if err := s.roomFor(len(all)); err != nil {
		return deployRecord{}, err
	}
	r := deployRecord{From: a.From, CanApprove: a.CanApprove, Like: like, Deploy: weir.Deploy{ID: s.newDeployID(site.Newest, site.NewestApproved, site.Aliases[alias]), Site: siteID, State: weir.DeployNew,
		Context: o.Context, Alias: alias, Draft: o.Draft, Title: weir.Cut(o.Title, maxTitle), Source: weir.Cut(o.Source, maxTitle),
		Author: a.Name, Created: s.now(), Updated: s.now()}}
	err = s.journalled(ctx, a, record.Change{Action: "deploy.begin", Site: siteID, Deploy: r.ID}, func() error {
		// First what leads to it when this server ends, last what makes it known.
		if _, err := s.uploads.Create(ctx, active{site: siteID, id: r.ID}.key(), []byte("{}")); err != nil {
			return err
		}
		if _, err := s.deploys.Create(ctx, deployKey(siteID, r.ID), encode(r)); err != nil {
			return err
		}
		_, err := s.deploys.Create(ctx, "id."+r.ID, encode(siteID))
		return err
	})
	return r, err
}

// Deploy gives a deploy.
func (s *Service) Deploy(ctx context.Context, id string) (weir.Deploy, error) {
	r, err := s.readDeploy(ctx, id)
	return r.seen(), err
}

// SiteDeploy gives a deploy, if it is one of this site.
func (s *Service) SiteDeploy(ctx context.Context, siteID, id string) (weir.Deploy, error) {
	r, err := s.readDeploy(ctx, id)
	if err == nil && r.Site != siteID {
		return weir.Deploy{}, noDeploy(id)
	}
	return r.seen(), err
}

// seen is the deploy as others see it: it is not ready before it is published, if it is to be.
func (r deployRecord) seen() weir.Deploy {
	d := r.Deploy
	if d.State == weir.DeployReady && !r.Settled {
		d.State = weir.DeployProcessing
	}
	return d
}

// Filter says which deploys are looked for. A zero field is any.
type Filter struct {
	State  weir.DeployState
	Review weir.Review
	Alias  string
}

// Deploys gives the deploys of a site, the last begun first.
func (s *Service) Deploys(ctx context.Context, siteID string, f Filter) ([]weir.Deploy, error) {
	if _, _, err := s.readSite(ctx, siteID); err != nil {
		return nil, err
	}
	all, err := s.listDeploys(ctx, siteID)
	if err != nil {
		return nil, err
	}
	out := []weir.Deploy{}
	for _, r := range all {
		d := r.seen()
		if (f.State == "" || f.State == d.State) && (f.Review == "" || f.Review == d.Review) && (f.Alias == "" || f.Alias == d.Alias) {
			out = append(out, d)
		}
	}
	return out, nil
}

// notReady is the error of what needs a deploy that is ready.
func notReady(r deployRecord) error {
	return &weir.Error{Code: weir.Conflict, Message: "the deploy " + r.ID + " is not ready: its state is " + string(r.State), Remedy: "wait until it is ready, or take another one"}
}

// Manifest gives what a ready deploy consists of. Errors: weir.Conflict if it isn't ready.
func (s *Service) Manifest(ctx context.Context, id string) (weir.Manifest, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return weir.Manifest{}, err
	}
	return s.manifest(ctx, r)
}

// Outline is Manifest without the files and texts: of a deploy of very many files, it is read as quickly as of any.
func (s *Service) Outline(ctx context.Context, id string) (m weir.Manifest, err error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return m, err
	}
	if r.State != weir.DeployReady {
		return m, notReady(r)
	}
	return m, s.readDocument(ctx, r.Outline, &m)
}

func (s *Service) manifest(ctx context.Context, r deployRecord) (m weir.Manifest, err error) {
	if r.State != weir.DeployReady {
		return m, notReady(r)
	}
	return m, s.readDocument(ctx, r.Manifest, &m)
}

// Policies gives what the functions of a ready deploy may do, by name, as it was judged. A held deploy runs with what
// the policies of its Baseline allow as well. Errors: weir.Conflict if it isn't ready.
func (s *Service) Policies(ctx context.Context, id string) (map[string]*policy.Policy, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.readPolicies(ctx, r)
}

func (s *Service) readPolicies(ctx context.Context, r deployRecord) (p map[string]*policy.Policy, err error) {
	if r.State != weir.DeployReady {
		return nil, notReady(r)
	}
	return p, s.readDocument(ctx, r.Policies, &p)
}

// Cancel ends a deploy that isn't ready: it fails. One that has failed stays as it is.
func (s *Service) Cancel(ctx context.Context, a Author, id string) (weir.Deploy, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil || r.State == weir.DeployFailed {
		return r.Deploy, err
	}
	if r.State == weir.DeployReady {
		return r.Deploy, tooLate(r)
	}
	err = s.journalled(ctx, a, record.Change{Action: "deploy.cancel", Site: r.Site, Deploy: id}, func() error {
		r, err = s.fail(ctx, r, "", "it was cancelled by "+weir.Printable(a.Name))
		return err
	})
	return r.Deploy, err
}

func tooLate(r deployRecord) error {
	return &weir.Error{Code: weir.Conflict, Message: "the deploy " + r.ID + " is ready already", Remedy: "begin another one; what is published can be rolled back"}
}

// fail ends a deploy with what went wrong; with an owner, only while that server processes it. Errors: weir.Conflict if
// it is ready.
func (s *Service) fail(ctx context.Context, r deployRecord, owner, why string) (deployRecord, error) {
	r, err := s.updateDeploy(ctx, r, func(r *deployRecord) error {
		switch {
		case r.State == weir.DeployFailed, owner != "" && r.Owner != owner:
			return errSame
		case r.State == weir.DeployReady:
			return tooLate(*r)
		}
		r.State, r.Error, r.Done = weir.DeployFailed, weir.Cut(why, maxFault), s.now()
		r.Declared, r.Known = "", ""
		return nil
	})
	if err != nil || r.State != weir.DeployFailed {
		return r, err
	}
	return r, s.end(ctx, r)
}

// end forgets what was received for a deploy that is at its end.
func (s *Service) end(ctx context.Context, r deployRecord) error {
	s.forget(r.ID)
	if r.State == weir.DeployReady {
		if _, err := s.updateDeploy(ctx, r, settled); err != nil {
			return err
		}
	}
	keys, err := s.uploads.Keys(ctx, "received."+r.ID)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.uploads.Delete(ctx, key, 0); err != nil {
			return err
		}
	}
	return s.uploads.Delete(ctx, active{site: r.Site, id: r.ID}.key(), 0)
}

func settled(r *deployRecord) error {
	if r.Settled {
		return errSame
	}
	r.Settled = true
	return nil
}
