// Package sitepolicy finds the policies of a site: what weir.toml says, and which functions bring a
// bootstrap file of Intrinsic's. The server, the build and the commands that work on policies all ask
// here, so that they never differ. It must not know how functions are built or run, and runs none of
// the site's code but bootstrap files, which policy/intrinsic evaluates.
package sitepolicy

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/tomlpolicy"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// FileName is the name of the policy beside netlify.toml.
const FileName = "weir.toml"

// File is the weir.toml of a site, which may have none.
type File struct{ toml *tomlpolicy.File } // nil: there is none

// ReadFile reads the weir.toml in dir. Each error is a *weir.Error with the position; several are joined.
func ReadFile(dir string) (*File, error) {
	path := filepath.Join(dir, FileName)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return &File{}, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: FileName}, Message: "is not a regular file"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &weir.Error{Code: weir.Invalid, Pos: weir.Position{File: FileName}, Message: "can't be read", Err: err}
	}
	// Functions see the file's name in their denials, so it is named as the site does.
	return ParseFile(FileName, b)
}

// ParseFile reads the content of a weir.toml that lies elsewhere; name is for positions. Errors are as
// for ReadFile.
func ParseFile(name string, data []byte) (*File, error) {
	f, err := tomlpolicy.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// Empty tells that the site has no such file.
func (f *File) Empty() bool { return f.toml == nil }

// Unmatched gives a warning for each section that is about none of the functions.
func (f *File) Unmatched(functions []string) []*weir.Error {
	if f.toml == nil {
		return nil
	}
	return f.toml.Unmatched(functions)
}

// Samples gives names of functions that stand for any function whatever, each with a label that says
// for whom (see tomlpolicy.Samples).
func Samples(files ...*File) (map[string]string, error) {
	var list []*tomlpolicy.File
	for _, f := range files {
		if f.toml != nil {
			list = append(list, f.toml)
		}
	}
	return tomlpolicy.Samples(list...)
}

// Of gives a function's policy: that of its Intrinsic bootstrap (own; nil if it has none), or what
// weir.toml says, or nothing at all. Privileges from both are an error: nobody could say which one
// counts. The error is a *weir.Error.
func (f *File) Of(function string, own *policy.Policy) (*policy.Policy, error) {
	p := &policy.Policy{Function: function}
	if f.toml != nil {
		var err error
		if p, err = f.toml.For(function); err != nil {
			return nil, err
		}
	}
	if own == nil {
		return p, nil
	}
	if len(p.Rules) > 0 || p.Addons {
		e := &weir.Error{Code: weir.Invalid,
			Message: fmt.Sprintf("%s has a policy of its own in %s, so it can't get privileges here as well", function, own.Source),
			Remedy:  "keep one of the two"}
		if len(p.Rules) > 0 {
			e.Pos = p.Rules[0].Pos
		} else {
			e.Pos = p.At("addons")
		}
		return nil, e
	}
	both := *own
	both.Function, both.Limits, both.Running = function, p.Limits, p.Running
	both.Settings = maps.Clone(p.Settings)
	switch at, written := own.Settings["mode"]; {
	case p.Mode == policy.Monitor:
		both.Mode = policy.Monitor // the site monitors all its functions
	case written && both.Settings == nil:
		both.Settings = own.Settings
	case written:
		both.Settings["mode"] = at
	}
	return &both, nil
}

// Function is a function of a site with its policy.
type Function struct {
	Name   string
	Policy *policy.Policy
	Engine *policy.Engine // of Policy
	Err    error          // what is wrong with its bootstrap file; Policy and Engine are nil then

	Warnings []*weir.Error // what its bootstrap file says and is held as less
}

// Site is what the policies of a site say, as the server would take them.
type Site struct {
	Dir       string // absolute
	File      *File
	Functions []Function    // sorted by name
	Warnings  []string      // of netlify.toml, one line each, for the site's author
	Unmatched []*weir.Error // see File.Unmatched
}

// Load reads all policies of the site in dir without building it; bootstrap files see those variables of
// env that Visible leaves. Errors are as for site.Load and
// ReadFile; what is wrong with one function's bootstrap file is that function's Err.
func Load(dir string, env map[string]string) (*Site, error) {
	s, err := site.Load(dir)
	if err != nil {
		return nil, err
	}
	file, err := ReadFile(s.Dir)
	if err != nil {
		return nil, err
	}
	out := &Site{Dir: s.Dir, File: file, Warnings: s.Warnings}
	var names []string
	var faults []error
	for _, f := range s.Functions {
		names = append(names, f.Name)
		fn, err := load(s, f, file, Visible(env))
		if err != nil {
			faults = append(faults, err)
		}
		out.Functions = append(out.Functions, fn)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	out.Unmatched = file.Unmatched(names)
	return out, nil
}

func load(s *site.Site, f site.Function, file *File, env map[string]string) (fn Function, err error) {
	fn = Function{Name: f.Name}
	var own *policy.Policy
	if f.Main != "" {
		b, err := Bootstrap(f.Main, s.Rel(f.Main), env)
		if err != nil {
			fn.Err = err
			return fn, nil
		}
		if b != nil {
			own, fn.Warnings = b.Policy, b.Warnings
		}
	}
	if fn.Policy, err = file.Of(f.Name, own); err != nil {
		return fn, err
	}
	fn.Engine, err = policy.Compile(fn.Policy)
	return fn, err
}
