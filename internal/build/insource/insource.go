// Package insource reads what the source of a function says of it: which form its handler has, and
// `export const config` of functions v2. The rules are those of Netlify's own bundler,
// @netlify/zip-it-and-ship-it (src/runtimes/node/in_source_config). It runs none of the source: what does not
// stand there as a literal, or a constant that is one, is an error. It must not know what a function is built to.
package insource

// From the values of a config to what they mean.

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/route"
	"github.com/weir-run/weir/internal/weir"
)

// Config is what a source says.
type Config struct {
	weir.FunctionConfig
	Bundler  string   // nodeBundler, "" if not set
	Included []string // includedFiles: globs, relative to the folder of the source
	External []string // externalNodeModules
	Warnings []string // one line each, for the author
}

// MaxPaths bounds the patterns of one member of a config.
const MaxPaths = 100

// keys are the members of a config that Netlify knows.
var keys = []string{"path", "excludedPath", "method", "preferStatic", "rateLimit", "schedule", "background", "generator", "name",
	"nodeBundler", "includedFiles", "externalNodeModules", "ignoredNodeModules", "nodeVersion", "region", "memory", "vcpu", "timeout", "onDemand"}

// Methods are those that a function can have, as Netlify takes them.
var Methods = []string{"GET", "POST", "PUT", "PATCH", "OPTIONS", "DELETE", "HEAD"}

// Read reads a source; file is its name as its author would write it, whose extension tells the language.
// The error is a *weir.Error with the position. A source that can't be parsed says nothing: that is for
// the bundler to tell.
func Read(src []byte, file string) (Config, error) {
	m := parse(src, file)
	if m == nil {
		return Config{}, nil
	}
	c := Config{FunctionConfig: weir.FunctionConfig{Form: m.form()}}
	r := &reader{module: m}
	if c.Form != weir.FormV2 {
		return c, c.takeScheduled(r)
	}
	config, err := r.config()
	if err != nil || config == nil {
		return c, err
	}
	return c, c.take(r, config)
}

// take reads every member that means something here.
func (c *Config) take(r *reader, config *object) error {
	for _, name := range config.names {
		if !slices.Contains(keys, name) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: config.%.40q is unknown and means nothing; expected one of %s",
				r.pos(config.members[name]), name, strings.Join(keys, ", ")))
		}
	}
	texts := func(name string) ([]text, error) { return r.texts(config, name) }
	var err error
	if c.Paths, err = paths(texts, "path"); err != nil {
		return err
	}
	if c.ExcludedPaths, err = paths(texts, "excludedPath"); err != nil {
		return err
	}
	verbs, err := texts("method")
	if err != nil {
		return err
	}
	for _, v := range verbs {
		method := strings.ToUpper(v.value)
		if !slices.Contains(Methods, method) {
			return invalid(v.at, "config.method: %.40q is no method that a function can have", v.value).with("expected " + strings.Join(Methods, ", "))
		}
		if !slices.Contains(c.Methods, method) {
			c.Methods = append(c.Methods, method)
		}
	}
	if c.PreferStatic, err = r.flag(config, "preferStatic"); err != nil {
		return err
	}
	if c.Background, err = r.flag(config, "background"); err != nil {
		return err
	}
	if err := c.takeSchedule(texts); err != nil {
		return err
	}
	if c.RateLimit, err = r.rateLimit(config); err != nil {
		return err
	}
	if err := c.takeBuild(texts); err != nil {
		return err
	}
	for name, why := range map[string]string{
		"timeout": "set limits.timeout in weir.toml instead",
		"memory":  "set limits.memory in weir.toml instead",
		"vcpu":    "set limits.cpu in weir.toml instead",
	} {
		if m, ok := config.members[name]; ok {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s: config.%s has no effect: %s", r.pos(m), name, why))
		}
	}
	slices.Sort(c.Warnings)
	return nil
}

// takeBuild reads the members that say how the function is bundled.
func (c *Config) takeBuild(texts func(string) ([]text, error)) error {
	bundler, err := texts("nodeBundler")
	if err != nil {
		return err
	}
	if len(bundler) > 0 {
		if c.Bundler = bundler[0].value; !slices.Contains(weir.Bundlers, c.Bundler) || len(bundler) > 1 {
			return invalid(bundler[0].at, "config.nodeBundler: %.40q is unknown", c.Bundler).with("expected one of " + strings.Join(weir.Bundlers, ", "))
		}
	}
	included, err := texts("includedFiles")
	if err != nil {
		return err
	}
	c.Included = values(included)
	external, err := texts("externalNodeModules")
	c.External = values(external)
	return err
}

// paths reads patterns of paths.
func paths(texts func(string) ([]text, error), name string) ([]string, error) {
	given, err := texts(name)
	if len(given) > MaxPaths {
		return nil, invalid(given[MaxPaths].at, "config.%s has %d entries, and may have %d", name, len(given), MaxPaths).
			with("name several paths by one pattern, such as /api/:id or /files/*")
	}
	for _, g := range given {
		if _, bad := route.Parse(g.value); bad != nil {
			return nil, invalid(g.at, "config.%s: %.80q is no path: %v", name, g.value, bad).
				with("write a path such as /api/:id or /files/*; in front of a character that means something, \\\\ takes its meaning")
		}
	}
	return values(given), err
}

func values(texts []text) []string {
	var out []string
	for _, t := range texts {
		if !slices.Contains(out, t.value) {
			out = append(out, t.value)
		}
	}
	return out
}

// fault is an error of a config that is being put together.
type fault weir.Error

func invalid(at weir.Position, format string, args ...any) *fault {
	return &fault{Code: weir.Broken, Pos: at, Message: fmt.Sprintf(format, args...)}
}

func (f *fault) with(remedy string) error {
	e := weir.Error(*f)
	e.Remedy = remedy
	return &e
}
