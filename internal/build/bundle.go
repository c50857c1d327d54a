package build

// One function's bundle: its own code and every package that allows it in one file by esbuild, all
// other packages as files beside it. What can't be bundled shows only while bundling, so that
// happens in passes: each pass may find packages to carry as files, until none is new.

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

// maxPasses bounds the passes; real sites take two or three. Each but the last carries a package
// more, so only a site that is made for it comes near.
const maxPasses = 64

// edge is an import from one package of another: by the importing package's folder ("" for the
// site's own code), the name used, and the folder that it led to.
type edge struct{ from, name, to string }

// bundler makes one function's bundle.
type bundler struct {
	site     *site.Site
	fn       site.Function
	entry    string // absolute, real
	rel      string // entry relative to the bundle, with slashes
	files    tree
	format   api.Format
	carried  map[string]map[string]string // folders of packages carried as files, with what each needs by name
	apart    map[string]string            // places of packages that stand where no name leads, see place
	later    map[edge]bool                // imports that are made only at run time, see unseen
	guessed  bool                         // later holds guesses, too
	warnings []string
	without  func(place string) bool // files that the site takes away by included_files
	memo     *memo
	packing  bool  // for a pack: an ES module is no reason to carry what it imports, see packed
	done     *pass // the last pass, when run has succeeded

	mu      sync.Mutex         // for what passes find while esbuild calls them, here and in pass
	edges   map[edge]bool      // every import between packages that any pass saw
	members map[string]*member // by folder
}

func newBundler(s *site.Site, f site.Function, entry string, files tree, m *memo) *bundler {
	return &bundler{site: s, fn: f, entry: entry, files: files, without: site.Without(f.Included), memo: m, carried: map[string]map[string]string{}, apart: map[string]string{},
		later: map[edge]bool{}, edges: map[edge]bool{}, members: map[string]*member{}}
}

// run fills the tree and gives the name of the entry file in it.
func (b *bundler) run(ctx context.Context) (string, error) {
	if err := b.locate(); err != nil {
		return "", err
	}
	for range maxPasses {
		p, res := b.pass(ctx)
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if b.learn(p, res) {
			continue
		}
		if f := b.betterFormat(p, res); f != b.format && !b.packing {
			b.format = f
			continue
		}
		if len(res.Errors) > 0 {
			return "", b.failure(res.Errors)
		}
		if b.unseen() {
			continue
		}
		at, more, err := b.place(p.external)
		if err != nil {
			return "", err
		}
		if len(more) > 0 {
			b.carry(more)
			continue
		}
		p.result, b.done = res, p
		return b.finish(p, at)
	}
	return "", broken(b.site.Rel(b.fn.Main), "its packages can't be arranged", "look for packages that need each other in several versions")
}

// locate finds the entry's place. It must lie in the site: that decides where it stands below
// /var/task, which is the site's layout.
func (b *bundler) locate() error {
	real, err := filepath.EvalSymlinks(b.entry)
	if err != nil {
		return broken(b.site.Rel(b.entry), "the handler's file can't be read", "name a file of the site")
	}
	rel, err := filepath.Rel(b.site.Base, real)
	if err != nil || !filepath.IsLocal(rel) {
		return broken(b.site.Rel(b.entry), "the handler's file lies outside of the site", "put it into the site")
	}
	b.entry, b.rel = real, filepath.ToSlash(rel)
	b.format = api.FormatCommonJS
	if b.memo.moduleType(real) == "module" && !b.packing {
		b.format = api.FormatESModule
	}
	return nil
}

// output gives the name of the bundle: the entry's, with an extension by which Node takes it for
// what it is.
func (b *bundler) output() string {
	base := strings.TrimSuffix(b.rel, path.Ext(b.rel))
	switch {
	case b.format == api.FormatESModule:
		return base + ".mjs"
	case b.files.typeOf(b.rel) == "module":
		return base + ".cjs"
	}
	return base + ".js"
}

// pass bundles once, with the packages in b.carried left out.
func (b *bundler) pass(ctx context.Context) (*pass, api.BuildResult) {
	p := &pass{bundler: b, flagged: map[string]bool{}, suspect: map[string]bool{}, external: map[edge]bool{},
		refs: map[string]string{}, tooLarge: map[string]bool{}, sources: map[string]string{}, outside: map[string]map[string]outside{}}
	opts := api.BuildOptions{
		EntryPoints:   []string{b.entry},
		AbsWorkingDir: b.site.Base,
		Outfile:       filepath.Join(b.site.Base, filepath.FromSlash(b.output())),
		Bundle:        true,
		Metafile:      true,
		Platform:      api.PlatformNode,
		Format:        b.format,
		Engines:       []api.Engine{{Name: api.EngineNode, Version: "20"}},
		Conditions:    []string{}, // as Node itself resolves: without the bundlers' "module"
		KeepNames:     true,
		Charset:       api.CharsetUTF8,
		LegalComments: api.LegalCommentsNone,
		// Map and sources are named relative to the bundle; the sources' text stays out of it.
		Sourcemap:      api.SourceMapLinked,
		SourcesContent: api.SourcesContentExclude,
		Define:         pathDefines,
		Banner:         map[string]string{"js": banner(b.format, path.Dir(b.rel))},
		LogLevel:       api.LogLevelSilent,
		LogOverride: map[string]api.LogLevel{
			"unsupported-require-call":   api.LogLevelWarning,
			"unsupported-dynamic-import": api.LogLevelWarning,
			"indirect-require":           api.LogLevelWarning,
		},
		Plugins: []api.Plugin{p.plugin()},
	}
	esbuild, err := api.Context(opts)
	if err != nil {
		return p, api.BuildResult{Errors: err.Errors}
	}
	defer esbuild.Dispose()
	stop := context.AfterFunc(ctx, esbuild.Cancel)
	defer stop()
	res := esbuild.Rebuild()
	res.Errors = append(res.Errors, p.judgePatterns(res)...)
	return p, res
}

// learn takes over what a pass found and tells whether another pass is needed.
func (b *bundler) learn(p *pass, res api.BuildResult) bool {
	for _, m := range res.Errors {
		b.flagAt(p, m)
	}
	for _, m := range res.Warnings {
		switch m.ID {
		case "unsupported-require-call", "unsupported-dynamic-import", "indirect-require":
			if !harmless(m) {
				b.flagAt(p, m)
			}
		}
	}
	for dir := range p.suspect {
		if b.runs(dir, map[string]bool{}) {
			p.flagged[dir] = true
		}
	}
	return b.carry(sortedKeys(p.flagged))
}

// flagAt flags the package that a message is about.
func (b *bundler) flagAt(p *pass, m api.Message) {
	if m.Location == nil || m.Location.Namespace != "file" && m.Location.Namespace != "" {
		return
	}
	file := filepath.Join(b.site.Base, filepath.FromSlash(m.Location.File))
	if of, ok := packageOf(file); ok {
		p.flagged[of.dir] = true
	} else if of, _ := b.memberAt(file); of.dir != "" && m.ID != "" { // an error in it is the author's to mend
		p.suspect[of.dir] = true
	}
}

// harmless tells whether a message is about typeof require, which nobody calls.
func harmless(m api.Message) bool {
	if m.ID != "indirect-require" || m.Location == nil || m.Location.Column > len(m.Location.LineText) {
		return false
	}
	return typeofBefore.MatchString(m.Location.LineText[:m.Location.Column])
}

var typeofBefore = regexp.MustCompile(`\btypeof\s*\(?\s*$`)

// carry adds packages and all that they need to those carried as files, and tells whether any was
// new. A package that others carry must not be bundled as well: it would exist twice.
func (b *bundler) carry(dirs []string) bool {
	grown := false
	for todo := slices.Clone(dirs); len(todo) > 0; {
		dir := todo[0]
		todo = todo[1:]
		if _, ok := b.carried[dir]; ok {
			continue
		}
		grown = true
		all := b.wants(dir)
		b.carried[dir] = all
		for _, name := range sortedKeys(all) {
			todo = append(todo, all[name])
		}
	}
	return grown
}

// wants gives the packages that the one in dir may load, by name: what it declares, and what any pass
// saw it import.
func (b *bundler) wants(dir string) map[string]string {
	all := needs(dir)
	for e := range b.edges {
		if e.from == dir && all[e.name] == "" {
			all[e.name] = e.to
		}
	}
	maps.DeleteFunc(all, func(name, to string) bool { return strings.HasPrefix(name, "@intrinsic/") || !b.foreign(to) })
	return all
}

// topLevelAwait begins esbuild's error about an await outside of a function.
const topLevelAwait = `Top-level await is currently not supported with the "cjs"`

// betterFormat gives the module format that the bundle must have: that of the entry by Node's rules,
// but an ES module if the code, written as one, does what only those can: await at the top, or
// import an ES module that is not bundled.
func (b *bundler) betterFormat(p *pass, res api.BuildResult) api.Format {
	for _, m := range res.Errors {
		if strings.HasPrefix(m.Text, topLevelAwait) {
			return api.FormatESModule
		}
	}
	if p.importsModule && entryFormat(res.Metafile, b.rel) == "esm" {
		return api.FormatESModule
	}
	return b.format
}

// finish puts the bundle, the packages and the files that the code refers to into the tree.
func (b *bundler) finish(p *pass, at map[string]string) (string, error) {
	for _, pos := range sortedKeys(at) {
		_, registry := packageOf(at[pos])
		if err := b.files.addPackage(at[pos], pos, !registry); err != nil {
			return "", err
		}
	}
	for name, from := range p.refs {
		b.files.add(name, from)
	}
	for _, f := range p.result.OutputFiles {
		rel, err := filepath.Rel(b.site.Base, f.Path)
		if err != nil {
			return "", err
		}
		b.files[filepath.ToSlash(rel)] = source{data: f.Contents}
	}
	b.warnings = append(b.warnings, b.missing()...)
	for _, dir := range sortedKeys(p.tooLarge) {
		b.warnings = append(b.warnings, dir+": the code names this folder, which is too large to be taken along for that; "+
			"name the files that it reads in included_files")
	}
	for _, m := range p.result.Warnings {
		switch {
		case m.Location == nil || harmless(m):
		case !b.mayQuote(m.Location):
			b.warnings = append(b.warnings, notQuoted)
		default:
			b.warnings = append(b.warnings, fmt.Sprintf("%s: %s", b.position(m.Location), m.Text))
		}
	}
	return b.output(), nil
}

// failure makes one error of esbuild's. The first one is told in full: the others are often its
// consequences.
func (b *bundler) failure(msgs []api.Message) error {
	m := msgs[0]
	e := &weir.Error{Code: weir.Broken, Pos: weir.Position{File: b.site.Rel(b.fn.Main)}, Message: m.Text}
	if m.Location != nil && !b.mayQuote(m.Location) {
		e.Message = notQuoted
		return e
	}
	if m.Location != nil {
		e.Pos = b.position(m.Location)
	}
	if len(msgs) > 1 {
		e.Message += fmt.Sprintf(" (and %d more)", len(msgs)-1)
	}
	if name, ok := strings.CutPrefix(m.Text, "Could not resolve \""); ok {
		name = strings.TrimSuffix(name, "\"")
		e.Remedy = "check the path"
		if bare(name) {
			e.Remedy = fmt.Sprintf("install it (npm install %s), or catch the error of require if it is optional", specifierName(name))
		}
	} else if len(m.Notes) > 0 && m.PluginName == "" {
		e.Remedy = strings.TrimSuffix(m.Notes[0].Text, ":")
	}
	return e
}

// notQuoted stands for what esbuild says of a file of the machine's: it quotes what it finds there.
const notQuoted = "a tsconfig.json or package.json lies outside of the site, or extends one that does"

// mayQuote tells whether a message is about a file that a build may read. esbuild reads each tsconfig.json and
// package.json by itself, wherever a link or "extends" leads.
func (b *bundler) mayQuote(l *api.Location) bool {
	return l.Namespace != "" && l.Namespace != "file" || b.allowed(filepath.Join(b.site.Base, filepath.FromSlash(l.File)))
}

// position gives a place in the site's files as the author would name it.
func (b *bundler) position(l *api.Location) weir.Position {
	file := filepath.Join(b.site.Base, filepath.FromSlash(l.File))
	return weir.Position{File: b.site.Rel(file), Line: l.Line, Column: l.Column + 1}
}

// allowed tells whether a build may read a file. The site's own folder, its repository (without
// hidden folders) and the node_modules of every folder above are the site's; nothing else of the
// machine is, whichever path or link leads there.
func (b *bundler) allowed(file string) bool {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return false
	}
	if within(b.site.Base, real) {
		return true
	}
	for d := b.site.Base; ; d = filepath.Dir(d) {
		if within(filepath.Join(d, "node_modules"), real) {
			return true
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if !within(b.site.Root, real) {
		return false
	}
	rel, err := filepath.Rel(b.site.Root, real)
	if err != nil {
		return false
	}
	own, _, _ := strings.Cut(rel, "node_modules")
	return !strings.HasPrefix(own, ".") && !strings.Contains(own, "/.")
}

// readable checks that a file may be read and is one whose reading ends.
func (b *bundler) readable(file string) string {
	if !b.allowed(file) {
		return "it lies outside of the site"
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxSource {
		return "it is not a regular file of a sensible size"
	}
	return ""
}
