package deploys

// Sites, their names and their domains. A name is claimed by a key of its own before the site's record has it, so two
// sites never have the same; a claim that its site's record doesn't bear out is left over from a server that ended.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/store"
	"github.com/weir-run/weir/internal/weir"
)

const (
	claimTime  = 20 * time.Second // between a claim and the site's record, at most
	staleClaim = time.Minute      // a claim that is not borne out then may be taken over
)

// CreateSite makes a site. Without a name it gets one. Errors: weir.Invalid for what can't be a name, weir.Conflict
// for one that is taken.
func (s *Service) CreateSite(ctx context.Context, a Author, name string) (weir.Site, error) {
	generated := name == ""
	if generated {
		name = newSiteName()
	}
	if err := s.mayBeNamed(name); err != nil {
		return weir.Site{}, err
	}
	r := siteRecord{Site: weir.Site{ID: newUUID(), Name: name, Created: s.now(), Updated: s.now()}}
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	change := record.Change{Action: "site.create", Site: r.ID, Detail: map[string]string{"name": name}}
	err := s.journalled(ctx, a, change, func() error {
		if err := s.claim(ctx, nameKey(name), r.ID); err != nil {
			return err
		}
		_, err := s.sites.Create(ctx, "site."+r.ID, encode(r))
		return err
	})
	if generated && weir.ErrorCode(err) == weir.Conflict {
		return s.CreateSite(ctx, a, "")
	}
	return r.Site, err
}

// mayBeNamed refuses what can't be a site's name, and what would make its host the server's own.
func (s *Service) mayBeNamed(name string) error {
	if err := checkSiteName(name); err != nil {
		return err
	}
	return s.notReserved(name + "." + s.o.Domain)
}

// notReserved refuses the server's own host names: who calls the API by one would show a site their token.
func (s *Service) notReserved(hosts ...string) error {
	for _, host := range hosts {
		if slices.Contains(s.o.Reserved, host) {
			return &weir.Error{Code: weir.Invalid, Message: host + " is the server's own name", Remedy: "choose another one"}
		}
	}
	return nil
}

func nameKey(name string) string     { return "name." + name }
func domainKey(domain string) string { return "domain." + store.Token(domain) }

// claims gives the keys that a site has claimed.
func (r *siteRecord) claims() []string {
	keys := []string{nameKey(r.Name)}
	for _, d := range r.Domains {
		keys = append(keys, domainKey(d))
	}
	return keys
}

// claim claims a name or domain for a site.
func (s *Service) claim(ctx context.Context, key, site string) error {
	_, err := s.sites.Create(ctx, key, encode(site))
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	e, err := s.sites.Get(ctx, key)
	if err != nil {
		return err
	}
	var holder string
	if err := decode(e.Value, &holder); err != nil {
		return err
	}
	if holder == site {
		return nil
	}
	r, _, err := s.readSite(ctx, holder)
	if err != nil && weir.ErrorCode(err) != weir.NotFound {
		return err
	}
	if err == nil && slices.Contains(r.claims(), key) || s.now().Sub(e.Time) < staleClaim {
		kind, name, _ := strings.Cut(key, ".")
		return &weir.Error{Code: weir.Conflict, Message: "the " + kind + " " + quote(store.Text(name)) + " is taken by another site", Remedy: "choose another one"}
	}
	_, err = s.sites.Update(ctx, key, encode(site), e.Revision)
	return err
}

// release gives up claims that are a site's.
func (s *Service) release(ctx context.Context, keys []string, site string) error {
	for _, key := range keys {
		holder, revision, err := read[string](ctx, s.sites, key)
		if err == nil && holder == site {
			err = s.sites.Delete(ctx, key, revision)
		}
		if err != nil && weir.ErrorCode(err) != weir.NotFound && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return nil
}

// Site finds a site by its ID, name or domain.
func (s *Service) Site(ctx context.Context, ref string) (weir.Site, error) {
	if isUUID.MatchString(ref) {
		r, _, err := s.readSite(ctx, ref)
		return r.Site, err
	}
	key := domainKey(strings.ToLower(ref))
	if isLabel.MatchString(ref) {
		key = nameKey(ref)
	}
	if len(key) > 1000 {
		return weir.Site{}, noSite(ref)
	}
	id, _, err := read[string](ctx, s.sites, key)
	if err == nil {
		var r siteRecord
		if r, _, err = s.readSite(ctx, id); err == nil && slices.Contains(r.claims(), key) {
			return r.Site, nil
		}
	}
	if err == nil || weir.ErrorCode(err) == weir.NotFound {
		err = noSite(ref)
	}
	return weir.Site{}, err
}

// Sites gives all sites, by name.
func (s *Service) Sites(ctx context.Context) ([]weir.Site, error) {
	entries, err := s.sites.List(ctx, "site")
	if err != nil {
		return nil, err
	}
	out := make([]weir.Site, len(entries))
	for i, e := range entries {
		if err := decode(e.Value, &out[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b weir.Site) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// SiteChange is what becomes of a site. nil: it stays.
type SiteChange struct {
	Name    *string
	Domains *[]string // all of them, the primary one first
	Locked  *bool     // new deploys aren't published by themselves
}

// UpdateSite changes a site. Errors: weir.Invalid for what can't be a name or domain, weir.Conflict for one that is
// taken.
func (s *Service) UpdateSite(ctx context.Context, a Author, id string, c SiteChange) (weir.Site, error) {
	before, _, err := s.readSite(ctx, id)
	if err != nil {
		return weir.Site{}, err
	}
	detail := map[string]string{}
	wanted := before // what is to be claimed
	if c.Name != nil {
		if err := s.mayBeNamed(*c.Name); err != nil {
			return weir.Site{}, err
		}
		wanted.Name, detail["name"] = *c.Name, *c.Name
	}
	if c.Domains != nil {
		domains, err := canonicalDomains(*c.Domains, s.o.Domain)
		if err == nil {
			err = s.notReserved(domains...)
		}
		if err != nil {
			return weir.Site{}, err
		}
		wanted.Domains, detail["domains"] = domains, strings.Join(domains, " ")
	}
	action := "site.update"
	if c.Locked != nil {
		action = map[bool]string{true: "site.lock", false: "site.unlock"}[*c.Locked]
	}
	ctx, cancel := context.WithTimeout(ctx, claimTime)
	defer cancel()
	err = s.journalled(ctx, a, record.Change{Action: action, Site: id, Detail: detail}, func() error {
		return s.rename(ctx, &wanted, c)
	})
	return wanted.Site, err
}

// rename claims what a site wants, writes its record and releases what is no longer its own. site becomes what was
// written.
func (s *Service) rename(ctx context.Context, site *siteRecord, c SiteChange) error {
	var err error
	claimed := site.claims()
	for _, key := range claimed {
		if err = s.claim(ctx, key, site.ID); err != nil {
			break
		}
	}
	var before siteRecord
	if err == nil {
		wanted := *site
		*site, err = s.updateSite(ctx, site.ID, func(r *siteRecord) error {
			before = *r
			if c.Name != nil {
				r.Name = wanted.Name
			}
			if c.Domains != nil {
				r.Domains = wanted.Domains
			}
			if c.Locked != nil {
				r.Locked = *c.Locked
			}
			return nil
		})
	}
	ctx = context.WithoutCancel(ctx)
	now, _, readErr := s.readSite(ctx, site.ID)
	if readErr == nil {
		left := claimed
		if before.ID != "" {
			left = append(left, before.claims()...)
		}
		left = slices.DeleteFunc(left, func(key string) bool { return slices.Contains(now.claims(), key) })
		readErr = s.release(ctx, left, site.ID)
	}
	if err == nil {
		err = readErr
	}
	return err
}

// Lock keeps new deploys of a site from being published by themselves.
func (s *Service) Lock(ctx context.Context, a Author, id string) (weir.Site, error) {
	locked := true
	return s.UpdateSite(ctx, a, id, SiteChange{Locked: &locked})
}

// Unlock undoes Lock. What became ready meanwhile is not published.
func (s *Service) Unlock(ctx context.Context, a Author, id string) (weir.Site, error) {
	locked := false
	return s.UpdateSite(ctx, a, id, SiteChange{Locked: &locked})
}

// DeleteSite removes a site and its deploys.
func (s *Service) DeleteSite(ctx context.Context, a Author, id string) error {
	r, _, err := s.readSite(ctx, id)
	if err != nil {
		return err
	}
	change := record.Change{Action: "site.delete", Site: id, Detail: map[string]string{"name": r.Name}}
	return s.journalled(ctx, a, change, func() error {
		if err := s.sites.Delete(ctx, "site."+id, 0); err != nil { // from here on it isn't served
			return err
		}
		if err := s.release(ctx, r.claims(), id); err != nil {
			return err
		}
		if err := s.policies.Delete(ctx, policyKey(id), 0); err != nil {
			return err
		}
		all, err := s.listDeploys(ctx, id)
		if err != nil {
			return err
		}
		defer s.tidy()
		for _, d := range all {
			if err := s.removeDeploy(ctx, id, d.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
