package build

// What a package may not reach: the site's own files. Most of that plugin.go decides, import by import; here
// is what no import shows by itself.

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// leavesItself tells whether an import led out of the package that it names by what the package says of itself:
// its "main", or a link in it. A path of the site's tsconfig.json, which none in a node_modules heeds, is
// no such thing.
func (p *pass) leavesItself(a api.OnResolveArgs, file string) bool {
	at := p.memo.find(a.ResolveDir, specifierName(a.Path))
	if _, registry := packageOf(at.dir); !registry || within(at.dir, file) {
		return false
	}
	a.ResolveDir = strings.TrimSuffix(at.at, "/"+specifierName(a.Path))
	a.Importer = filepath.Join(a.ResolveDir, "x.js")
	return p.memo.resolve(p.resolver, a).path == file
}

// climbsOut tells whether an import names a file that lies neither in the site nor in the node_modules of a folder
// above. esbuild is not asked about it, as the kernel does not let it look: see confine.
func (p *pass) climbsOut(a api.OnResolveArgs) bool {
	if !strings.HasPrefix(a.Path, ".") {
		return false
	}
	to := filepath.Join(a.ResolveDir, filepath.FromSlash(a.Path))
	_, installed := packageOf(to)
	return !installed && !within(p.site.Root, to)
}

// outOfSite is what an import of the site's own is answered that climbs out of it.
func (p *pass) outOfSite(a api.OnResolveArgs) api.OnResolveResult {
	if _, err := os.Stat(filepath.Join(a.ResolveDir, filepath.FromSlash(a.Path))); err != nil {
		return refuse("Could not resolve %q", a.Path)
	}
	return refuse("%q leads out of the site", a.Path)
}

// pattern is a computed import that esbuild took for one of all files that its path may mean.
type pattern struct {
	file string
	of   pkg    // whose code it is in; none: the site's own
	dir  string // the real path of the folder that its path begins in
}

// patterns gives those of a pass. In the metafile they look like imports of something external.
func (p *pass) patterns(meta metafile) []pattern {
	var out []pattern
	for key, input := range meta.Inputs {
		file := filepath.Join(p.site.Base, filepath.FromSlash(key))
		known := map[string]bool{}
		for _, to := range p.outside[file] {
			known[to.path] = true
		}
		for _, i := range input.Imports {
			fixed, _, computed := strings.Cut(i.Path, "*")
			if !i.External || !computed || bare(i.Path) || known[i.Path] {
				continue
			}
			dir := filepath.Join(filepath.Dir(file), filepath.FromSlash(path.Dir(fixed+"x")))
			if real, err := filepath.EvalSymlinks(dir); err == nil {
				dir = real
			}
			of, _ := p.owner(file)
			out = append(out, pattern{file, of, dir})
		}
	}
	return out
}

// judgePatterns flags the packages whose computed imports led to other files than their own, and gives the errors
// of the site's own that lead out of it: esbuild asks nobody whether they may.
func (p *pass) judgePatterns(res api.BuildResult) (errs []api.Message) {
	var meta metafile
	if json.Unmarshal([]byte(res.Metafile), &meta) != nil {
		return nil // it failed
	}
	patterns := p.patterns(meta)
	if len(patterns) == 0 {
		return nil
	}
	named := map[string]bool{p.rel: true}
	for _, input := range meta.Inputs {
		for _, i := range input.Imports {
			named[i.Path] = true
		}
	}
	stray := false // a file that is there by a link
	for key := range meta.Inputs {
		file := filepath.Join(p.site.Base, filepath.FromSlash(key))
		stray = stray || !named[key] && !anyHolds(patterns, file)
	}
	for _, pt := range patterns {
		switch {
		case pt.of.dir == "" && !within(p.site.Root, pt.dir):
			errs = append(errs, api.Message{Text: p.site.Rel(pt.file) + ": a computed require or import leads out of the site"})
		case pt.of.dir != "" && (stray || !within(pt.of.dir, pt.dir)):
			p.flagged[pt.of.dir] = true
		}
	}
	return errs
}

func anyHolds(patterns []pattern, file string) bool {
	for _, pt := range patterns {
		if within(pt.dir, file) {
			return true
		}
	}
	return false
}
