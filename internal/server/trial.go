package server

// Whether a pack loads is tried before it is served: behind the same walls, with the policy's files and
// variables, but with no way out, and without records, as nobody has asked for it.

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/weir"
)

var errNotWanted = errors.New("nobody will invoke it")

// wanted tells whether a function may be invoked.
func (d *Dev) wanted(function string) bool { return d.opts.Only == "" || d.opts.Only == function }

// trials tries functions and remembers what came of it, if that is for good.
type trials struct {
	dev    *Dev
	egress *egress.Egress // reaches nothing, as no policy here allows any of it
	fleet  *instance.Fleet
	tried  tried

	mu    sync.Mutex
	env   map[string]string // the site's variables in the trials that are remembered
	major int               // the version of Node.js that it asked for then
	seen  map[string]error  // by the function's id
}

func newTrials(d *Dev) (*trials, error) {
	out, err := egress.New(egress.Options{})
	if err != nil {
		return nil, err
	}
	fleet := instance.NewFleet(instance.FleetOptions{Launcher: d.launcher, Egress: out, StateDir: d.opts.StateDir, Logger: d.opts.Logger})
	return &trials{dev: d, egress: out, fleet: fleet, tried: openTried(d.opts.StateDir)}, nil
}

func (t *trials) close() {
	t.fleet.Close()
	t.egress.Close()
}

// smoke gives build.Options.Smoke for the variables that the site has. own are its files that none of its
// functions may write, major is the version of Node.js that it asks for, 0 for any.
func (t *trials) smoke(env map[string]string, own []string, major int) func(context.Context, build.Trial) error {
	if t.seen == nil || major != t.major || !maps.Equal(env, t.env) {
		t.env, t.major, t.seen = env, major, map[string]error{}
	}
	return func(ctx context.Context, trial build.Trial) error {
		if !t.dev.wanted(trial.Function.Bundle.Function) {
			return errNotWanted
		}
		t.mu.Lock()
		err, known := t.seen[trial.ID]
		t.mu.Unlock()
		if known {
			return err
		}
		err = t.try(ctx, trial, env, own, major)
		if lasting(err) {
			t.mu.Lock()
			t.seen[trial.ID] = err
			t.mu.Unlock()
		}
		return err
	}
}

// lasting tells whether a trial would end so again: the function loads, or its code says why not. Whatever else
// kept it from loading (a full machine, a process that was killed) may pass.
func lasting(err error) bool {
	var thrown *runtime.LoadError
	return err == nil || errors.As(err, &thrown)
}

func (t *trials) try(ctx context.Context, trial build.Trial, env map[string]string, own []string, major int) error {
	f := trial.Function
	p := policy.Policy{}
	if f.Policy != nil {
		p = *f.Policy
	}
	p.Mode, p.Running = policy.Enforce, weir.Running{Node: p.Running.Node}
	p.Rules = slices.DeleteFunc(slices.Clone(p.Rules), func(r policy.Rule) bool {
		return r.Kind == policy.HTTP || r.Kind == policy.WS || r.Kind == policy.TCP || r.Kind == policy.UDP || r.Kind == policy.DNS
	})
	eng, err := policy.Compile(&p)
	if err != nil {
		return err
	}
	shared, err := written(trial.Policies)
	if err != nil {
		return err
	}
	node, err := t.dev.node(ctx, cmp.Or(p.Running.Node, major))
	if err != nil {
		return err
	}
	file, err := t.tried.file(node, trial.ID, env, shared, own)
	kept := err == nil
	if kept && t.tried.has(file) {
		return nil
	}
	if err := trial.Put(); err != nil {
		return err
	}
	name := f.Bundle.Function
	out := t.egress.Function(name, eng, nil)
	defer out.Close()
	err = instance.Try(ctx, instance.Config{
		Function: name,
		Bundle:   f.Bundle,
		Engine:   eng,
		Env:      env,
		Platform: t.dev.platform(),
		Node:     node,
		Shared:   shared,
		Own:      own,
		Fleet:    t.fleet,
		Egress:   out,
		Recorder: record.Multi(),
		Log:      func(instance.Line) {},
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err == nil && kept {
		t.tried.note(file)
	}
	return err
}

// written gives what write rules of a site's functions grant.
func written(policies []*policy.Policy) ([]string, error) {
	var grants []string
	for _, p := range policies {
		if p == nil {
			continue
		}
		eng, err := policy.Compile(p)
		if err != nil {
			return nil, err
		}
		grants = append(grants, eng.Grants(policy.Write)...)
	}
	return grants, nil
}
