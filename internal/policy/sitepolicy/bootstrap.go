package sitepolicy

// Which functions bring a policy of their own, and how their files are named in it.

import (
	"errors"
	"os"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/intrinsic"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// maxSource bounds the file of a function, in bytes.
const maxSource = 64 << 20

// Visible gives those of a site's variables that bootstrap files see.
func Visible(env map[string]string) map[string]string { return intrinsic.Visible(env) }

// Bootstrap evaluates the function's own file if it is a bootstrap file of Intrinsic's; it gives nil if
// it is none. Each error and warning is a *weir.Error whose position names the file as the site does;
// several errors are joined.
func Bootstrap(s *site.Site, f site.Function, env map[string]string) (*intrinsic.Bootstrap, error) {
	name := s.Rel(f.Main)
	bad := func(message string) error {
		return &weir.Error{Code: weir.Broken, Pos: weir.Position{File: name}, Message: message}
	}
	info, err := os.Stat(f.Main)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return nil, bad("the file can't be read")
	case info.Size() > maxSource:
		return nil, bad("the file is too large for source code")
	}
	src, err := os.ReadFile(f.Main)
	if err != nil {
		return nil, bad("the file can't be read")
	}
	if !intrinsic.IsBootstrap(src) {
		return nil, nil
	}
	b, err := intrinsic.Load(f.Main, env)
	if err != nil {
		return nil, inSite(err, name)
	}
	nameInSite(b.Policy, name)
	for _, w := range b.Warnings {
		inSite(w, name)
	}
	return b, nil
}

// nameInSite makes a bootstrap's policy name its file as the site does: the function sees these
// names in its denials, and paths of the host are none of its business.
func nameInSite(p *policy.Policy, file string) {
	p.Source = file
	for i := range p.Rules {
		p.Rules[i].Pos.File = file
	}
	for setting, pos := range p.Settings {
		pos.File = file
		p.Settings[setting] = pos
	}
}

// inSite does the same for every error in err, which may be several joined.
func inSite(err error, file string) error {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			inSite(e, file)
		}
		return err
	}
	var e *weir.Error
	if errors.As(err, &e) && e.Pos.File != "" {
		e.Pos.File = file
	}
	return err
}
