package build

// What esbuild asks while it bundles: where an import leads, and what is in a file. Here is decided
// what stays outside of the bundle, and nothing outside of the site is read.

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// maxSource bounds one source file, in bytes.
const maxSource = 64 << 20

// pass is what one pass of bundling finds. Its methods are called by esbuild at the same time.
type pass struct {
	*bundler
	resolver api.PluginBuild

	flagged       map[string]bool   // folders of packages found to need their files
	suspect       map[string]bool   // folders of members found to need their files
	external      map[edge]bool     // imports of carried packages that the bundle holds
	refs          map[string]string // files of the site that the code names: place in the bundle, path
	tooLarge      map[string]bool   // folders of the site that the code names, and which stay out
	importsModule bool              // the bundle imports an ES module that is carried, or WebAssembly
	result        api.BuildResult   // of the last pass

	sources map[string]string             // text of the modules by path, as it was given to esbuild but for withPaths
	outside map[string]map[string]outside // by importing file and specifier: imports that lead out of the bundle
}

// outside is an import of something that is not in the bundle.
type outside struct {
	path    string // as seen from the entry
	dynamic bool   // only import() names it
	module  bool   // an import statement names it, and it is an ES module or WebAssembly
}

// aModule marks what resolve gives for such an import.
type aModule struct{}

// asked marks resolutions that the plugin itself asks for.
type asked struct{}

func (p *pass) plugin() api.Plugin {
	return api.Plugin{Name: "weir", Setup: func(build api.PluginBuild) {
		p.resolver = build
		build.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			res, err := p.resolve(a)
			if res.External {
				p.leadsOut(a, res)
			}
			return res, err
		})
		build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "file"}, p.load)
	}}
}

// leadsOut notes an import of something that is not in the bundle.
func (p *pass) leadsOut(a api.OnResolveArgs, to api.OnResolveResult) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outside[a.Importer] == nil {
		p.outside[a.Importer] = map[string]outside{}
	}
	o, known := p.outside[a.Importer][a.Path]
	dynamic := a.Kind == api.ResolveJSDynamicImport && (!known || o.dynamic)
	_, module := to.PluginData.(aModule)
	p.outside[a.Importer][a.Path] = outside{to.Path, dynamic, module || o.module}
}

// resolve decides about one import; a zero result leaves it to esbuild.
func (p *pass) resolve(a api.OnResolveArgs) (api.OnResolveResult, error) {
	var zero api.OnResolveResult
	if _, own := a.PluginData.(asked); own || a.Kind == api.ResolveEntryPoint || a.Namespace != "file" {
		return zero, nil
	}
	if strings.HasPrefix(a.Path, "@intrinsic/") {
		return refuse("%q can be used only in the bootstrap file that is the function's own file: %q is provided by Weir, never by a registry", a.Path, "@intrinsic/lambda"), nil
	}
	from, fromPackage := p.owner(a.Importer)
	if p.beside(a, from, fromPackage) {
		return zero, nil
	}
	if filepath.IsAbs(a.Path) || strings.HasPrefix(a.Path, "file:") {
		return p.barred(from, fromPackage, a.Path, refuse("%q is an absolute path: it would not be there at run time", a.Path)), nil
	}
	if p.climbsOut(a) {
		return p.barred(from, fromPackage, a.Path, p.outOfSite(a)), nil
	}
	res := p.memo.resolve(p.resolver, a)
	switch {
	case res.failed:
		return p.unresolved(a, from, fromPackage), nil
	case res.aside:
		return zero, nil
	case !p.allowed(res.path):
		return p.barred(from, fromPackage, a.Path, refuse("%q leads out of the site", a.Path)), nil
	}
	to, toPackage := p.owner(res.path)
	if !toPackage && bare(a.Path) && p.leavesItself(a, res.path) {
		return p.barred(from, fromPackage, a.Path, refuse("%q leads out of its package", a.Path)), nil
	}
	if !fromPackage {
		from, _ = p.memberAt(a.Importer) // imports of its own count if it is carried one day
	}
	if !toPackage && bare(a.Path) {
		to, toPackage = p.join(a, from, res.path)
	}
	switch {
	case fromPackage && a.Kind == api.ResolveJSRequireResolve:
		return p.keepWhole(from, a.Path), nil
	case fromPackage && !toPackage && !bare(a.Path):
		return p.keepWhole(from, a.Path), nil // reaches for the site's own files
	case toPackage && to.dir != from.dir:
		return p.crossing(a, from, to, res.path, fromPackage), nil
	case a.Kind == api.ResolveJSRequireResolve || compiled(res.path):
		if fromPackage {
			return p.keepWhole(from, a.Path), nil
		}
		return p.compiledFile(a, res.path), nil
	}
	return zero, nil
}

// compiled tells whether a file is one that Node loads and no bundler can hold.
func compiled(file string) bool {
	ext := filepath.Ext(file)
	return ext == ".node" || ext == ".wasm"
}

// compiledFile takes along a file that the site's own code loads and no bundler can hold.
func (p *pass) compiledFile(a api.OnResolveArgs, file string) api.OnResolveResult {
	res := p.reference(file)
	if filepath.Ext(file) == ".wasm" && a.Kind != api.ResolveJSRequireResolve {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.importsModule = true
		if a.Kind == api.ResolveJSImportStatement {
			res.PluginData = aModule{}
		}
	}
	return res
}

// crossing decides about an import of another package.
func (p *pass) crossing(a api.OnResolveArgs, from, to pkg, file string, fromPackage bool) api.OnResolveResult {
	name, spec := specifierName(a.Path), a.Path
	if apart := p.apart[to.dir]; apart != "" || !bare(a.Path) || p.memo.find(filepath.Dir(a.Importer), name).dir != to.dir {
		// Named by a path or an alias, which mean something only where the source stood, or by a name that
		// leads elsewhere in the bundle.
		name = to.name
		at, ok := p.plain(to.dir)
		switch {
		case apart != "":
			at = apart
		case !ok:
			at = path.Join("node_modules", name)
		}
		rel, _ := filepath.Rel(to.dir, file)
		spec = relative(path.Dir(p.rel), path.Join(at, filepath.ToSlash(rel)))
	}
	// The disk is asked before p.mu is taken.
	_, carried := p.carried[to.dir]
	must := !carried && (a.Kind == api.ResolveJSRequireResolve || compiled(file) || p.mustCarry(to))
	module := carried && a.Kind == api.ResolveJSImportStatement && p.memo.moduleType(file) == "module"
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edges[edge{from.dir, name, to.dir}] = true
	switch {
	case must:
		p.flagged[to.dir] = true
		return api.OnResolveResult{Path: spec, External: true}
	case !carried:
		return api.OnResolveResult{}
	}
	if !fromPackage {
		from = pkg{} // a member that is bundled is the site's own code
	}
	p.external[edge{from.dir, name, to.dir}] = true
	res := api.OnResolveResult{Path: spec, External: true}
	if module {
		p.importsModule, res.PluginData = true, aModule{}
	}
	return res
}

// mustCarry tells whether the site or a package's own looks ask for it to be carried.
func (p *pass) mustCarry(to pkg) bool {
	switch p.fn.Bundler {
	case "nft", "zisi", "none":
		return true
	}
	return p.named(to.name) || p.memo.needsFiles(to)
}

// named tells whether external_node_modules names a package.
func (b *bundler) named(name string) bool {
	return slices.ContainsFunc(b.fn.External, func(x string) bool { return specifierName(x) == name })
}

// unresolved decides about an import that leads nowhere. In the site's own code that is an error,
// which esbuild words (and forgives where the code catches it). A package is another's code, and
// what it does not find it may never need: as in Node, it fails when it is reached.
func (p *pass) unresolved(a api.OnResolveArgs, from pkg, fromPackage bool) api.OnResolveResult {
	switch {
	case fromPackage && !bare(a.Path):
		return p.keepWhole(from, a.Path)
	case fromPackage, p.named(specifierName(a.Path)):
		return api.OnResolveResult{Path: a.Path, External: true}
	}
	return api.OnResolveResult{}
}

// barred answers an import of what none may have: a package's is the package's own trouble, the site's an error.
func (p *pass) barred(from pkg, fromPackage bool, spec string, refusal api.OnResolveResult) api.OnResolveResult {
	if fromPackage {
		return p.keepWhole(from, spec)
	}
	return refusal
}

// keepWhole flags the importing package, whose code then is not part of the bundle.
func (p *pass) keepWhole(of pkg, spec string) api.OnResolveResult {
	p.flag(of.dir)
	return api.OnResolveResult{Path: spec, External: true}
}

func (p *pass) flag(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flagged[dir] = true
}

// reference takes along a file of the site that the code names, at its own place.
func (p *pass) reference(file string) api.OnResolveResult {
	name := p.placeOf(file)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs[name] = file
	return api.OnResolveResult{Path: relative(path.Dir(p.rel), name), External: true}
}

// load reads a file. Source that asks where it is gets the answer that was true for the source, see
// withPaths.
func (p *pass) load(a api.OnLoadArgs) (api.OnLoadResult, error) {
	if problem := p.readable(a.Path); problem != "" {
		if of, ok := p.owner(a.Path); ok {
			p.flag(of.dir)
		}
		name := p.site.Rel(a.Path)
		if !within(p.site.Root, a.Path) {
			name = "a file" // callers of the function may read this, and what there is on the machine is none of their business
		}
		return failed("%s can't be read: %s", name, problem), nil
	}
	switch filepath.Ext(a.Path) {
	case ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx":
	default:
		return api.OnLoadResult{}, nil
	}
	if len(a.With) > 0 {
		return api.OnLoadResult{}, nil
	}
	src, err := os.ReadFile(a.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	of, inPackage := p.owner(a.Path)
	text := string(src)
	switch dir, ok := climbs(text); {
	case !ok || within(p.site.Root, filepath.Join(filepath.Dir(a.Path), dir)):
	case inPackage:
		p.flag(of.dir)
		text = "" // not part of the bundle; the pass is made again without it
	default:
		return failed("%s: a computed require or import of %q leads out of the site", p.site.Rel(a.Path), dir+"..."), nil
	}
	if inPackage {
		// Maps of packages are not used. One that is spoken of elsewhere in the source is a string of
		// the package's, or a trap.
		if scanPackage(text) || p.format == api.FormatESModule && p.memo.sloppy(text, a.Path) {
			p.flag(of.dir)
		}
		if mentions(text, mapMark) {
			if text = lastMapComment.ReplaceAllString(text, "\n"); mapComment.MatchString(text) {
				p.flag(of.dir)
			}
		}
	} else {
		p.inspect(text, a.Path)
	}
	text = p.disarm(text, a.Path)
	if !inPackage {
		p.referencesIn(text, a.Path)
		p.filesIn(text, a.Path)
		p.computedIn(text, a.Path)
	}
	text = p.keep(a.Path, text)
	return api.OnLoadResult{Contents: &text, ResolveDir: filepath.Dir(a.Path), Loader: api.LoaderDefault}, nil
}

// keep keeps the text of a file for a pack, and gives what a bundle needs of it.
func (p *pass) keep(file, text string) string {
	p.mu.Lock()
	p.sources[file] = text
	p.mu.Unlock()
	name := p.placeOf(file)
	if file == p.entry {
		name = p.output()
	}
	return withPaths(text, name)
}

// requireCall is a call of a function that is called like require, with a string.
var requireCall = regexp.MustCompile(`\b\w*[rR]equire\w*(?:\.resolve)?\(\s*["']([^"'\n]+)["']\s*\)`)

// referencesIn takes along what an ES module loads by a require that it made with createRequire,
// which esbuild does not follow.
func (p *pass) referencesIn(text, file string) {
	if !strings.Contains(text, "createRequire") {
		return
	}
	for _, m := range requireCall.FindAllStringSubmatch(text, -1) {
		spec, dir := m[1], filepath.Dir(file)
		if bare(spec) {
			p.namedLater(specifierName(spec), dir)
			continue
		}
		for _, ext := range []string{"", ".js", ".json", ".node", ".cjs"} {
			target := filepath.Join(dir, filepath.FromSlash(spec)+ext)
			if real, err := filepath.EvalSymlinks(target); err == nil && within(p.site.Base, real) && p.readable(real) == "" {
				p.reference(real)
				break
			}
		}
	}
}

// computedIn carries the packages of which a source names a file by a computed path.
func (p *pass) computedIn(text, file string) {
	for _, expression := range computedFiles {
		for _, m := range expression.FindAllStringSubmatch(text, -1) {
			p.namedLater(m[1], filepath.Dir(file))
		}
	}
}

// namedLater carries a package that the site's own code in dir loads in a way that esbuild does not follow.
func (p *pass) namedLater(name, dir string) {
	if d := p.installed(dir, name); d != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.edges[edge{"", name, d}] = true
		p.external[edge{"", name, d}] = true
		p.flagged[d] = true
	}
}

// owner gives the package that a file belongs to. Besides what lies in node_modules that may be a
// package of the workspace that is carried.
func (p *pass) owner(file string) (pkg, bool) {
	if of, ok := packageOf(file); ok {
		return of, true
	}
	dir := deepest(p.carried, file)
	if dir == "" {
		return pkg{}, false
	}
	if m := p.memberOf(dir); m != nil {
		return pkg{m.name, dir}, true
	}
	return pkg{manifestAt(filepath.Join(dir, "package.json")).Name, dir}, true
}

// deepest gives, of the folders that are keys, the innermost one that holds a file; "" if none does.
func deepest[V any](folders map[string]V, file string) string {
	found := ""
	for dir := range folders {
		if within(dir, file) && len(dir) > len(found) {
			found = dir
		}
	}
	return found
}

// placeOf gives the place that a source file has, or would have, in the bundle: its place in the
// site. What lies above the site is named as if it were installed in it.
func (b *bundler) placeOf(file string) string {
	rel, err := filepath.Rel(b.site.Base, file)
	if err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	if of, ok := packageOf(file); ok {
		rel, _ = filepath.Rel(of.dir, file)
		return path.Join("node_modules", of.name, filepath.ToSlash(rel))
	}
	rel, _ = filepath.Rel(b.site.Root, file)
	return path.Join("node_modules", filepath.ToSlash(rel))
}

// relative gives the specifier of a file as seen from a folder of the bundle.
func relative(dir, name string) string {
	rel, err := filepath.Rel(dir, name)
	if err != nil {
		return "./" + name
	}
	if rel = filepath.ToSlash(rel); !strings.HasPrefix(rel, "../") {
		rel = "./" + rel
	}
	return rel
}

func failed(format string, args ...any) api.OnLoadResult {
	return api.OnLoadResult{Errors: []api.Message{{Text: fmt.Sprintf(format, args...)}}}
}

func refuse(format string, args ...any) api.OnResolveResult {
	return api.OnResolveResult{Errors: []api.Message{{Text: fmt.Sprintf(format, args...)}}}
}
