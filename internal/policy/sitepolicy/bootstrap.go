package sitepolicy

// Which functions bring a policy of their own, and how their files are named in it.

import (
	"errors"
	"os"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/policy/intrinsic"
	"github.com/weir-run/weir/internal/weir"
)

// maxSource bounds the file of a function, in bytes.
const maxSource = 64 << 20

// Visible gives those of a site's variables that bootstrap files see.
func Visible(env map[string]string) map[string]string { return intrinsic.Visible(env) }

// Bootstrap evaluates a function's own file if it is a bootstrap file of Intrinsic's; it gives nil if
// it is none. Each error and warning is a *weir.Error whose position has name, which is what the author
// of the site would call the file; several errors are joined.
func Bootstrap(file, name string, env map[string]string) (*intrinsic.Bootstrap, error) {
	bad := func(message string) error {
		return &weir.Error{Code: weir.Broken, Pos: weir.Position{File: name}, Message: message}
	}
	info, err := os.Stat(file)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return nil, bad("the file can't be read")
	case info.Size() > maxSource:
		return nil, bad("the file is too large for source code")
	}
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, bad("the file can't be read")
	}
	if !intrinsic.IsBootstrap(src) {
		return nil, nil
	}
	b, err := intrinsic.Load(file, env)
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
