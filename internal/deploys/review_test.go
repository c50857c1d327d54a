package deploys

import (
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

// with gives a folder whose function may reach these hosts.
func with(hosts ...string) folder {
	return folder{"rules": strings.Join(hosts, " "), "functions/f": "f"}
}

func TestADeployThatGainsIsHeldUntilItIsApproved(t *testing.T) {
	s, f := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	first := with("a.example").deploy(t, s, dev, site.ID, BeginOptions{})
	if first.State != weir.DeployReady || first.Review != weir.ReviewHeld || first.Baseline != "" || reread(t, s, site).Published != "" {
		t.Fatalf("the first deploy gains all that it may do: %+v", first)
	}
	_, err := s.Publish(ctx, dev, first.ID)
	expect(t, "publish a held one", err, weir.Denied)
	_, err = s.Approve(ctx, dev, first.ID, "")
	expect(t, "approve without the right", err, weir.Denied)
	_, err = s.Reject(ctx, dev, first.ID, "")
	expect(t, "reject without the right", err, weir.Denied)
	first, err = s.Approve(ctx, approver, first.ID, "fine\x1b")
	if now := reread(t, s, site); err != nil || first.Review != weir.ReviewApproved || first.Reviewer != "approver" || now.Published != first.ID || now.Approved != first.ID {
		t.Fatalf("got %+v %+v %v", first, now, err)
	}
	if got := f.actions(first.ID); got != "dev:deploy.begin dev:deploy.hold approver:deploy.approve approver:deploy.publish" {
		t.Errorf("on record is %q", got)
	}
	if c := f.changes[len(f.changes)-2]; c.Detail["gains"] != "1" || c.Detail["note"] != "fine\uFFFD" || c.From != approver.From {
		t.Errorf("got %+v", c)
	}
	same := with("a.example").deploy(t, s, dev, site.ID, BeginOptions{})
	if same.Review != weir.ReviewNone || reread(t, s, site).Published != same.ID {
		t.Errorf("it gains nothing: %+v", same)
	}
	more := with("a.example", "b.example").deploy(t, s, dev, site.ID, BeginOptions{})
	if more.Review != weir.ReviewHeld || more.Baseline != first.ID || reread(t, s, site).Published != same.ID {
		t.Errorf("got %+v", more)
	}
	if d, err := s.Diff(ctx, more.ID); err != nil || d.Gains() != 1 || !strings.Contains(d.Changes[0].What, "b.example") {
		t.Errorf("got %+v %v", d, err)
	}
	more, err = s.Reject(ctx, approver, more.ID, "no")
	if err != nil || more.Review != weir.ReviewRejected {
		t.Errorf("got %+v %v", more, err)
	}
	_, err = s.Publish(ctx, approver, more.ID)
	expect(t, "publish a rejected one", err, weir.Denied)
	_, err = s.Reject(ctx, approver, more.ID, "no")
	expect(t, "reject it again", err, weir.Conflict)
	if d, err := s.Approve(ctx, approver, more.ID, "after all"); err != nil || d.Review != weir.ReviewApproved || reread(t, s, site).Published != more.ID {
		t.Errorf("got %+v %v", d, err)
	}
}

func TestWhoMayApproveApprovesByDeploying(t *testing.T) {
	s, f := newService(t)
	site := newSite(t, s)
	d := with("a.example").deploy(t, s, approver, site.ID, BeginOptions{})
	if now := reread(t, s, site); d.Review != weir.ReviewApproved || d.Reviewer != "approver" || now.Published != d.ID || now.Approved != d.ID {
		t.Errorf("got %+v %+v", d, now)
	}
	if got := f.actions(d.ID); got != "approver:deploy.begin approver:deploy.approve approver:deploy.publish" {
		t.Errorf("on record is %q", got)
	}
	if d, err := s.Diff(t.Context(), d.ID); err != nil || d.Gains() != 1 {
		t.Errorf("what it gained can still be seen: %+v %v", d, err)
	}
	draft := with("b.example").deploy(t, s, approver, site.ID, BeginOptions{Draft: true})
	if now := reread(t, s, site); draft.Review != weir.ReviewApproved || now.Approved != draft.ID || now.Published != d.ID {
		t.Errorf("got %+v %+v", draft, now)
	}
}

// TestAStrangersHandInAnApproversDeploy: what somebody without the right has declared or sent is not approved by
// whoever began the deploy.
func TestAStrangersHandInAnApproversDeploy(t *testing.T) {
	s, _ := newService(t)
	site := newSite(t, s)
	files := with("evil.example")
	d, err := s.Begin(t.Context(), approver, site.ID, BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := s.Declare(t.Context(), dev, d.ID, files.declaration())
	if err != nil {
		t.Fatal(err)
	}
	files.upload(t, approver, d.ID, m, s)
	id, m := files.begin(t, s, approver, site.ID, BeginOptions{})
	files.upload(t, dev, id, m, s)
	with, m := files.begin(t, s, approver, site.ID, BeginOptions{})
	if err := s.TakesPart(t.Context(), dev, with); err != nil {
		t.Fatal(err)
	}
	files.upload(t, approver, with, m, s)
	s.workOff(t.Context())
	for _, id := range []string{d.ID, id, with} {
		if got := state(t, s, id); got.Review != weir.ReviewHeld {
			t.Errorf("got %+v", got)
		}
		expect(t, "a hand in what is ready", s.TakesPart(t.Context(), approver, id), weir.Conflict)
	}
}

// TestWhatAnApproverTookAwayNobodyElseBringsBack, and what a deploy lost by accident, a rollback does.
func TestWhatAnApproverTookAwayNobodyElseBringsBack(t *testing.T) {
	s, _ := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	wide := with("a.example", "b.example").deploy(t, s, approver, site.ID, BeginOptions{})
	broken := folder{"functions/f": "f"}.deploy(t, s, dev, site.ID, BeginOptions{})
	if broken.Review != weir.ReviewNone || reread(t, s, site).Published != broken.ID {
		t.Fatalf("got %+v", broken)
	}
	if now, err := s.Rollback(ctx, dev, site.ID); err != nil || now.Published != wide.ID {
		t.Errorf("got %+v %v", now, err)
	}
	if now, err := s.Publish(ctx, dev, broken.ID); err != nil || now.Published != broken.ID || now.Approved != wide.ID {
		t.Errorf("got %+v %v", now, err)
	}
	narrow := with("a.example").deploy(t, s, approver, site.ID, BeginOptions{})
	if now := reread(t, s, site); now.Published != narrow.ID || now.Approved != narrow.ID {
		t.Errorf("got %+v", now)
	}
	if now, err := s.Rollback(ctx, dev, site.ID); err != nil || now.Published != broken.ID {
		t.Errorf("got %+v %v", now, err)
	}
	_, err := s.Rollback(ctx, dev, site.ID)
	expect(t, "rollback", err, weir.Denied)
	_, err = s.Publish(ctx, dev, wide.ID)
	expect(t, "restore", err, weir.Denied)
	if d := with("a.example", "b.example").deploy(t, s, dev, site.ID, BeginOptions{}); d.Review != weir.ReviewHeld || d.Baseline != narrow.ID {
		t.Errorf("got %+v", d)
	}
	if now := reread(t, s, site); now.Published != broken.ID || now.Approved != narrow.ID {
		t.Errorf("got %+v", now)
	}
	if now, err := s.Rollback(ctx, approver, site.ID); err != nil || now.Published != wide.ID || now.Approved != wide.ID {
		t.Errorf("got %+v %v", now, err)
	}
}

// TestApprovedMeanwhile: who approves has seen what a deploy gains over what is approved now, not over what was.
func TestApprovedMeanwhile(t *testing.T) {
	s, _ := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	with("a.example", "b.example").deploy(t, s, approver, site.ID, BeginOptions{})
	older := with("a.example", "b.example", "c.example").deploy(t, s, dev, site.ID, BeginOptions{})
	covered := with("a.example", "d.example").deploy(t, s, dev, site.ID, BeginOptions{})
	narrow := with("d.example", "a.example").deploy(t, s, approver, site.ID, BeginOptions{})
	_, err := s.Approve(ctx, approver, older.ID, "")
	expect(t, "it gains b.example by now, too", err, weir.Conflict)
	if d := state(t, s, older.ID); d.Review != weir.ReviewHeld || d.Baseline != narrow.ID {
		t.Errorf("got %+v", d)
	}
	if d, err := s.Diff(ctx, older.ID); err != nil || d.Gains() != 2 {
		t.Errorf("got %+v %v", d, err)
	}
	if d, err := s.Approve(ctx, approver, older.ID, ""); err != nil || d.Review != weir.ReviewApproved {
		t.Errorf("got %+v %v", d, err)
	}
	if now := reread(t, s, site); now.Approved != older.ID || now.Published != narrow.ID {
		t.Errorf("an older one takes no place from a newer one: %+v", now)
	}
	if d := state(t, s, covered.ID); d.Review != weir.ReviewHeld {
		t.Errorf("got %+v", d)
	}
}

// TestApprovedWhileItWasJudged: between judging and publishing, somebody takes away what a deploy needs.
func TestApprovedWhileItWasJudged(t *testing.T) {
	s, f := newService(t)
	site := newSite(t, s)
	wide := with("a.example", "b.example").deploy(t, s, approver, site.ID, BeginOptions{})
	narrow, narrowMissing := with("a.example").begin(t, s, approver, site.ID, BeginOptions{})
	id, m := with("b.example").begin(t, s, dev, site.ID, BeginOptions{})
	with("b.example").upload(t, dev, id, m, s)
	s.skipNext()
	r, _ := s.readDeploy(t.Context(), id)
	s.complete(t.Context(), r)
	r, _ = s.updateDeploy(t.Context(), r, s.take)
	if err := s.makeReady(t.Context(), r); err != nil || state(t, s, id).Review != weir.ReviewNone {
		t.Fatal(err)
	}
	with("a.example").upload(t, approver, narrow, narrowMissing, s)
	s.workOff(t.Context())
	f.advance(idleTime)
	s.look(t.Context())
	s.workOff(t.Context())
	if d, now := state(t, s, id), reread(t, s, site); d.Review != weir.ReviewHeld || d.Baseline != narrow || now.Published != narrow {
		t.Errorf("got %+v %+v", d, now)
	}
	if now, err := s.Publish(t.Context(), approver, wide.ID); err != nil || now.Published != wide.ID {
		t.Errorf("got %+v %v", now, err)
	}
}

// TestADeployThatHasItsPlaceIsNotJudgedAgain, not even if the server ended before it had put it down.
func TestADeployThatHasItsPlaceIsNotJudgedAgain(t *testing.T) {
	s, f := newService(t)
	ctx, site := t.Context(), newSite(t, s)
	narrow := with("a.example").deploy(t, s, approver, site.ID, BeginOptions{})
	with("a.example", "b.example").deploy(t, s, approver, site.ID, BeginOptions{})
	live := with("b.example").deploy(t, s, dev, site.ID, BeginOptions{})
	if _, err := s.uploads.Create(ctx, active{site: site.ID, id: live.ID}.key(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Approve(ctx, approver, narrow.ID, ""); err != nil {
		t.Fatal(err)
	}
	f.advance(idleTime)
	s.look(ctx)
	s.workOff(ctx)
	if d, now := state(t, s, live.ID), reread(t, s, site); d.Review != weir.ReviewNone || now.Published != live.ID || now.Approved != narrow.ID {
		t.Errorf("got %+v %+v", d, now)
	}
}

func TestTheSitesPolicyTakesThePlaceOfTheDeploys(t *testing.T) {
	st, f := newStore(t), &fake{}
	s := newServer(t, st, f, Options{CheckPolicy: func(text string) error {
		if text == "bad" {
			return &weir.Error{Code: weir.Invalid, Message: "no"}
		}
		return nil
	}})
	ctx, site := t.Context(), newSite(t, s)
	before := with("a.example").deploy(t, s, approver, site.ID, BeginOptions{})
	expect(t, "set without the right", s.SetPolicy(ctx, dev, site.ID, "b.example"), weir.Denied)
	expect(t, "no policy", s.SetPolicy(ctx, approver, site.ID, "bad"), weir.Invalid)
	expect(t, "a large one", s.SetPolicy(ctx, approver, site.ID, strings.Repeat(" ", maxPolicy+1)), weir.TooLarge)
	if err := s.SetPolicy(ctx, approver, site.ID, "b.example"); err != nil {
		t.Fatal(err)
	}
	if p, err := s.SitePolicy(ctx, site.ID); err != nil || p.Text != "b.example" || p.Author != "approver" {
		t.Errorf("got %+v %v", p, err)
	}
	if p, err := s.Policies(ctx, before.ID); err != nil || p["f"].Rules[0].Pattern != "GET https://a.example/" {
		t.Errorf("a deploy that is ready stays as it is: %+v %v", p, err)
	}
	again, err := s.Restage(ctx, dev, before.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.workOff(ctx)
	d := state(t, s, again.ID)
	if p, err := s.Policies(ctx, d.ID); err != nil || d.Review != weir.ReviewHeld || p["f"].Rules[0].Pattern != "GET https://b.example/" {
		t.Errorf("got %+v %v %v", d, p, err)
	}
	if err := s.SetPolicy(ctx, approver, site.ID, ""); err != nil {
		t.Fatal(err)
	}
	if p, err := s.SitePolicy(ctx, site.ID); err != nil || p.Text != "" {
		t.Errorf("got %+v %v", p, err)
	}
}
