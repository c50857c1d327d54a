package deploys

// Old deploys are removed, then what nothing refers to any more. Nothing may begin to lead to a deploy that is being
// removed: its site's record names it until it is gone, and whatever leads to deploys is in that record, too.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// keepFailed is how many deploys that failed are kept of a site, at most.
const keepFailed = 100

// leftAge is how old what is left of an upload must be to be removed: no upload is silent for that long.
const leftAge = time.Hour

// Collect removes the deploys that Keep doesn't keep, what servers have left that ended, and the blobs that nothing
// refers to. Several servers may do it at a time.
func (s *Service) Collect(ctx context.Context) error {
	// First the deploys, then the sites: so each of them is found, whatever is made meanwhile.
	keys, err := s.deploys.Keys(ctx, "")
	if err != nil {
		return err
	}
	sites, err := s.Sites(ctx)
	if err != nil {
		return err
	}
	var errs []error
	there := map[string]bool{}
	for _, site := range sites {
		there[site.ID] = true
		errs = append(errs, s.retain(ctx, site.ID))
	}
	errs = append(errs, s.dropOrphans(ctx, keys, there), s.dropUploads(ctx), s.sweep(ctx), s.blobs.Tidy(ctx, leftAge))
	return errors.Join(errs...)
}

// retain removes the deploys of a site that needn't be kept.
func (s *Service) retain(ctx context.Context, siteID string) error {
	site, _, err := s.readSite(ctx, siteID)
	if err != nil {
		return err
	}
	all, err := s.listDeploys(ctx, siteID)
	if err != nil {
		return err
	}
	old := append([]string{}, site.Removing...) // a server that ended has left these
	bases := basesOf(all)
	ready, failed := 0, 0
	for _, d := range all {
		final, young := true, s.now().Sub(d.Done) < s.o.Keep.Age
		switch d.State {
		case weir.DeployReady:
			ready++
		case weir.DeployFailed:
			failed++
			young = young && failed <= keepFailed
		default:
			final = false
		}
		keep := !final || site.uses(d.ID) || bases[d.ID] || young || d.State == weir.DeployReady && ready <= s.o.Keep.Ready
		if !keep {
			old = append(old, d.ID)
		}
	}
	if len(old) == 0 {
		return nil
	}
	change := record.Change{Action: "deploy.expire", Site: siteID, Detail: map[string]string{"deploys": weir.Cut(strings.Join(old, " "), 4<<10)}}
	return s.journalled(ctx, Author{Name: "weir"}, change, func() error { return s.remove(ctx, siteID, old) })
}

// uses tells whether a site leads to a deploy.
func (r *siteRecord) uses(id string) bool {
	if id == r.Published || id == r.Approved || len(r.Previous) > 0 && id == r.Previous[0] {
		return true
	}
	for _, d := range r.Aliases {
		if d == id {
			return true
		}
	}
	return false
}

// remove removes those of the deploys that nothing leads to.
func (s *Service) remove(ctx context.Context, siteID string, old []string) error {
	var ids []string
	_, err := s.updateSite(ctx, siteID, func(r *siteRecord) error {
		ids = slices.DeleteFunc(slices.Clone(old), r.uses)
		for _, id := range ids {
			if !r.removing(id) {
				r.Removing = append(r.Removing, id)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.hook("removing")
	all, err := s.listDeploys(ctx, siteID)
	if err != nil {
		return err
	}
	held := basesOf(all) // one may have become held meanwhile
	for _, id := range ids {
		if !held[id] {
			if err := s.removeDeploy(ctx, siteID, id); err != nil {
				return err
			}
		}
	}
	_, err = s.updateSite(ctx, siteID, func(r *siteRecord) error {
		gone := func(id string) bool { return slices.Contains(ids, id) && !held[id] }
		r.Previous = slices.DeleteFunc(r.Previous, gone)
		r.Removing = slices.DeleteFunc(r.Removing, func(id string) bool { return slices.Contains(old, id) })
		return nil
	})
	return err
}

// basesOf gives the deploys that held ones run with.
func basesOf(all []deployRecord) map[string]bool {
	bases := map[string]bool{}
	for _, d := range all {
		if d.Review == weir.ReviewHeld {
			bases[d.Baseline] = true
		}
	}
	return bases
}

func (s *Service) removeDeploy(ctx context.Context, site, id string) error {
	if s.o.Removed != nil {
		if err := s.o.Removed(ctx, id); err != nil {
			return err
		}
	}
	if err := s.deploys.Delete(ctx, deployKey(site, id), 0); err != nil {
		return err
	}
	if err := s.deploys.Delete(ctx, "id."+id, 0); err != nil {
		return err
	}
	return s.end(ctx, deployRecord{Deploy: weir.Deploy{Site: site, ID: id}})
}

// DeleteDeploy removes a deploy that is at its end, and its alias. Errors: weir.Conflict if it is published or
// approved, or a held deploy runs with what it may do.
func (s *Service) DeleteDeploy(ctx context.Context, a Author, id string) error {
	d, err := s.readDeploy(ctx, id)
	if err != nil {
		return err
	}
	site, _, err := s.readSite(ctx, d.Site)
	if err != nil {
		return err
	}
	all, err := s.listDeploys(ctx, d.Site)
	if err != nil {
		return err
	}
	bases := basesOf(all)
	needed := func(r *siteRecord) error {
		if d.State != weir.DeployReady && d.State != weir.DeployFailed {
			return &weir.Error{Code: weir.Conflict, Message: "the deploy " + id + " is not at its end", Remedy: "cancel it first"}
		}
		if id == r.Published || id == r.Approved || bases[id] {
			return &weir.Error{Code: weir.Conflict, Message: fmt.Sprintf("the deploy %s is needed: it is published, approved or what a held deploy is measured by", id),
				Remedy: "publish or approve another one first"}
		}
		return nil
	}
	if err := needed(&site); err != nil {
		return err
	}
	return s.journalled(ctx, a, record.Change{Action: "deploy.delete", Site: d.Site, Deploy: id}, func() error {
		_, err := s.updateSite(ctx, d.Site, func(r *siteRecord) error {
			if err := needed(r); err != nil {
				return err
			}
			for alias, of := range r.Aliases {
				if of == id {
					delete(r.Aliases, alias)
				}
			}
			r.Previous = slices.DeleteFunc(r.Previous, func(p string) bool { return p == id })
			return nil
		})
		if err != nil {
			return err
		}
		defer s.tidy()
		return s.remove(ctx, d.Site, []string{id})
	})
}

// dropOrphans removes deploys whose site is gone, and ids whose deploy is. keys are those of the bucket.
func (s *Service) dropOrphans(ctx context.Context, keys []string, sites map[string]bool) error {
	known := map[string]bool{}
	for _, key := range keys {
		if site, id, ok := strings.Cut(strings.TrimPrefix(key, "deploy."), "."); ok && strings.HasPrefix(key, "deploy.") {
			known[id] = true
			if sites[site] {
				continue
			}
			if err := s.removeDeploy(ctx, site, id); err != nil {
				return err
			}
		}
	}
	for _, key := range keys {
		id, isID := strings.CutPrefix(key, "id.")
		if !isID || known[id] {
			continue
		}
		if _, err := s.readDeploy(ctx, id); weir.ErrorCode(err) != weir.NotFound || s.now().Sub(begun(id)) < leftTime {
			continue
		}
		if err := s.deploys.Delete(ctx, key, 0); err != nil {
			return err
		}
	}
	return nil
}

// begun gives when a deploy was begun, by its ID.
func begun(id string) time.Time {
	ms, err := strconv.ParseInt(id[:12], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// dropUploads forgets what was received for deploys that are at their end or gone: an upload may end after its deploy.
func (s *Service) dropUploads(ctx context.Context) error {
	ended := map[string]bool{}
	keys, err := s.uploads.Keys(ctx, "received")
	if err != nil {
		return err
	}
	for _, key := range keys {
		id := strings.Split(key, ".")[1]
		end, asked := ended[id]
		if !asked {
			r, err := s.readDeploy(ctx, id)
			if err != nil && weir.ErrorCode(err) != weir.NotFound {
				return err
			}
			end = err != nil || r.State == weir.DeployReady || r.State == weir.DeployFailed
			ended[id] = end
		}
		if !end {
			continue
		}
		if err := s.uploads.Delete(ctx, key, 0); err != nil {
			return err
		}
	}
	return nil
}
