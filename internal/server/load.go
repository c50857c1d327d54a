package server

// From a deploy's record to something that answers: its archives are fetched and unpacked, its policies bounded by the
// ceiling and, if it is held, by what was approved before.

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/gateway"
	"github.com/weir-run/weir/internal/instance"
	"github.com/weir-run/weir/internal/invoke"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// account is the one organisation of a server, as Netlify's clients know it.
const account = "default"

// load gets a deploy ready. What it gives must be closed.
func (s *Server) load(ctx context.Context, d weir.Deploy) (_ *mount, err error) {
	of, err := s.deploys.Site(ctx, d.Site) // which this server may not have heard of yet
	if err != nil {
		return nil, err
	}
	defer func() { err = lost(err) }()
	manifest, texts, artifact, err := s.unpack(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			artifact.Close()
		}
	}()
	engines, err := s.enginesOf(ctx, d, artifact)
	if err != nil {
		return nil, err
	}
	env, err := s.variables.Resolve(ctx, queryOf(d))
	if err != nil {
		return nil, err
	}
	rules, _ := routing.Parse(rulesOf(texts)) // its author was told of the faults
	keys, err := s.signingKeys(ctx, d, rules)
	if err != nil {
		return nil, err
	}
	dispatcher, recorder, err := s.start(ctx, of, d, artifact, engines, env)
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(s.ctx)
	o := s.gateway(of, d, manifest, dispatcher, rules)
	o.Signer, o.Ending = s.signer(of, d, keys), ctx
	o.Logger = slog.New(cleanLog{o.Logger.Handler(), recorder.clean})
	events := o
	events.Lambda = true
	return &mount{deploy: d, size: sizeOf(manifest, texts), dispatcher: dispatcher, handler: gateway.New(o), lambda: gateway.New(events), clean: recorder.clean, end: end, close: func() {
		dispatcher.Close()
		artifact.Close()
		recorder.Close()
	}}, nil
}

// unpack gives what a deploy consists of: the files that are for the server, and the functions with the policies by
// which they were judged.
func (s *Server) unpack(ctx context.Context, d weir.Deploy) (manifest weir.Manifest, texts map[string]string, artifact *build.Artifact, err error) {
	if manifest, err = s.deploys.Manifest(ctx, d.ID); err != nil {
		return
	}
	policies, err := s.deploys.Policies(ctx, d.ID)
	if err != nil {
		return
	}
	open := func(ctx context.Context, sha256 string) (io.ReadCloser, error) { return s.cache.Open(ctx, sha256) }
	if texts, err = readTexts(ctx, manifest, open); err != nil {
		return
	}
	sound, faults := apart(manifest)
	artifact, err = build.Unpack(ctx, build.UnpackOptions{StateDir: s.o.StateDir, Env: buildVariables(d),
		Functions: archives(sound, func(sha256 string) (io.ReadCloser, error) { return open(ctx, sha256) }),
		// What was judged counts, whatever the archive says by now.
		Policy: func(function string, _ *policy.Policy) (*policy.Policy, error) { return policies[function], nil }})
	if err == nil {
		artifact.Functions = append(artifact.Functions, faults...)
	}
	return
}

// apart gives a manifest without the functions that can't be served, and those as they are told of. Their archives are
// not read again: what was wrong with one may have taken long to find.
func apart(m weir.Manifest) (weir.Manifest, []build.Function) {
	var faults []build.Function
	functions := map[string]weir.DeployFunction{}
	for name, f := range m.Functions {
		if f.Fault == "" {
			functions[name] = f
			continue
		}
		faults = append(faults, build.Function{Bundle: weir.Bundle{Function: name}, Policy: &policy.Policy{Function: name},
			Err: &weir.Error{Code: weir.Broken, Message: f.Fault}})
	}
	m.Functions = functions
	return m, faults
}

// lost says of a part of a deploy that isn't there what that is: no fault of who asks for the site.
func lost(err error) error {
	if weir.ErrorCode(err) != weir.NotFound {
		return err
	}
	return &weir.Error{Code: weir.Internal, Message: "a part of this deploy is lost", Remedy: "deploy the site again", Err: err}
}

// heldBack tells whether a deploy may do no more than what was approved before it.
func heldBack(d weir.Deploy) bool {
	return d.Review == weir.ReviewHeld || d.Review == weir.ReviewRejected
}

// enginesOf makes the policies of a deploy ready to decide, within their bounds.
func (s *Server) enginesOf(ctx context.Context, d weir.Deploy, artifact *build.Artifact) (map[string]*policy.Engine, error) {
	engines, err := compile(artifact, false)
	if err != nil {
		return nil, err
	}
	before := map[string]*policy.Policy{}
	if heldBack(d) && d.Baseline != "" {
		if before, err = s.deploys.Policies(ctx, d.Baseline); err != nil {
			return nil, err
		}
	}
	for name, e := range engines {
		top, err := ceilingOf(s.o.Ceiling, name)
		if err != nil {
			return nil, err
		}
		ceiling, err := policy.CompileCeiling(top)
		if err != nil {
			return nil, err
		}
		bounds := []policy.Bound{{Engine: ceiling, Name: "the organisation's ceiling", Remedy: "ask who may change it"}}
		if heldBack(d) {
			approved, err := policy.Compile(before[name]) // nil allows nothing
			if err != nil {
				return nil, err
			}
			bounds = append(bounds, policy.Bound{Engine: approved, Name: "what was approved before", Remedy: fmt.Sprintf("ask who may approve it: weir deploys approve %s", d.ID)})
		}
		engines[name] = e.Within(bounds...)
	}
	return engines, nil
}

// start prepares the functions of a deploy. None runs yet.
func (s *Server) start(ctx context.Context, of weir.Site, d weir.Deploy, artifact *build.Artifact, engines map[string]*policy.Engine, env map[string]string) (*invoke.Dispatcher, *deployRecorder, error) {
	major, odd := jsRuntime(env[site.JSRuntimeVariable])
	for _, w := range odd {
		s.o.Logger.Warn(w, "site", of.Name, "deploy", d.ID)
	}
	nodes, err := s.nodesOf(ctx, artifact, engines, major)
	if err != nil && len(artifact.Functions) > 0 {
		s.o.Logger.Error("no Node.js for the functions of a deploy", "site", of.Name, "deploy", d.ID, "error", err)
	}
	secrets, err := s.secretsOf(ctx, d, env)
	if err != nil {
		return nil, nil, err
	}
	log := func(l instance.Line) {
		s.logs.Add(logs.Line{Time: l.Time, Site: d.Site, Deploy: d.ID, Function: l.Function, Instance: l.Instance, Request: l.Request, Among: l.Among, Stream: l.Stream, Text: secrets.Text(l.Text)})
	}
	recorder := newDeployRecorder(s.recorder, d, log)
	recorder.redactor.SetValues(env)
	recorder.violations.watch(engines)
	own, err := s.o.ownFiles()
	if err != nil {
		return nil, nil, err
	}
	// Links may have been left by functions of other sites, and by deploys that are gone.
	shared := append(sharedGrants(engines), s.o.Ceiling.Writable()...)
	c := common{env: env, platform: s.platform(of), shared: shared, own: own, recorder: recorder, log: log,
		logger: slog.New(cleanLog{s.o.Logger.Handler(), recorder.clean})}
	backends := map[string]invoke.Backend{}
	for _, f := range artifact.Functions {
		name := f.Bundle.Function
		if f.Err != nil {
			backends[name] = broken{f.Err}
			continue
		}
		backends[name] = throwing{redacting{backend{s.pool(f, engines[name], nodes[name], c)}, recorder.clean}, log, recorder.clean}
	}
	dispatcher := invoke.NewDispatcher(recorder)
	dispatcher.Swap(backends, func() {})
	return dispatcher, recorder, nil
}

// secretsOf takes the values of a deploy's secrets out of what its functions print.
func (s *Server) secretsOf(ctx context.Context, d weir.Deploy, env map[string]string) (*record.Redactor, error) {
	out := record.NewRedactor(record.Multi())
	q := queryOf(d)
	q.Secrets = false
	open, err := s.variables.Resolve(ctx, q)
	if err != nil {
		return nil, err
	}
	secret := maps.Clone(env)
	for name := range open {
		delete(secret, name)
	}
	out.SetValues(secret)
	return out, nil
}

// queryOf asks for the variables that a deploy's functions may get.
func queryOf(d weir.Deploy) environ.Query {
	return environ.Query{Site: d.Site, Deploy: d.ID, Context: d.Context, Branch: d.Alias, Scope: "functions", Secrets: !heldBack(d)}
}

// platform gives the variables that every function of a site sees (Netlify's, for functions).
func (s *Server) platform(site weir.Site) map[string]string {
	return map[string]string{"URL": s.urls.site(site), "SITE_NAME": site.Name, "SITE_ID": site.ID}
}

// headers gives what every function is told by headers of the site and its deploy, as Netlify does.
func (s *Server) headers(site weir.Site, d weir.Deploy) map[string]string {
	out := headers()
	maps.Copy(out, map[string]string{
		"x-nf-account-id":       account,
		"x-nf-site-id":          site.ID,
		"x-nf-branch":           d.Alias,
		"x-nf-deploy-context":   d.Context,
		"x-nf-deploy-id":        d.ID,
		"x-nf-deploy-published": published01(site.Published == d.ID),
	})
	return out
}

// gateway says how a deploy is answered for.
func (s *Server) gateway(of weir.Site, d weir.Deploy, m weir.Manifest, functions gateway.Invoker, rules *routing.Rules) gateway.Options {
	configs := map[string]weir.FunctionConfig{}
	for name, f := range m.Functions {
		configs[name] = f.Config
	}
	return gateway.Options{
		Files:          deployed{m.Files, s.cache},
		Rules:          rules,
		Functions:      functions,
		Accept:         s.acceptFor(d),
		Configs:        configs,
		AllowHost:      func(string) bool { return true }, // it was found by its host
		Headers:        s.headers(of, d),
		Verifier:       s.o.Verifier,
		Logger:         s.o.Logger.With("site", of.Name, "deploy", d.ID),
		Proxy:          s.proxy,
		TrustedProxies: s.o.TrustedProxies,
		CountryHeader:  s.o.CountryHeader,
		Tunnels:        s.tunnels,
		Compressed:     s.compressed,
		Bodies:         s.bodies,
	}
}

func published01(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}
