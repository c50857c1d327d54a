package deploys

// Which deploy a site serves is one field of its record: whoever watches it sees the old one or the new one, never
// anything between.

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

// maxPrevious bounds how many steps a site can be rolled back.
const maxPrevious = 50

// errMoved says that another deploy was approved in the meantime.
var errMoved = errors.New("another deploy was approved meanwhile")

func (r *siteRecord) removing(id string) bool { return slices.Contains(r.Removing, id) }

// publish makes a deploy the published one.
func (r *siteRecord) publish(d deployRecord) {
	previous := append([]string{r.Published}, r.Previous...)
	previous = slices.DeleteFunc(previous, func(p string) bool { return p == "" || p == d.ID })
	r.Previous = previous[:min(len(previous), maxPrevious)]
	r.Published, r.Schedules = d.ID, d.Schedules
	r.Newest = max(r.Newest, d.ID)
}

// places tells which places a deploy takes by itself, if nobody minds: production, or its alias.
func (r *siteRecord) places(d deployRecord) (live, aliased bool) {
	return !d.Draft && d.Alias == "" && !r.Locked && d.ID > r.Newest, d.Alias != "" && d.ID > r.Aliases[d.Alias]
}

// land does with a site what becomes of it by itself when a deploy is ready or approved, and tells whether that is
// anything. A deploy takes no place from one that was begun later.
func (r *siteRecord) land(d deployRecord) bool {
	if r.removing(d.ID) || d.Review == weir.ReviewHeld || d.Review == weir.ReviewRejected {
		return false
	}
	if d.Review == weir.ReviewApproved && !d.CanApprove && r.Approved != d.ID {
		return false // somebody approved another one since
	}
	live, aliased := r.places(d)
	changed := false
	if d.CanApprove && (live || d.Review == weir.ReviewApproved) && d.ID > r.NewestApproved {
		r.Approved, r.NewestApproved, changed = d.ID, d.ID, true
	}
	if live {
		r.publish(d)
		changed = true
	}
	if aliased {
		r.Aliases = maps.Clone(r.Aliases)
		if r.Aliases == nil {
			r.Aliases = map[string]string{}
		}
		r.Aliases[d.Alias], changed = d.ID, true
	}
	return changed
}

// settle does what becomes of a ready deploy by itself. Done twice, it changes nothing: a server may end at any moment.
func (s *Service) settle(ctx context.Context, d deployRecord, a Author) error {
	for {
		site, _, err := s.readSite(ctx, d.Site)
		if err != nil {
			return err
		}
		live, aliased := site.places(d) // else it has its place already, or gets none
		if d.Over != site.Approved && (d.Review == weir.ReviewHeld || d.Review == weir.ReviewNone && (live || aliased)) {
			if d, err = s.judgeAgain(ctx, d); err != nil {
				return err
			}
		}
		trial := site
		if !trial.land(d) {
			return s.end(ctx, d)
		}
		change := record.Change{Action: "deploy.publish", Site: d.Site, Deploy: d.ID}
		switch {
		case d.Alias != "":
			change.Action, change.Detail = "deploy.alias", map[string]string{"alias": d.Alias}
		case d.Draft || trial.Published != d.ID:
			change.Action = "site.approved" // it is what others are held against
		}
		err = s.journalled(ctx, a, change, func() error {
			_, err := s.updateSite(ctx, d.Site, func(now *siteRecord) error {
				if now.Approved != site.Approved {
					return errMoved
				}
				if !now.land(d) {
					return errSame
				}
				return nil
			})
			return err
		})
		if err == nil {
			if trial.Published == d.ID {
				s.o.Shown(ctx, d.Site, d.ID)
			}
			return s.end(ctx, d)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// RemoveAlias has an alias of a site lead nowhere, until something is deployed by it again; the deploy stays. Errors:
// weir.NotFound if there is no such alias, weir.Invalid for what can't be one.
func (s *Service) RemoveAlias(ctx context.Context, a Author, siteID, alias string) (weir.Site, error) {
	site, _, err := s.readSite(ctx, siteID)
	if err == nil {
		alias, err = aliasOf(alias, site.Name)
	}
	if err != nil {
		return site.Site, err
	}
	gone := func(r *siteRecord) error {
		if r.Aliases[alias] == "" {
			return &weir.Error{Code: weir.NotFound, Message: "the site has no alias " + quote(alias), Remedy: "see the site's list of deploys"}
		}
		return nil
	}
	if err := gone(&site); err != nil {
		return site.Site, err
	}
	change := record.Change{Action: "deploy.unalias", Site: siteID, Deploy: site.Aliases[alias], Detail: map[string]string{"alias": alias}}
	err = s.journalled(ctx, a, change, func() error {
		site, err = s.updateSite(ctx, siteID, func(r *siteRecord) error {
			if err := gone(r); err != nil {
				return err
			}
			r.Aliases = maps.Clone(r.Aliases)
			delete(r.Aliases, alias)
			return nil
		})
		return err
	})
	return site.Site, err
}

// Publish makes a ready deploy what production URLs serve, also an older one or a draft, and on a locked site. Errors:
// weir.Denied if it gains something over what is approved, unless the author may approve: then it is approved, too,
// on record.
func (s *Service) Publish(ctx context.Context, a Author, id string) (weir.Site, error) {
	d, err := s.readDeploy(ctx, id)
	if err != nil {
		return weir.Site{}, err
	}
	return s.goLive(ctx, a, d.Site, "deploy.publish", func(siteRecord) (deployRecord, []string, error) {
		d, err := s.readDeploy(ctx, id)
		return d, nil, err
	})
}

// Rollback publishes what was published before; called again, what was before that. Errors: weir.Conflict if there is
// nothing, and those of Publish.
func (s *Service) Rollback(ctx context.Context, a Author, siteID string) (weir.Site, error) {
	return s.goLive(ctx, a, siteID, "deploy.rollback", func(site siteRecord) (deployRecord, []string, error) {
		for i, id := range site.Previous {
			d, err := s.readDeploy(ctx, id)
			if err == nil && d.Review != weir.ReviewRejected && !site.removing(id) {
				return d, slices.Clone(site.Previous[i+1:]), nil
			}
			if err != nil && weir.ErrorCode(err) != weir.NotFound {
				return d, nil, err
			}
		}
		return deployRecord{}, nil, &weir.Error{Code: weir.Conflict, Message: "no other deploy of the site was published before", Remedy: "publish one from the site's list of deploys"}
	})
}

// goLive publishes the deploy that pick chooses. pick also gives what was published before that, nil for as it comes.
func (s *Service) goLive(ctx context.Context, a Author, siteID, action string, pick func(siteRecord) (d deployRecord, before []string, err error)) (weir.Site, error) {
	for {
		site, revision, err := s.readSite(ctx, siteID)
		if err != nil {
			return weir.Site{}, err
		}
		d, before, err := pick(site)
		if err != nil || d.ID == site.Published {
			return site.Site, err
		}
		gains, err := s.mayGoLive(ctx, a, site, d)
		if err != nil {
			return site.Site, err
		}
		if gains {
			if _, err := s.approve(ctx, a, d, "as it was published"); err != nil {
				return site.Site, err
			}
			continue
		}
		err = s.journalled(ctx, a, record.Change{Action: action, Site: siteID, Deploy: d.ID}, func() error {
			site.publish(d)
			if before != nil {
				site.Previous = before
			}
			if a.CanApprove {
				site.Approved = d.ID
			}
			site.Updated = s.now()
			_, err := s.sites.Update(ctx, "site."+siteID, encode(site), revision)
			return err
		})
		if err == nil {
			s.o.Shown(ctx, siteID, d.ID)
		}
		if !errors.Is(err, store.ErrConflict) {
			return site.Site, err
		}
	}
}

// mayGoLive tells whether a deploy gains something, which its publisher may approve. Errors: weir.Denied if not.
func (s *Service) mayGoLive(ctx context.Context, a Author, site siteRecord, d deployRecord) (gains bool, err error) {
	if site.removing(d.ID) {
		return false, noDeploy(d.ID)
	}
	policies, err := s.readPolicies(ctx, d)
	if err != nil {
		return false, err
	}
	if d.Review == weir.ReviewRejected {
		return false, &weir.Error{Code: weir.Denied, Message: "the deploy " + d.ID + " was rejected", Remedy: "have it approved first"}
	}
	result, err := s.compare(ctx, site.Approved, policies)
	if err != nil {
		return false, err
	}
	gains = result.Gains() > 0
	switch {
	case gains && !a.CanApprove:
		return false, &weir.Error{Code: weir.Denied, Message: "the deploy " + d.ID + " may do more than what was approved last", Remedy: "have it approved first"}
	case !gains && d.Review == weir.ReviewHeld: // what it gained was approved with another one
		_, err = s.judgeAgain(ctx, d)
	}
	return gains, err
}
