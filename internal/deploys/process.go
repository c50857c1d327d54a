package deploys

// A deploy that is whole is staged, judged and made ready by one server. If that one ends, another one does it again.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

const (
	leaseTime   = 30 * time.Second // a server that says nothing for longer has ended
	retryTime   = 5 * time.Second  // after which is tried again what could not be done
	maxAttempts = 3                // servers that may end over a deploy
	stageTime   = 10 * time.Minute // in which a deploy must be staged
	maxConfig   = 4 << 20          // bytes of netlify.toml and weir.toml
	maxWarnings = 100
	maxFault    = 4 << 10 // bytes of a fault or a warning
)

// process stages a deploy, if no other server does.
func (s *Service) process(ctx context.Context, r deployRecord) (more bool, err error) {
	r, err = s.updateDeploy(ctx, r, s.take)
	if err != nil || s.holds(&r) != nil {
		return false, err
	}
	if r.Attempts > maxAttempts {
		_, err := s.fail(ctx, r, s.id, "the server has ended again and again while it processed the deploy; see the server's log")
		return false, err
	}
	leased, cancel := context.WithCancel(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		s.renew(leased, cancel, r)
	}()
	err = s.makeReady(leased, r)
	lost := leased.Err() != nil
	cancel()
	<-renewed
	switch {
	case err == nil:
		return true, nil
	case lost && ctx.Err() == nil:
		return false, nil // somebody else has it, or it was cancelled
	case ctx.Err() != nil || weir.ErrorCode(err) == weir.Unavailable:
		return false, errors.Join(err, s.giveBack(context.WithoutCancel(ctx), r))
	}
	_, err = s.fail(ctx, r, s.id, told(err))
	return false, err
}

// take makes this server the one that processes a deploy, unless another one is.
func (s *Service) take(r *deployRecord) error {
	left := s.now().After(r.Until) || r.Until.Sub(s.now()) > 2*leaseTime // the clock that said so was ahead
	if r.State != weir.DeployUploaded && !(r.State == weir.DeployProcessing && left) {
		return errSame
	}
	r.State, r.Owner, r.Until = weir.DeployProcessing, s.id, s.now().Add(leaseTime)
	r.Attempts++
	return nil
}

// holds tells whether this server is still the one that processes a deploy.
func (s *Service) holds(r *deployRecord) error {
	if r.State != weir.DeployProcessing || r.Owner != s.id {
		return &weir.Error{Code: weir.Conflict, Message: "the deploy is being processed by another server, or was cancelled"}
	}
	return nil
}

// renew says that this server still works, until ctx ends; it ends ctx when it is no longer the one that may.
func (s *Service) renew(ctx context.Context, lost context.CancelFunc, r deployRecord) {
	tick := time.NewTicker(leaseTime / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := s.updateDeploy(ctx, r, func(r *deployRecord) error {
			if err := s.holds(r); err != nil {
				return err
			}
			r.Until = s.now().Add(leaseTime)
			return nil
		})
		if err != nil {
			lost()
			return
		}
	}
}

// giveBack lets a deploy be tried again after a while, by any server.
func (s *Service) giveBack(ctx context.Context, r deployRecord) error {
	_, err := s.updateDeploy(ctx, r, func(r *deployRecord) error {
		if err := s.holds(r); err != nil {
			return errSame
		}
		r.Owner, r.Until = "", s.now().Add(retryTime)
		r.Attempts--
		return nil
	})
	return err
}

// told gives an error for the author of a deploy.
func told(err error) string {
	var e *weir.Error
	if !errors.As(err, &e) {
		return "the server could not process the deploy; see its log"
	}
	text := e.Told()
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return weir.Printable(text)
}

// makeReady stages a deploy, keeps what came of it, and judges it.
func (s *Service) makeReady(ctx context.Context, r deployRecord) error {
	p, err := s.readReceived(ctx, r, true)
	if err != nil {
		return err
	}
	m, policies, err := s.staged(ctx, r, p.manifest())
	if err != nil {
		return err
	}
	j, err := s.judge(ctx, r, policies)
	if err != nil {
		return err
	}
	err = s.journalled(ctx, Author{Name: r.Author, From: r.From}, j.change(r), func() error {
		return s.guarded(ctx, func() ([]string, error) {
			if m.Policies, err = s.putDocument(ctx, r.Site, policies); err != nil {
				return nil, err
			}
			manifest, err := s.putDocument(ctx, r.Site, m)
			if err != nil {
				return nil, err
			}
			outline, err := s.putDocument(ctx, r.Site, weir.Manifest{Functions: m.Functions, Warnings: m.Warnings})
			if err != nil {
				return nil, err
			}
			_, err = s.updateDeploy(ctx, r, func(r *deployRecord) error {
				again := r.State == weir.DeployReady && r.Owner == s.id
				if err := s.holds(r); err != nil && !again {
					return err
				}
				r.State, r.Done = weir.DeployReady, s.now()
				r.Manifest, r.Outline, r.Policies, r.Schedules = manifest, outline, m.Policies, schedules(m)
				r.Declared, r.Known = "", ""
				j.apply(s, r)
				return nil
			})
			return []string{m.Policies, manifest, outline}, err
		})
	})
	return err
}

// staged gives the manifest of a deploy with what its functions are and may do.
func (s *Service) staged(ctx context.Context, r deployRecord, m weir.Manifest) (weir.Manifest, map[string]*policy.Policy, error) {
	site, _, err := s.readSite(ctx, r.Site)
	if err != nil {
		return m, nil, err
	}
	own, err := s.SitePolicy(ctx, r.Site)
	if err != nil {
		return m, nil, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, s.stageTime, errTooSlow)
	defer cancel()
	out, err := s.o.Stage.Stage(limited, StageInput{Site: site.Site, Deploy: r.Deploy, Manifest: m, Policy: own.Text,
		Open: func(ctx context.Context, sha256 string) (io.ReadCloser, error) {
			r, _, err := s.blobs.Open(ctx, sha256)
			return r, err
		}})
	switch {
	case err != nil && context.Cause(limited) == errTooSlow:
		return m, nil, errTooSlow
	case err != nil:
		return m, nil, err
	}
	policies := map[string]*policy.Policy{}
	for name, f := range m.Functions {
		found, ok := out.Functions[name]
		if !ok {
			return m, nil, &weir.Error{Code: weir.Internal, Message: fmt.Sprintf("the function %s was not read", name)}
		}
		f.Config, f.Fault = found.Config, weir.Cut(weir.Printable(found.Fault), maxFault)
		m.Functions[name] = f
		if policies[name] = out.Policies[name]; policies[name] == nil {
			policies[name] = &policy.Policy{Function: name}
		}
	}
	if len(out.Config)+len(out.Policy) > maxConfig {
		return m, nil, &weir.Error{Code: weir.TooLarge, Message: fmt.Sprintf("netlify.toml and weir.toml have more than %d MB together", maxConfig>>20), Remedy: "make them smaller"}
	}
	m.Config, m.Policy = out.Config, out.Policy
	for _, w := range out.Warnings[:min(len(out.Warnings), maxWarnings)] {
		m.Warnings = append(m.Warnings, weir.Cut(weir.Printable(w), maxFault))
	}
	return m, policies, nil
}

var errTooSlow = &weir.Error{Code: weir.TimedOut, Message: fmt.Sprintf("reading the functions takes longer than %v", stageTime),
	Remedy: "look for bootstrap files that don't end, or deploy fewer functions at a time"}

// schedules gives those of a deploy's functions, by name, nil if it has none.
func schedules(m weir.Manifest) map[string]string {
	var out map[string]string
	for name, f := range m.Functions {
		if f.Config.Schedule != "" && f.Fault == "" {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = f.Config.Schedule
		}
	}
	return out
}
