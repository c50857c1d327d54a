package build

// What a function's own source says of it, and what several of them say together.

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/build/insource"
	"github.com/weir-run/weir/internal/cron"
	"github.com/weir-run/weir/internal/route"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// maxDeclaring bounds a source that is asked for its config, in bytes. A larger one says nothing.
const maxDeclaring = 16 << 20

// readConfig takes over what the source in main says, also about how f is bundled.
func (o *output) readConfig(s *site.Site, f *site.Function, main string) error {
	info, err := os.Stat(main)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxDeclaring {
		return nil // what is wrong with it is the bundler's to tell
	}
	src, err := os.ReadFile(main)
	if err != nil {
		return nil
	}
	said, err := insource.Read(src, s.Rel(main))
	if err != nil {
		return err
	}
	o.config = said.FunctionConfig
	o.warnings = append(o.warnings, said.Warnings...)
	if o.export != "handler" { // a bootstrap names another one
		o.config.Form = weir.FormV1
	}
	if said.Bundler != "" {
		f.Bundler = said.Bundler
	}
	f.External = slices.Concat(f.External, said.External)
	included, err := s.Beside(main, said.Included)
	f.Included = slices.Concat(f.Included, included)
	return err
}

// overlaid gives a config in which each thing that another one says stands before what it says itself, but for how the
// handler is called.
func overlaid(c, by weir.FunctionConfig) weir.FunctionConfig {
	if by.Paths != nil {
		c.Paths = by.Paths
	}
	if by.ExcludedPaths != nil {
		c.ExcludedPaths = by.ExcludedPaths
	}
	if by.Methods != nil {
		c.Methods = by.Methods
	}
	c.PreferStatic = c.PreferStatic || by.PreferStatic
	c.Background = c.Background || by.Background
	c.Schedule = cmp.Or(by.Schedule, c.Schedule)
	c.RateLimit = cmp.Or(by.RateLimit, c.RateLimit)
	return c
}

// settleConfig completes a config with what the function's name says, and checks it: what clients declare was read by
// nobody yet. The error says what is wrong in one line.
func settleConfig(c *weir.FunctionConfig, function string) error {
	c.Background = c.Background || strings.HasSuffix(function, site.BackgroundSuffix)
	if len(c.Paths) > insource.MaxPaths || len(c.ExcludedPaths) > insource.MaxPaths {
		return fmt.Errorf("it asks for more than %d paths", insource.MaxPaths)
	}
	for _, p := range slices.Concat(c.Paths, c.ExcludedPaths) {
		if _, err := route.Parse(p); err != nil {
			return fmt.Errorf("%.80q is no path: %w", p, err)
		}
	}
	for _, m := range c.Methods {
		if !slices.Contains(insource.Methods, m) {
			return fmt.Errorf("%.40q is no method that a function can have", m)
		}
	}
	if !slices.Contains([]weir.Form{"", weir.FormV1, weir.FormV2, weir.FormStream}, c.Form) {
		return fmt.Errorf("%.40q is no form of a handler", c.Form)
	}
	if c.Schedule != "" {
		if _, err := cron.Parse(c.Schedule); err != nil {
			return fmt.Errorf("%.80q is no schedule: %w", c.Schedule, err)
		}
	}
	if c.RateLimit != nil {
		return c.RateLimit.Check()
	}
	return nil
}

// conflicts tells which functions ask for the same path and method: the first one gets it.
func conflicts(functions []Function) []string {
	type claim struct{ path, method string }
	first := map[claim]string{}
	var out []string
	for _, f := range functions {
		methods := f.Bundle.Config.Methods
		if methods == nil {
			methods = []string{""}
		}
		for _, p := range f.Bundle.Config.Paths {
			for _, m := range methods {
				name := f.Bundle.Function
				by, taken := first[claim{p, m}]
				if !taken {
					by, taken = first[claim{p, ""}]
				}
				if taken && by != name {
					out = append(out, fmt.Sprintf("%s is not reached by %s: %s has the same path", name, strings.TrimSpace(m+" "+p), by))
					continue
				}
				first[claim{p, m}] = name
			}
		}
	}
	return out
}
