// Package build turns a site into an artifact: one folder per function that holds everything the
// function needs at run time and nothing else, immutable and addressed by its content. How an
// artifact is laid out is known here only; others see weir.Bundle. The package must not know how
// functions are run, and it runs none of the site's code (a bootstrap file is found and
// evaluated by policy/sitepolicy).
package build

// From a site to an artifact: every function by itself, then all of them together.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// Options say where artifacts are kept, and which variables the site has.
type Options struct {
	StateDir string            // artifacts are put into its folder "artifacts"; made if need be
	Env      map[string]string // a bootstrap file sees those in intrinsic.Variables; nothing else of the build sees any
	// Policy gives the policy that a function is built with; own is that of its Intrinsic bootstrap, nil
	// if it has none. Without Policy, only bootstraps give one.
	Policy func(function string, own *policy.Policy) (*policy.Policy, error)
	// Smoke loads a built function as it will be loaded, but calls nothing in it, and tells whether that
	// succeeds. Without Smoke no function becomes a pack: that it behaves as its files do is found out
	// only by trying. It is called from several goroutines.
	Smoke func(ctx context.Context, t Trial) error
}

// Trial is a function that is to be loaded.
type Trial struct {
	ID       string // the same for functions that are the same in all that they hold
	Function Function
	Policies []*policy.Policy // of all functions of the site; nil for one without any
	Put      func() error     // puts the function's files into its folder; nothing is there before
}

// Artifact is a built site. It lasts until Close.
type Artifact struct {
	ID        string // SHA-256 of the content of all functions, in hexadecimal
	Dir       string // the artifact's folder, absolute
	Publish   string // the site's own publish folder, not a copy: static files are served live; "" for none
	Functions []Function
	Warnings  []string // one line each, for the site's author

	held *os.File // see lease
}

// Function is one built function.
type Function struct {
	Bundle weir.Bundle    // only Function is set if Err is
	Policy *policy.Policy // see Options.Policy; also of a function with Err
	Err    error          // why the function can't be served; the others can
	Why    string         // it is no pack; "" if it is one, or nobody tried
}

// Build builds every function of s and writes the artifact, or finds that the same one is there
// already. Functions come in the order of s.Functions. What is wrong with one function is its Err,
// a *weir.Error with the position; Build itself fails only if a policy can't be had (all such errors
// are joined), the artifact can't be written or ctx ends. The artifact must be closed. Builds may run at the same time, in one process or several.
func Build(ctx context.Context, s *site.Site, o Options) (*Artifact, error) {
	built, done, err := buildFunctions(ctx, s, o)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := write(ctx, o, built)
	if err != nil {
		return nil, fmt.Errorf("writing the artifact: %w", err)
	}
	a.Publish = s.Publish
	return a, nil
}

// buildFunctions builds every function of s and finds its policy. done removes what some of their files lie in.
func buildFunctions(ctx context.Context, s *site.Site, o Options) (built []output, done func(), err error) {
	scratch, done := "", func() {}
	if slices.ContainsFunc(s.Functions, func(f site.Function) bool { return filepath.Ext(f.Main) == site.Archive }) {
		if scratch, done, err = scratchFolder(o.StateDir); err != nil {
			return nil, nil, err
		}
	}
	if built, err = buildSite(ctx, s, sitepolicy.Visible(o.Env), scratch); err == nil {
		err = givePolicies(built, o)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return built, done, nil
}

// givePolicies completes what the bootstraps say. All faults are reported together.
func givePolicies(built []output, o Options) error {
	var faults []error
	for i := range built {
		if o.Policy == nil {
			break
		}
		p, err := o.Policy(built[i].name, built[i].policy)
		if err != nil {
			faults = append(faults, err)
		}
		built[i].policy = p
	}
	return errors.Join(faults...)
}

// together gives each warning once, with the functions that it is about: a setting for all functions
// brings about the same one in each.
func together(built []output) []string {
	about := map[string][]string{}
	var texts, out []string
	for _, b := range built {
		for _, w := range b.warnings {
			if about[w] == nil {
				texts = append(texts, w)
			}
			about[w] = append(about[w], b.name)
		}
	}
	for _, w := range texts {
		names := slices.Compact(about[w])
		text := strings.Join(names[:min(3, len(names))], ", ")
		if more := len(names) - 3; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		out = append(out, text+": "+w)
	}
	return out
}

// output is what became of one function before it is written.
type output struct {
	name     string
	entry    string // relative to the bundle
	export   string
	config   weir.FunctionConfig
	form     string // of files: "pack" or "bundle"; "" for a bundle
	files    tree
	folder   string // holds all of files but links, and may be taken; "": files lie where they do
	pack     packForm
	policy   *policy.Policy
	warnings []string
	took     taken // of a deploy's bounds
	err      error
}

// packForm is the same function as a pack.
type packForm struct {
	entry string
	files tree   // nil if there is no pack
	why   string // there is none
}

// buildFunction makes the content of one function's bundle; m is shared with the site's others, env
// is what a bootstrap file sees, and archives are unpacked into folders of scratch.
func buildFunction(ctx context.Context, s *site.Site, f site.Function, m *memo, env map[string]string, scratch string) output {
	out := output{name: f.Name, export: "handler", files: tree{}, err: f.Err}
	if out.err != nil {
		return out
	}
	if filepath.Ext(f.Main) == site.Archive {
		a := archive{file: f.Main, shown: s.Rel(f.Main), dir: filepath.Join(scratch, f.Name), env: env, output: &out}
		out.err = a.unpack()
		out.addSettings(f)
		return out
	}
	main := f.Main
	boot, err := sitepolicy.Bootstrap(f.Main, s.Rel(f.Main), env)
	if err != nil {
		out.err = err
		return out
	}
	if boot != nil {
		for _, w := range boot.Warnings {
			out.warnings = append(out.warnings, w.Error())
		}
		out.policy, out.export, main = boot.Policy, boot.HandlerName, boot.HandlerFile
	}
	if out.err = out.readConfig(s, &f, main); out.err != nil {
		return out
	}
	out.addSettings(f)
	included, warnings, err := s.Expand(f.Included)
	out.warnings = append(out.warnings, warnings...)
	if err != nil {
		out.err = err
		return out
	}
	for _, file := range included {
		out.files.add(file.Name, file.Path)
	}
	taken := maps.Clone(out.files)
	b := newBundler(s, f, main, out.files, m)
	out.entry, out.err = b.run(ctx)
	out.warnings = append(out.warnings, b.warnings...)
	if out.err == nil {
		out.err = out.files.fits()
	}
	if out.err != nil {
		return out
	}
	if out.pack.files, out.pack.entry, err = packed(ctx, b, taken); err != nil {
		out.pack = packForm{why: err.Error()}
	}
	return out
}

// addSettings adds what the name and netlify.toml say to what the source says, which counts where both speak.
func (o *output) addSettings(f site.Function) {
	o.config.Background = o.config.Background || f.Background
	o.config.Schedule = cmp.Or(o.config.Schedule, f.Schedule)
}

// broken makes the error of a function that can't be served. Callers of the function may see it, so
// file is relative to the site and no cause of the system's, with paths of the host, is in it.
func broken(file, message, remedy string) *weir.Error {
	return &weir.Error{Code: weir.Broken, Pos: weir.Position{File: file}, Message: message, Remedy: remedy}
}
