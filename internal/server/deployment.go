package server

// From a site's source to functions that can be invoked.

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// deployment is one build of the site with everything that serves it.
type deployment struct {
	artifact *build.Artifact
	backends map[string]invoke.Backend
	made     madeOf
}

// madeOf is all that a deployment comes from: equal ones serve the same.
type madeOf struct {
	artifact, publish string
	rules             *routing.Rules
	env               map[string]string
	policies          map[string]*policy.Policy
	nodes             map[string]runtime.Node
	faults            map[string]string // of broken functions
}

// source is a site that was read, and how it is to be built.
type source struct {
	site     *site.Site
	policies *sitepolicy.File
	env      map[string]string
	major    int      // the version of Node.js that the site asks for, 0 for any
	odd      []string // what is to be told of that
	options  build.Options
}

// read reads the site. A fault of the site's own files is an error here.
func (d *Dev) read() (*source, error) {
	s, err := site.Load(d.opts.Dir)
	if err != nil {
		return nil, err
	}
	s.LeaveOut(d.opts.Unwatched)
	b := &source{site: s}
	if b.policies, err = sitepolicy.ReadFile(s.Dir); err != nil {
		return nil, err
	}
	if b.env, err = d.environment(s.Dir); err != nil {
		return nil, err
	}
	b.major, b.odd = jsRuntime(cmp.Or(b.env[site.JSRuntimeVariable], s.JSRuntime))
	b.options = build.Options{StateDir: d.opts.StateDir, Env: buildEnv(b.env), Policy: b.policies.Of}
	if d.trials != nil {
		b.options.Smoke = d.trials.smoke(b.env, d.ownFiles(s), b.major)
	}
	return b, nil
}

// warnings gives what the site's author is to be told, with what the build has to say.
func (b *source) warnings(built []string) []string {
	out := slices.Concat(b.site.Warnings, built, b.odd)
	for _, w := range b.policies.Unmatched(functionNames(b.site)) {
		out = append(out, w.Error())
	}
	return out
}

// deploy builds the site and prepares every function. Nothing is started yet: a fault of one function is that
// function's, which answers with an error. It gives nil if the current deployment serves the same already.
func (d *Dev) deploy(ctx context.Context) (*deployment, error) {
	b, err := d.read()
	if err != nil {
		return nil, err
	}
	artifact, err := build.Build(ctx, b.site, b.options) // a fault of one function is that function's
	if err != nil {
		return nil, err
	}
	d.recorder.SetValues(b.env)
	d.named.setValues(b.env)
	dep := &deployment{artifact: artifact, backends: map[string]invoke.Backend{}}
	engines, err := compile(artifact, d.opts.Learn)
	if err != nil {
		dep.close()
		return nil, err
	}
	d.violations.watch(engines)
	d.warn(append(b.warnings(artifact.Warnings), blindSpots(d.launcher.Walls(), engines)...))
	nodes, err := d.nodesOf(ctx, artifact, engines, b.major)
	if err != nil && d.current == nil { // else the build that is there goes on serving
		dep.close()
		return nil, err
	}
	dep.made = whatMade(artifact, engines, nodes, b.env)
	dep.made.rules = b.site.Rules
	if d.current != nil && reflect.DeepEqual(dep.made, d.current.made) {
		dep.close()
		return nil, nil
	}
	d.serve(dep, engines, nodes, d.ownFiles(b.site), b.env)
	return dep, nil
}

// serve prepares every function of a deployment.
func (d *Dev) serve(dep *deployment, engines map[string]*policy.Engine, nodes map[string]runtime.Node, own []string, env map[string]string) {
	c := common{env: env, platform: d.platform(), shared: sharedGrants(engines), own: own, recorder: d.recorder, log: d.opts.Log, logger: d.opts.Logger}
	for _, f := range dep.artifact.Functions {
		name := f.Bundle.Function
		if f.Err != nil {
			if d.opts.Only == "" { // else who invokes it is told
				d.opts.Logger.Error("function is broken", "function", name, "error", f.Err)
			}
			dep.backends[name] = broken{f.Err}
			continue
		}
		if f.Why != "" && d.opts.Only == "" {
			d.opts.Logger.Info("the function runs from a bundle, not from a pack", "function", name, "why", f.Why)
		}
		dep.backends[name] = backend{d.pool(f, engines[name], nodes[name], c)}
	}
}

// blindSpots says what monitor mode doesn't see on this machine.
func blindSpots(walls []sandbox.Wall, engines map[string]*policy.Engine) []string {
	i := slices.IndexFunc(walls, func(w sandbox.Wall) bool { return w.Name == sandbox.NetworkCapture && w.State == sandbox.Fallback })
	if i < 0 {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		if engines[name].Policy().Mode == policy.Monitor {
			out = append(out, name+" is monitored, but not all that it tries is seen or let through: network capture: "+walls[i].Detail+"; "+walls[i].Remedy)
		}
	}
	return out
}

// ownFiles gives the files that decide what the site's functions are and may. A function that could write
// one would have, after the reload, whatever rights it likes.
func (d *Dev) ownFiles(s *site.Site) []string {
	own := []string{filepath.Join(s.Dir, "netlify.toml"), filepath.Join(s.Dir, sitepolicy.FileName), filepath.Join(s.Dir, ".env")}
	for _, f := range s.Functions {
		if f.Main != "" {
			own = append(own, f.Main)
		}
	}
	return own
}

// warn tells the site's author what the last build did not give cause to.
func (d *Dev) warn(warnings []string) {
	for _, w := range warnings {
		if !slices.Contains(d.warnings, w) {
			d.opts.Logger.Warn(w)
		}
	}
	d.warnings = warnings
}

func whatMade(a *build.Artifact, engines map[string]*policy.Engine, nodes map[string]runtime.Node, env map[string]string) madeOf {
	m := madeOf{artifact: a.ID, publish: a.Publish, env: env, nodes: nodes, policies: map[string]*policy.Policy{}, faults: map[string]string{}}
	for _, f := range a.Functions {
		name := f.Bundle.Function
		m.policies[name] = engines[name].Policy()
		if f.Err != nil {
			m.faults[name] = f.Err.Error()
		}
	}
	return m
}

func functionNames(s *site.Site) []string {
	var names []string
	for _, f := range s.Functions {
		names = append(names, f.Name)
	}
	return names
}

// close gives the artifact back, when no backend uses it any more. Before the first deployment there
// is nothing to give back.
func (dep *deployment) close() {
	if dep != nil {
		dep.artifact.Close()
	}
}

// compile makes each function's policy ready to decide, in monitor mode if it is to be learned. All faults
// are reported together.
func compile(a *build.Artifact, learn bool) (map[string]*policy.Engine, error) {
	engines := map[string]*policy.Engine{}
	var faults []error
	for _, f := range a.Functions {
		p := *f.Policy
		if learn {
			p.Mode = policy.Monitor
		}
		eng, err := policy.Compile(&p)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		engines[f.Bundle.Function] = eng
	}
	return engines, errors.Join(faults...)
}

// backend serves a function from its pool.
type backend struct{ *instance.Pool }

func (b backend) Invoke(ctx context.Context, inv weir.Invocation) (weir.Result, invoke.InstanceInfo, error) {
	res, info, err := b.Pool.Invoke(ctx, inv)
	return res, invoke.InstanceInfo{ID: info.Instance, Cold: info.Cold, Start: info.Start}, err
}

// broken answers for a function that could not be built.
type broken struct{ err error }

func (b broken) Invoke(context.Context, weir.Invocation) (weir.Result, invoke.InstanceInfo, error) {
	return weir.Result{}, invoke.InstanceInfo{}, b.err
}

func (b broken) Limits() weir.Limits { return weir.DefaultLimits() }

func (b broken) Close() {}

// configs gives what the functions' sources say of them.
func (dep *deployment) configs() map[string]weir.FunctionConfig {
	out := map[string]weir.FunctionConfig{}
	for _, f := range dep.artifact.Functions {
		out[f.Bundle.Function] = f.Bundle.Config
	}
	return out
}

// names gives the functions' names in order.
func (dep *deployment) names() []string { return slices.Sorted(maps.Keys(dep.backends)) }

// files gives the files of a publish folder, nil if there is none.
func files(publish string) gateway.Files {
	if publish == "" {
		return nil
	}
	return gateway.Folder(publish)
}
