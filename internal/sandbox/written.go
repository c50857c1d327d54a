package sandbox

// Where functions may write on the host. What runs must not lie there: it would be what a function makes of
// it, with the rights of another, or outside of every wall.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// written is what one write rule opens on the host.
type written struct {
	rule       string
	path, real string // as the rule says, and without links; they and all that is below
}

// written gives what the Spec's write rules open, and those of others that it speaks of.
func (s *Spec) written(dirs []string) []written {
	var out []written
	for _, rule := range slices.Concat(s.Write, s.Shared) {
		g, err := parseGrant(rule)
		if err != nil || within(g.path, tmpTarget) || within(g.path, bundleTarget) {
			continue
		}
		w := written{rule, g.path, g.path}
		if real, err := resolve(g.path, dirs); err == nil {
			w.real = real
		}
		out = append(out, w)
	}
	return out
}

// writtenError is a step on the way to a file that lies where a function may write.
type writtenError struct {
	at   string
	rule string
}

func (e *writtenError) Error() string {
	return fmt.Sprintf("%s lies where a function may write (write rule %s)", e.at, e.rule)
}

// unwritten refuses a file or directory, of what, that a function may change or put another in the place of:
// because it lies where one may write, or any directory or link on the way to it does.
func (p *planner) unwritten(what, path string) error {
	if len(p.written) == 0 {
		return nil
	}
	_, err := walkPath(path, func(at string, _ bool) error {
		for _, w := range p.written {
			if within(at, w.path) || within(at, w.real) {
				return &writtenError{at, w.rule}
			}
		}
		return nil
	})
	if err == nil || errors.Is(err, fs.ErrNotExist) { // told with its remedy by who looks for it
		return nil
	}
	e := invalid("%s: %v", what, err)
	if errors.As(err, new(*writtenError)) {
		e.Remedy = "have it elsewhere, or let no function write there"
	}
	return e
}

// unwrittenParts is unwritten for the files that a program consists of.
func (p *planner) unwrittenParts(what string, parts []part) error {
	for _, f := range parts {
		for _, path := range []string{f.target, f.source} {
			if err := p.unwritten(what, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOwn refuses to start anything where a function may change what every function, or Weir itself, runs.
func (p *planner) checkOwn() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding Weir's own program: %w", err)
	}
	if err := p.unwritten("Weir's own program", self); err != nil {
		return err
	}
	for _, path := range p.spec.Own {
		if err := p.unwritten("the site's own file "+path, path); err != nil {
			return err
		}
	}
	if p.spec.Bundle == "" {
		return nil
	}
	return p.unwritten("the bundle of "+p.spec.Name, p.spec.Bundle)
}
