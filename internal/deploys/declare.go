package deploys

// A client says what it has, and hears what of it is missing. What counts as there is only what the site's own deploys
// have: who knows the digest of another site's file learns nothing and gets nothing by it.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-run/weir/internal/weir"
)

// Missing is what has to be uploaded, in order.
type Missing struct {
	Files     []string // SHA-1, each once
	Functions []string // SHA-256 of archives, each once
}

// known is what needs no upload: a part of the site's earlier deploys.
type known struct {
	Files     map[string]weir.DeployFile     `json:"files"`     // by SHA-1
	Functions map[string]weir.DeployFunction `json:"functions"` // by SHA-256
}

// recentDeploys is in how many of a site's latest deploys is looked for what is there.
const recentDeploys = 5

// Declare says what a deploy consists of. It may be called again, with other contents, until the deploy is processed.
// With Async the deploy is preparing at first, and Missing empty; see Missing. Errors: weir.Invalid and weir.TooLarge
// for what can't be served.
func (s *Service) Declare(ctx context.Context, a Author, id string, d Declaration) (Missing, weir.Deploy, error) {
	c, err := d.check()
	if err != nil {
		return Missing{}, weir.Deploy{}, err
	}
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return Missing{}, weir.Deploy{}, err
	}
	err = s.guarded(ctx, func() ([]string, error) {
		digest, err := s.putDocument(ctx, r.Site, c)
		if err != nil {
			return nil, err
		}
		r, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
			if !open(r.State) {
				return notOpen(*r)
			}
			r.State, r.Declared, r.Known = weir.DeployPreparing, digest, ""
			r.CanApprove = r.CanApprove && a.CanApprove
			return nil
		})
		return []string{digest}, err
	})
	if err != nil {
		return Missing{}, r.Deploy, err
	}
	if d.Async {
		s.wake(r)
		return Missing{}, r.Deploy, nil
	}
	if r, err = s.prepare(ctx, r); err != nil {
		return Missing{}, r.Deploy, err
	}
	m, err := s.missing(ctx, r)
	return m, r.Deploy, err
}

// TakesPart notes that somebody has a hand in a deploy, by something that goes with what it consists of. Errors:
// weir.Conflict if the deploy takes nothing more.
func (s *Service) TakesPart(ctx context.Context, a Author, id string) error {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return err
	}
	_, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
		switch {
		case !open(r.State):
			return notOpen(*r)
		case a.CanApprove || !r.CanApprove:
			return errSame
		}
		r.CanApprove = false
		return nil
	})
	return err
}

// open tells whether the contents of a deploy may still be declared.
func open(state weir.DeployState) bool {
	return slices.Contains([]weir.DeployState{weir.DeployNew, weir.DeployPreparing, weir.DeployPrepared, weir.DeployUploading, weir.DeployUploaded}, state)
}

func notOpen(r deployRecord) error {
	return &weir.Error{Code: weir.Conflict, Message: fmt.Sprintf("the deploy %s takes nothing more: its state is %s", r.ID, r.State), Remedy: "begin another one"}
}

// Missing gives what a deploy still needs; nothing before it is prepared and after it is processed.
func (s *Service) Missing(ctx context.Context, id string) (Missing, error) {
	r, err := s.readDeploy(ctx, id)
	if err != nil {
		return Missing{}, err
	}
	return s.missing(ctx, r)
}

func (s *Service) missing(ctx context.Context, r deployRecord) (Missing, error) {
	if r.State != weir.DeployPrepared && r.State != weir.DeployUploading {
		return Missing{}, nil
	}
	p, err := s.received(ctx, r)
	if errors.Is(err, errPast) {
		return s.Missing(ctx, r.ID)
	}
	if err != nil {
		return Missing{}, err
	}
	return p.missing(), nil
}

// prepare finds out what a deploy doesn't have to upload. It is done again if the server that began it has ended.
func (s *Service) prepare(ctx context.Context, r deployRecord) (deployRecord, error) {
	var c contents
	if err := s.readDocument(ctx, r.Declared, &c); err != nil {
		return r, err
	}
	for declared := r.Declared; r.State == weir.DeployPreparing && r.Declared == declared; {
		var digest string
		preparing := func(r *deployRecord) bool { return r.State == weir.DeployPreparing && r.Declared == declared }
		err := s.guarded(ctx, func() (digests []string, err error) {
			digests, digest, err = s.refer(ctx, r, c, preparing)
			return digests, err
		})
		if err != nil {
			return r, err
		}
		r, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
			if !preparing(r) || r.Known != digest { // somebody else was first, or declares something else
				return errSame
			}
			r.State = weir.DeployPrepared
			return nil
		})
		if err != nil {
			return r, err
		}
	}
	return r, s.wakeIfWhole(ctx, r)
}

// refer writes down what of a deploy is there, and gives the blobs that it names, and its own digest.
func (s *Service) refer(ctx context.Context, r deployRecord, c contents, preparing func(*deployRecord) bool) (digests []string, digest string, err error) {
	k, err := s.lookUp(ctx, r, c)
	if err != nil {
		return nil, "", err
	}
	s.hook("looked up")
	if digest, err = s.putDocument(ctx, r.Site, k); err != nil {
		return nil, "", err
	}
	_, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
		if !preparing(r) {
			return errSame
		}
		r.Known = digest
		return nil
	})
	return append(k.digests(), digest), digest, err
}

func (k *known) digests() []string {
	var out []string
	for _, f := range k.Files {
		out = append(out, f.SHA256)
	}
	return slices.AppendSeq(out, maps.Keys(k.Functions))
}

// lookUp finds contents in the deploys that the site has.
func (s *Service) lookUp(ctx context.Context, r deployRecord, c contents) (known, error) {
	k := known{Files: map[string]weir.DeployFile{}, Functions: map[string]weir.DeployFunction{}}
	files, functions := map[string]bool{}, map[string]bool{}
	for _, sum := range c.Files {
		files[sum] = true
	}
	for _, f := range c.Functions {
		functions[f.SHA256] = true
	}
	likely, err := s.likely(ctx, r)
	if err != nil {
		return k, err
	}
	for _, d := range likely {
		if len(k.Files) == len(files) && len(k.Functions) == len(functions) {
			break
		}
		m, err := s.manifest(ctx, d)
		if weir.ErrorCode(err) == weir.NotFound {
			continue // it has been removed just now
		}
		if err != nil {
			return k, err
		}
		for _, f := range m.Files {
			if files[f.SHA1] {
				k.Files[f.SHA1] = f
			}
		}
		for _, f := range m.Functions {
			if functions[f.SHA256] {
				k.Functions[f.SHA256] = f
			}
		}
	}
	return k, nil
}

// likely gives the deploys of a site that have most in common with a new one, the likeliest first. What may be approved
// as it lands has nothing of what others have sent: they may have said what kind of archive it is, and SHA-1 is no
// proof that a file is the one that its digest was made of. What a deploy repeats somebody has chosen.
func (s *Service) likely(ctx context.Context, r deployRecord) ([]deployRecord, error) {
	site, _, err := s.readSite(ctx, r.Site)
	if err != nil {
		return nil, err
	}
	all, err := s.listDeploys(ctx, r.Site)
	if err != nil {
		return nil, err
	}
	var first, recent []deployRecord
	for _, d := range all {
		switch {
		case d.State != weir.DeployReady, r.CanApprove && !d.CanApprove && d.ID != r.Like:
		case d.ID == r.Like, d.ID == site.Published, d.ID == site.Approved:
			first = append(first, d)
		case len(recent) < recentDeploys:
			recent = append(recent, d)
		}
	}
	return append(first, recent...), nil
}
