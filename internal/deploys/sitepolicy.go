package deploys

// A policy that was set for a site on the server takes the place of what its deploys bring.

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// SitePolicy is a policy that was set for a site.
type SitePolicy struct {
	Text    string    `json:"text"` // a weir.toml; "": none was set
	Author  string    `json:"author"`
	Updated time.Time `json:"updated"`
}

// maxPolicy bounds a site's policy, in bytes.
const maxPolicy = 256 << 10

func policyKey(site string) string { return "policy." + site }

// SetPolicy sets the policy of a site, or removes it ("" as text). It counts for deploys that are staged afterwards; see
// Restage. Errors: weir.Denied if the author may not approve, weir.Invalid if it is no weir.toml.
func (s *Service) SetPolicy(ctx context.Context, a Author, siteID, text string) error {
	if _, _, err := s.readSite(ctx, siteID); err != nil {
		return err
	}
	if !a.CanApprove {
		return &weir.Error{Code: weir.Denied, Message: "the token may not set a site's policy", Remedy: "ask somebody with the role approver or owner"}
	}
	if len(text) > maxPolicy {
		return &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("a site's policy has at most %d KB", maxPolicy>>10), Remedy: "use globs for functions that are alike"}
	}
	if s.o.CheckPolicy != nil && text != "" {
		if err := s.o.CheckPolicy(text); err != nil {
			return err
		}
	}
	return s.journalled(ctx, a, record.Change{Action: "site.policy", Site: siteID, Detail: map[string]string{"bytes": fmt.Sprint(len(text))}}, func() error {
		if text == "" {
			return s.policies.Delete(ctx, policyKey(siteID), 0)
		}
		_, err := s.policies.Put(ctx, policyKey(siteID), encode(SitePolicy{Text: text, Author: a.Name, Updated: s.now()}))
		return err
	})
}

// SitePolicy gives the policy that was set for a site.
func (s *Service) SitePolicy(ctx context.Context, siteID string) (SitePolicy, error) {
	if _, _, err := s.readSite(ctx, siteID); err != nil {
		return SitePolicy{}, err
	}
	p, _, err := read[SitePolicy](ctx, s.policies, policyKey(siteID))
	if weir.ErrorCode(err) == weir.NotFound {
		err = nil
	}
	return p, err
}

// Restage begins a deploy with the contents of a ready one, so that today's policy and ceiling count for them.
func (s *Service) Restage(ctx context.Context, a Author, id string) (weir.Deploy, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return weir.Deploy{}, err
	}
	m, err := s.manifest(ctx, r)
	if err != nil {
		return weir.Deploy{}, err
	}
	o := BeginOptions{Draft: r.Draft, Alias: r.Alias, Title: r.Title, Source: r.Source, Context: r.Context}
	again, err := s.begin(ctx, a, r.Site, o, r.ID)
	if err != nil {
		return weir.Deploy{}, err
	}
	c := contentsOf(m)
	_, d, err := s.Declare(ctx, a, again.ID, Declaration{Files: c.Files, Functions: c.Functions})
	return d, err
}
