package deploys

// What a deploy may do is held against what was approved last. What that is moves only by the hand of somebody who may
// approve: what such a person has taken away, nobody else brings back, and what a deploy lost by accident, a rollback
// does.

import (
	"context"
	"fmt"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/diff"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

// judgement is what comes of a comparison.
type judgement struct {
	over   string // the approved deploy
	gains  int    // privileges
	review weir.Review
}

// judge holds the policies of a deploy against those that are approved now.
func (s *Service) judge(ctx context.Context, r deployRecord, policies map[string]*policy.Policy) (judgement, error) {
	site, _, err := s.readSite(ctx, r.Site)
	if err != nil {
		return judgement{}, err
	}
	result, err := s.compare(ctx, site.Approved, policies)
	if err != nil {
		return judgement{}, err
	}
	j := judgement{over: site.Approved, gains: result.Gains()}
	if j.gains > 0 {
		j.review = weir.ReviewHeld
		if r.CanApprove {
			j.review = weir.ReviewApproved
		}
	}
	return j, nil
}

// compare compares the policies of a deploy ("" or one that is gone: nothing) with others.
func (s *Service) compare(ctx context.Context, id string, policies map[string]*policy.Policy) (diff.Result, error) {
	var before map[string]*policy.Policy
	if id != "" {
		r, err := s.readDeploy(ctx, id)
		if err == nil {
			before, err = s.readPolicies(ctx, r)
		}
		if err != nil && weir.ErrorCode(err) != weir.NotFound {
			return diff.Result{}, err
		}
	}
	return diff.Compare(before, policies)
}

// apply makes a judgement a deploy's.
func (j judgement) apply(s *Service, r *deployRecord) {
	r.Over, r.Gains, r.Review = j.over, j.gains, j.review
	r.Baseline = ""
	switch j.review {
	case weir.ReviewHeld:
		r.Baseline = j.over
	case weir.ReviewApproved:
		r.Reviewer, r.ReviewedAt = r.Author, s.now()
	}
}

// change gives a judgement for the journal.
func (j judgement) change(r deployRecord) record.Change {
	action := map[weir.Review]string{weir.ReviewNone: "deploy.ready", weir.ReviewHeld: "deploy.hold", weir.ReviewApproved: "deploy.approve"}[j.review]
	c := record.Change{Action: action, Site: r.Site, Deploy: r.ID}
	if j.gains > 0 {
		c.Detail = gained(j.gains, j.over, "")
	}
	if j.review == weir.ReviewApproved {
		c.Detail["note"] = "as it landed: its author may approve"
	}
	return c
}

func gained(gains int, over, note string) map[string]string {
	d := map[string]string{"gains": fmt.Sprint(gains), "over": over}
	if note != "" {
		d["note"] = weir.Cut(weir.Printable(note), maxTitle)
	}
	return d
}

// judgeAgain judges a deploy that nobody has reviewed, because another one was approved since.
func (s *Service) judgeAgain(ctx context.Context, r deployRecord) (deployRecord, error) {
	policies, err := s.readPolicies(ctx, r)
	if err != nil {
		return r, err
	}
	j, err := s.judge(ctx, r, policies)
	if err != nil {
		return r, err
	}
	put := func() error {
		r, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
			if r.Review != weir.ReviewNone && r.Review != weir.ReviewHeld {
				return errSame
			}
			j.apply(s, r)
			return nil
		})
		return err
	}
	if j.review == r.Review {
		return r, put()
	}
	return r, s.journalled(ctx, Author{Name: r.Author, From: r.From}, j.change(r), put)
}

// reviewed gives a ready deploy to somebody who may approve.
func (s *Service) reviewed(ctx context.Context, a Author, id string) (deployRecord, error) {
	if !a.CanApprove {
		return deployRecord{}, &weir.Error{Code: weir.Denied, Message: "the token may not approve or reject deploys", Remedy: "ask somebody with the role approver or owner"}
	}
	r, err := s.readDeploy(ctx, id)
	if err == nil && r.State != weir.DeployReady {
		err = notReady(r)
	}
	return r, err
}

// Approve approves what a ready deploy may do: it is what later ones are held against. If the deploy was held, it is
// published, or its alias leads to it, as it would have been. Errors: weir.Denied if the author may not approve;
// weir.Conflict if another deploy was approved since this one was held and it still gains something: Diff then shows
// what, and Approve may be called again.
func (s *Service) Approve(ctx context.Context, a Author, id, note string) (weir.Deploy, error) {
	r, err := s.reviewed(ctx, a, id)
	if err != nil {
		return r.Deploy, err
	}
	if r, err = s.approve(ctx, a, r, note); err != nil {
		return r.Deploy, err
	}
	return r.Deploy, s.settle(ctx, r, a)
}

func (s *Service) approve(ctx context.Context, a Author, r deployRecord, note string) (deployRecord, error) {
	site, _, err := s.readSite(ctx, r.Site)
	if err != nil {
		return r, err
	}
	if r.Review == weir.ReviewHeld && r.Over != site.Approved && r.ID != site.Approved {
		if r, err = s.judgeAgain(ctx, r); err != nil {
			return r, err
		}
		if r.Review == weir.ReviewHeld {
			return r, &weir.Error{Code: weir.Conflict, Message: "another deploy was approved since the deploy " + r.ID + " was held", Remedy: "look again at what it gains, then approve it"}
		}
	}
	policies, err := s.readPolicies(ctx, r)
	if err != nil {
		return r, err
	}
	result, err := s.compare(ctx, site.Approved, policies)
	if err != nil {
		return r, err
	}
	change := record.Change{Action: "deploy.approve", Site: r.Site, Deploy: r.ID, Detail: gained(result.Gains(), site.Approved, note)}
	err = s.journalled(ctx, a, change, func() error {
		_, err := s.updateSite(ctx, r.Site, func(now *siteRecord) error {
			if now.Approved != site.Approved {
				return &weir.Error{Code: weir.Conflict, Message: "another deploy was approved at the same time", Remedy: "look again at what this one gains, then approve it"}
			}
			if now.removing(r.ID) {
				return noDeploy(r.ID)
			}
			now.Approved = r.ID
			return nil
		})
		if err != nil {
			return err
		}
		r, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
			r.Review, r.Reviewer, r.ReviewedAt = weir.ReviewApproved, a.Name, s.now()
			return nil
		})
		return err
	})
	return r, err
}

// Reject says that a held deploy is not to be published. It can still be approved later. Errors: weir.Denied if the
// author may not approve.
func (s *Service) Reject(ctx context.Context, a Author, id, note string) (weir.Deploy, error) {
	r, err := s.reviewed(ctx, a, id)
	if err != nil {
		return r.Deploy, err
	}
	notHeld := &weir.Error{Code: weir.Conflict, Message: "the deploy " + r.ID + " is not held", Remedy: "publish another one in its place"}
	site, _, err := s.readSite(ctx, r.Site)
	if err != nil {
		return r.Deploy, err
	}
	if r.Review != weir.ReviewHeld || site.Approved == id {
		return r.Deploy, notHeld
	}
	err = s.journalled(ctx, a, record.Change{Action: "deploy.reject", Site: r.Site, Deploy: id, Detail: gained(r.Gains, r.Over, note)}, func() error {
		r, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
			if r.Review != weir.ReviewHeld {
				return notHeld
			}
			r.Review, r.Reviewer, r.ReviewedAt = weir.ReviewRejected, a.Name, s.now()
			return nil
		})
		return err
	})
	return r.Deploy, err
}

// Diff gives what a ready deploy gains and loses: over the deploy that was approved when it was judged, if it gained
// something then, else over the one that is approved now.
func (s *Service) Diff(ctx context.Context, id string) (diff.Result, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return diff.Result{}, err
	}
	policies, err := s.readPolicies(ctx, r)
	if err != nil {
		return diff.Result{}, err
	}
	over := r.Over
	if r.Gains == 0 {
		site, _, err := s.readSite(ctx, r.Site)
		if err != nil {
			return diff.Result{}, err
		}
		over = site.Approved
	}
	return s.compare(ctx, over, policies)
}
