package api

// Parts that remember what they were asked for, so that tests see what the API makes of a request.

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weir-run/weir/internal/access"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/environ"
	"github.com/weir-run/weir/internal/jobs"
	"github.com/weir-run/weir/internal/logs"
	"github.com/weir-run/weir/internal/policy/diff"
	"github.com/weir-run/weir/internal/record"
	"github.com/weir-run/weir/internal/weir"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fake is a server's sites and deploys in memory.
type fake struct {
	mu       sync.Mutex
	sites    map[string]weir.Site
	deploys  map[string]weir.Deploy
	declared map[string]deploys.Declaration
	got      map[string]map[string]bool // digests by deploy
	uploads  []string
	authors  []deploys.Author
	policy   string
	notes    []string
	slow     time.Duration // for how long a site is looked for
}

func newFake() *fake {
	return &fake{sites: map[string]weir.Site{}, deploys: map[string]weir.Deploy{}, declared: map[string]deploys.Declaration{}, got: map[string]map[string]bool{}}
}

func notFound(what string) error {
	return &weir.Error{Code: weir.NotFound, Message: "there is no " + what, Remedy: "look at the list"}
}

func (f *fake) by(a deploys.Author) { f.authors = append(f.authors, a) }

func (f *fake) CreateSite(_ context.Context, by deploys.Author, name string) (weir.Site, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by(by)
	if name == "" {
		name = "quiet-lake-1"
	}
	for _, s := range f.sites {
		if s.Name == name {
			return s, &weir.Error{Code: weir.Conflict, Message: "there is one"}
		}
	}
	s := weir.Site{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", len(f.sites)+1), Name: name, Created: noon, Updated: noon}
	f.sites[s.ID] = s
	return s, nil
}

func (f *fake) Site(ctx context.Context, id string) (weir.Site, error) {
	select {
	case <-ctx.Done():
		return weir.Site{}, ctx.Err()
	case <-time.After(f.slow):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sites {
		if s.ID == id || s.Name == id || slices.Contains(s.Domains, id) {
			return s, nil
		}
	}
	return weir.Site{}, notFound("site " + id)
}

func (f *fake) Sites(context.Context) ([]weir.Site, error) {
	return slices.Collect(maps.Values(f.sites)), nil
}

func (f *fake) UpdateSite(_ context.Context, by deploys.Author, id string, c deploys.SiteChange) (weir.Site, error) {
	f.by(by)
	s := f.sites[id]
	if c.Name != nil {
		s.Name = *c.Name
	}
	if c.Domains != nil {
		s.Domains = *c.Domains
	}
	if c.Locked != nil {
		s.Locked = *c.Locked
	}
	f.sites[id] = s
	return s, nil
}

func (f *fake) DeleteSite(_ context.Context, by deploys.Author, id string) error {
	f.by(by)
	delete(f.sites, id)
	return nil
}

func (f *fake) SitePolicy(context.Context, string) (deploys.SitePolicy, error) {
	return deploys.SitePolicy{Text: f.policy}, nil
}

func (f *fake) SetPolicy(_ context.Context, by deploys.Author, _, text string) error {
	f.by(by)
	f.policy = text
	return nil
}

func (f *fake) Begin(_ context.Context, by deploys.Author, site string, o deploys.BeginOptions) (weir.Deploy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by(by)
	d := weir.Deploy{ID: fmt.Sprintf("%024x", len(f.deploys)+1), Site: site, State: weir.DeployNew, Draft: o.Draft, Alias: o.Alias, Title: o.Title, Source: o.Source,
		Author: by.Name, Context: weir.ContextProduction, Created: noon, Updated: noon}
	f.deploys[d.ID] = d
	return d, nil
}

func (f *fake) TakesPart(_ context.Context, by deploys.Author, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by(by)
	if f.deploys[id].State == weir.DeployReady {
		return &weir.Error{Code: weir.Conflict, Message: "the deploy takes nothing more"}
	}
	return nil
}

func (f *fake) Declare(ctx context.Context, by deploys.Author, id string, d deploys.Declaration) (deploys.Missing, weir.Deploy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by(by)
	f.declared[id] = d
	f.got[id] = map[string]bool{}
	deploy := f.deploys[id]
	deploy.State = weir.DeployPrepared
	f.deploys[id] = deploy
	return f.missing(id), deploy, nil
}

func (f *fake) missing(id string) (m deploys.Missing) {
	for _, sum := range f.declared[id].Files {
		if !f.got[id][sum] {
			m.Files = append(m.Files, sum)
		}
	}
	for _, fn := range f.declared[id].Functions {
		if !f.got[id][fn.SHA256] {
			m.Functions = append(m.Functions, fn.SHA256)
		}
	}
	return m
}

func (f *fake) Missing(_ context.Context, id string) (deploys.Missing, error) {
	return f.missing(id), nil
}

func (f *fake) take(id, what, sum string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uploads = append(f.uploads, what)
	if f.got[id] == nil {
		f.got[id] = map[string]bool{}
	}
	f.got[id][sum] = true
	if m := f.missing(id); len(m.Files)+len(m.Functions) > 0 {
		return
	}
	d := f.deploys[id]
	d.State, d.Done, d.Manifest = weir.DeployReady, noon, "m"
	f.deploys[id] = d
	if s := f.sites[d.Site]; !d.Draft && d.Alias == "" {
		s.Published = id
		f.sites[s.ID] = s
	}
}

func (f *fake) UploadFile(_ context.Context, by deploys.Author, id, path string, body io.Reader) error {
	h := sha1.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if f.declared[id].Files[path] != sum {
		return &weir.Error{Code: weir.Invalid, Message: "the content of " + path + " is not what was declared"}
	}
	f.take(id, path, sum)
	return nil
}

func (f *fake) UploadFunction(_ context.Context, by deploys.Author, id, name string, u deploys.FunctionUpload, body io.Reader) error {
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	f.take(id, fmt.Sprintf("%s %s %v", name, u.Runtime, u.Background), hex.EncodeToString(h.Sum(nil)))
	return nil
}

func (f *fake) Cancel(_ context.Context, by deploys.Author, id string) (weir.Deploy, error) {
	f.by(by)
	d := f.deploys[id]
	d.State, d.Error = weir.DeployFailed, "canceled"
	f.deploys[id] = d
	return d, nil
}

func (f *fake) Deploy(_ context.Context, id string) (weir.Deploy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.deploys[id]
	if !ok {
		return d, notFound("deploy " + id)
	}
	return d, nil
}

func (f *fake) Deploys(_ context.Context, site string, o deploys.Filter) (all []weir.Deploy, _ error) {
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(f.deploys))) {
		if d := f.deploys[id]; d.Site == site && (o.State == "" || o.State == d.State) {
			all = append(all, d)
		}
	}
	return all, nil
}

func (f *fake) Outline(_ context.Context, id string) (weir.Manifest, error) {
	m := weir.Manifest{Functions: map[string]weir.DeployFunction{}}
	for name, fn := range f.declared[id].Functions {
		m.Functions[name] = weir.DeployFunction{SHA256: fn.SHA256, Config: fn.Config}
	}
	return m, nil
}

func (f *fake) Manifest(_ context.Context, id string) (weir.Manifest, error) {
	m := weir.Manifest{Files: map[string]weir.DeployFile{}, Functions: map[string]weir.DeployFunction{}}
	for path, sum := range f.declared[id].Files {
		m.Files[path] = weir.DeployFile{SHA1: sum, Size: 1}
	}
	for name, fn := range f.declared[id].Functions {
		m.Functions[name] = weir.DeployFunction{SHA256: fn.SHA256, Config: fn.Config}
	}
	return m, nil
}

func (f *fake) publish(by deploys.Author, id string) (weir.Site, error) {
	f.by(by)
	d := f.deploys[id]
	s := f.sites[d.Site]
	s.Published = id
	f.sites[s.ID] = s
	return s, nil
}

func (f *fake) Restage(_ context.Context, by deploys.Author, id string) (weir.Deploy, error) {
	return f.deploys[id], nil
}

func (f *fake) Publish(_ context.Context, by deploys.Author, id string) (weir.Site, error) {
	return f.publish(by, id)
}

func (f *fake) RemoveAlias(ctx context.Context, by deploys.Author, site, alias string) (weir.Site, error) {
	f.by(by)
	s, err := f.Site(ctx, site)
	if err == nil && s.Aliases[alias] == "" {
		return s, &weir.Error{Code: weir.NotFound, Message: "there is no such alias"}
	}
	delete(s.Aliases, alias)
	return s, err
}

func (f *fake) Rollback(ctx context.Context, by deploys.Author, site string) (weir.Site, error) {
	all, _ := f.Deploys(ctx, site, deploys.Filter{})
	if len(all) < 2 {
		return weir.Site{}, &weir.Error{Code: weir.Conflict, Message: "there is no deploy to go back to"}
	}
	return f.publish(by, all[1].ID)
}

func (f *fake) Lock(ctx context.Context, by deploys.Author, id string) (weir.Site, error) {
	locked := true
	return f.UpdateSite(ctx, by, id, deploys.SiteChange{Locked: &locked})
}

func (f *fake) Unlock(ctx context.Context, by deploys.Author, id string) (weir.Site, error) {
	locked := false
	return f.UpdateSite(ctx, by, id, deploys.SiteChange{Locked: &locked})
}

func (f *fake) DeleteDeploy(_ context.Context, by deploys.Author, id string) error {
	f.by(by)
	delete(f.deploys, id)
	return nil
}

func (f *fake) review(by deploys.Author, id, note string, r weir.Review) (weir.Deploy, error) {
	f.by(by)
	f.notes = append(f.notes, note)
	d := f.deploys[id]
	d.Review, d.Reviewer, d.ReviewedAt = r, by.Name, noon
	f.deploys[id] = d
	return d, nil
}

func (f *fake) Approve(_ context.Context, by deploys.Author, id, note string) (weir.Deploy, error) {
	return f.review(by, id, note, weir.ReviewApproved)
}

func (f *fake) Reject(_ context.Context, by deploys.Author, id, note string) (weir.Deploy, error) {
	return f.review(by, id, note, weir.ReviewRejected)
}

func (f *fake) Diff(context.Context, string) (diff.Result, error) {
	return diff.Result{Changes: []diff.Change{{Function: "charge", Gained: true, Kind: "http", What: "GET https://a.example/"}}, Added: []string{"charge"}}, nil
}

// tokens are the ones that tests use, by their secrets.
type tokens struct{ by map[string]access.Identity }

func (t tokens) Authenticate(_ context.Context, bearer, from string) (access.Identity, error) {
	if bearer == "slowed" {
		return access.Identity{}, &weir.Error{Code: weir.Busy, Message: "too many wrong tokens came from this address"}
	}
	i, ok := t.by[bearer]
	if !ok {
		return i, &weir.Error{Code: weir.Unknown, Message: "the token is not known, or was revoked"}
	}
	i.From = from
	return i, nil
}

func (tokens) Create(_ context.Context, by access.Identity, spec access.Spec) (access.Token, string, error) {
	return access.Token{ID: "01", Name: spec.Name, Role: spec.Role, Sites: spec.Sites}, "weir_secret", nil
}

func (tokens) List(context.Context, access.Identity) ([]access.Token, error) {
	return []access.Token{{ID: "01", Name: "anna", Role: access.Owner}}, nil
}

func (tokens) Revoke(context.Context, access.Identity, string) (access.Token, error) {
	return access.Token{}, nil
}

// vars are variables in memory.
type vars struct {
	all    map[string]environ.Variable
	deploy []environ.Variable
}

func (v *vars) List(_ context.Context, site string) (out []environ.Variable, _ error) {
	for _, k := range slices.Sorted(maps.Keys(v.all)) {
		if v.all[k].Site == site {
			out = append(out, v.all[k])
		}
	}
	return out, nil
}

func (v *vars) Get(_ context.Context, site, key string) (environ.Variable, error) {
	x, ok := v.all[site+"/"+key]
	if !ok {
		return x, notFound("variable " + key)
	}
	return x, nil
}

func (v *vars) Set(_ context.Context, by environ.Author, x environ.Variable) error {
	if x.Secret && x.Values[0].Value == "" {
		return &weir.Error{Code: weir.Invalid, Message: x.Key + " has no value"}
	}
	x.Author, x.Updated = by.Name, noon
	v.all[x.Site+"/"+x.Key] = x
	return nil
}

func (v *vars) SetValue(ctx context.Context, by environ.Author, site, key string, value environ.Value) error {
	x, err := v.Get(ctx, site, key)
	if err != nil {
		return err
	}
	x.Values = append(without(x.Values, value), value)
	return v.Set(ctx, by, x)
}

func (v *vars) DeleteValue(ctx context.Context, by environ.Author, site, key string, value environ.Value) error {
	x, err := v.Get(ctx, site, key)
	if err != nil {
		return err
	}
	x.Values = without(x.Values, value)
	return v.Set(ctx, by, x)
}

func without(values []environ.Value, value environ.Value) []environ.Value {
	return slices.DeleteFunc(slices.Clone(values), func(v environ.Value) bool { return v.Context == value.Context && v.Branch == value.Branch })
}

func (v *vars) Delete(_ context.Context, _ environ.Author, site, key string) error {
	delete(v.all, site+"/"+key)
	return nil
}

func (v *vars) SetDeployVariables(_ context.Context, _ environ.Author, _ string, all []environ.Variable) error {
	v.deploy = all
	return nil
}

func (v *vars) Rotate(context.Context, environ.Author) (int, error) { return len(v.all), nil }

func (v *vars) RemoveSite(_ context.Context, site string) error {
	maps.DeleteFunc(v.all, func(_ string, x environ.Variable) bool { return x.Site == site })
	return nil
}

// work is jobs, logs and the journal in memory.
type work struct {
	changes []record.Change
	broken  bool // the journal
	did     []string
	lines   chan logs.Line // that are followed
	asked   logs.Query
}

func (w *work) Append(_ context.Context, c record.Change) error {
	if w.broken {
		return &weir.Error{Code: weir.Unavailable, Message: "the journal can't be written"}
	}
	c.Detail = maps.Clone(c.Detail)
	w.changes = append(w.changes, c)
	return nil
}

func (w *work) Read(_ context.Context, f access.Filter) (out []record.Change, _ error) {
	for _, c := range w.changes {
		if f.Site == "" || c.Site == f.Site {
			out = append(out, c)
		}
	}
	return out, nil
}

func (w *work) List(string) []jobs.Info {
	return []jobs.Info{{ID: "j1", Function: "mail", State: "waiting"}}
}

func (w *work) DeadLetters(string) []jobs.Info {
	return []jobs.Info{{ID: "j2", Function: "mail", State: "dead", Runs: 3, Error: "timeout"}}
}

func (w *work) Replay(_ context.Context, _, id string) error {
	if id != "j2" {
		return notFound("dead letter " + id)
	}
	w.did = append(w.did, "replay "+id)
	return nil
}

func (w *work) Drop(_ context.Context, _, id string) error {
	w.did = append(w.did, "drop "+id)
	return nil
}

func (w *work) Schedules(context.Context, string) ([]jobs.Schedule, error) {
	return []jobs.Schedule{{Function: "nightly", Cron: "@daily", Next: noon}}, nil
}

func (w *work) RunNow(_ context.Context, _, function string) (jobs.Outcome, error) {
	w.did = append(w.did, "run "+function)
	return jobs.Outcome{Outcome: jobs.OK}, nil
}

func (w *work) Past(_ context.Context, q logs.Query) ([]logs.Line, error) {
	w.asked = q
	return []logs.Line{{Time: noon, Site: q.Site, Function: "mail", Stream: logs.Denied, Text: "denied", Decision: &record.Decision{Kind: "http"}}}, nil
}

func (w *work) Follow(ctx context.Context, _ logs.Query, each func(logs.Line) error) error {
	for l := range w.lines {
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}
