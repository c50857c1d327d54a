package server

// The deploy stage: the archives of a deploy become functions, and each gets its policy, cut by the ceiling. Nothing
// of it runs the deploy's code.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/build"
	"github.com/weir-run/weir/internal/deploys"
	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

// The files of a deploy that are for the server, and are never served.
const (
	policyFile    = "_weir.toml"
	configFile    = "netlify.toml"
	redirectsFile = "_redirects"
	headersFile   = "_headers"
)

// maxText bounds each of these, in bytes; more of the others is a fault of the site's.
const maxText = 4 << 20

// stage implements deploys.Stage.
type stage struct {
	stateDir string
	ceiling  *tomlpolicy.Ceiling // nil: the default one
	keys     func(context.Context, weir.Deploy, *routing.Rules) (map[string]signingKey, error)
	examiner build.Examiner
}

// Stage reads the functions of a deploy and finds the policy of each.
func (s *stage) Stage(ctx context.Context, in deploys.StageInput) (deploys.StageOutput, error) {
	texts, err := readTexts(ctx, in.Manifest, in.Open)
	if err != nil {
		return deploys.StageOutput{}, err
	}
	out := deploys.StageOutput{Functions: map[string]weir.DeployFunction{}, Policies: map[string]*policy.Policy{}, Config: texts[configFile], Policy: texts[policyFile]}
	name := policyFile
	if in.Policy != "" {
		out.Policy, name = in.Policy, sitePolicy
	}
	file := &sitepolicy.File{}
	if out.Policy != "" {
		if file, err = sitepolicy.ParseFile(name, []byte(out.Policy)); err != nil {
			return out, err
		}
	}
	if out.Warnings, err = s.ruleWarnings(ctx, in.Deploy, texts); err != nil {
		return out, err
	}
	found, err := s.examiner.Examine(ctx, build.UnpackOptions{StateDir: s.stateDir, Owner: in.Site.ID, Env: buildVariables(in.Deploy), Policy: s.policies(file, &out),
		Functions: archives(in.Manifest, func(sha256 string) (io.ReadCloser, error) { return in.Open(ctx, sha256) })})
	if err != nil {
		return out, err
	}
	out.Warnings = append(out.Warnings, found.Warnings...)
	for _, f := range found.Functions {
		name := f.Bundle.Function
		have := in.Manifest.Functions[name]
		have.Config = f.Bundle.Config
		if f.Err != nil {
			have.Fault = f.Err.Error()
			out.Warnings = append(out.Warnings, fmt.Sprintf("the function %s can't be served: %v", name, f.Err))
		}
		out.Functions[name], out.Policies[name] = have, f.Policy
	}
	for _, w := range file.Unmatched(slices.Sorted(maps.Keys(out.Functions))) {
		out.Warnings = append(out.Warnings, w.Error())
	}
	return out, nil
}

// policies gives the policy of each function, cut by the ceiling. out is told what is beyond that.
func (s *stage) policies(file *sitepolicy.File, out *deploys.StageOutput) func(string, *policy.Policy) (*policy.Policy, error) {
	var all extent
	return func(function string, own *policy.Policy) (*policy.Policy, error) {
		if all.err != nil {
			return nil, all.err
		}
		p, err := file.Of(function, own)
		if err == nil {
			err = all.add(p)
		}
		if err != nil {
			return nil, err
		}
		top, err := ceilingOf(s.ceiling, function)
		if err != nil {
			return nil, err
		}
		cut, beyond, err := policy.Cut(p, top)
		for _, w := range beyond {
			out.Warnings = append(out.Warnings, w.Error())
		}
		return cut, err
	}
}

// ruleWarnings says what of a site's redirects and headers will not be as it is written.
func (s *stage) ruleWarnings(ctx context.Context, d weir.Deploy, texts map[string]string) ([]string, error) {
	rules, out := routing.Parse(rulesOf(texts))
	if err := rules.Unguarded(); err != nil {
		return nil, err
	}
	keys, err := s.keys(ctx, d, rules)
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if fault := keys[name].fault; fault != nil {
			out = append(out, "requests by rules that it signs are refused: "+fault.Error())
		}
	}
	return out, err
}

// The bounds of the policies of a deploy, together: a glob gives each function a copy of its rules.
const (
	maxRules       = 50_000
	maxPolicyBytes = 16 << 20 // in JSON
)

// extent is how large policies are together.
type extent struct {
	rules, bytes int
	err          error // that they are too large
}

// add counts a policy.
func (e *extent) add(p *policy.Policy) error {
	if p == nil {
		return nil
	}
	if e.rules += len(p.Rules); e.rules <= maxRules {
		text, err := json.Marshal(p)
		if err != nil {
			return err
		}
		e.bytes += len(text)
	}
	if e.rules > maxRules || e.bytes > maxPolicyBytes {
		e.err = &weir.Error{Code: weir.TooLarge, Pos: weir.Position{File: p.Source},
			Message: fmt.Sprintf("the policies of all functions have more than %d rules, or %s, together", maxRules, policy.Size(maxPolicyBytes)),
			Remedy:  "give functions only the rules that they need, or join rules by patterns"}
	}
	return e.err
}

// ceilingOf gives what bounds a function.
func ceilingOf(c *tomlpolicy.Ceiling, function string) (*policy.Ceiling, error) {
	if c == nil {
		return policy.DefaultCeiling(), nil
	}
	return c.For(function)
}

// buildVariables gives what a bootstrap file of Intrinsic's sees of a deploy, in the words of Netlify's builds. The same
// wherever and whenever it is loaded.
func buildVariables(d weir.Deploy) map[string]string {
	return map[string]string{"CONTEXT": d.Context, "BRANCH": d.Alias, "NETLIFY": "true"}
}

// sitePolicy names the policy that is set for a site on the server, in messages.
const sitePolicy = "the site's policy on the server"

// checkPolicy tells whether a text can be one.
func checkPolicy(text string) error {
	_, err := sitepolicy.ParseFile(sitePolicy, []byte(text))
	return err
}

// archives gives the functions of a manifest as the build takes them.
func archives(m weir.Manifest, open func(sha256 string) (io.ReadCloser, error)) []build.Archive {
	var out []build.Archive
	for _, name := range slices.Sorted(maps.Keys(m.Functions)) {
		f := m.Functions[name]
		out = append(out, build.Archive{Name: name, SHA256: f.SHA256, Config: f.Config, Packed: f.Runtime == build.PackedRuntime,
			Open: func() (io.ReadCloser, error) { return open(f.SHA256) }})
	}
	return out
}

// readTexts reads the files of a deploy that are for the server, by name; those that aren't there are "".
func readTexts(ctx context.Context, m weir.Manifest, open func(ctx context.Context, sha256 string) (io.ReadCloser, error)) (map[string]string, error) {
	out := map[string]string{}
	for _, name := range []string{policyFile, configFile, redirectsFile, headersFile} {
		f, ok := m.Files[name]
		if !ok {
			continue
		}
		if f.Size > maxText {
			return nil, &weir.Error{Code: weir.TooLarge, Pos: weir.Position{File: name}, Message: fmt.Sprintf("the file has %d bytes", f.Size),
				Remedy: fmt.Sprintf("keep it below %s", policy.Size(maxText))}
		}
		r, err := open(ctx, f.SHA256)
		if err != nil {
			return nil, err
		}
		var b strings.Builder
		_, err = io.Copy(&b, r)
		r.Close()
		if err != nil {
			return nil, err
		}
		out[name] = b.String()
	}
	return out, nil
}

func rulesOf(texts map[string]string) routing.Sources {
	text := func(name string) routing.Text { return routing.Text{Name: name, Text: texts[name]} }
	return routing.Sources{Redirects: text(redirectsFile), Headers: text(headersFile), Config: text(configFile)}
}
