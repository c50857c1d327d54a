package build

// Packages of the workspace: folders of the site's own that are linked into a node_modules. Their
// code is bundled like the site's, which may be TypeScript, unless it looks for its own files: then
// they are carried as files like other packages.

import (
	"path/filepath"
	"regexp"
	"slices"

	"github.com/evanw/esbuild/pkg/api"
)

// member is a package of the workspace that the code imports.
type member struct {
	name   string
	link   string // in a node_modules
	source bool   // Node can't run it as it is
}

// join notes the member that an import led to, if it led to one, and tells whether its looks or the
// site ask for it to be carried.
func (p *pass) join(a api.OnResolveArgs, from pkg, file string) (of pkg, carry bool) {
	name := specifierName(a.Path)
	at := p.memo.find(a.ResolveDir, name)
	if at.dir == "" || !within(at.dir, file) || !p.foreign(at.dir) {
		return pkg{}, false
	}
	of = pkg{name, at.dir}
	carry = javascript(file) && (p.named(name) || p.memo.needsFiles(of))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edges[edge{from.dir, name, at.dir}] = true
	m := p.members[at.dir]
	if m == nil {
		m = &member{name, at.at, false}
		p.members[at.dir] = m
	}
	if at.at < m.link { // always the same, whichever import comes first
		m.name, m.link = name, at.at
	}
	return of, carry && !m.source
}

// javascript tells whether a file's name is one of JavaScript, which Node runs as it is.
func javascript(file string) bool {
	return slices.Contains([]string{".js", ".cjs", ".mjs"}, filepath.Ext(file))
}

// foreign tells whether a folder is one that may be carried as a package: a folder that the build
// may read, and neither the site itself, which a workspace links as well, nor hidden: a link of a package's
// may lead to .git.
func (b *bundler) foreign(dir string) bool {
	_, registry := packageOf(dir)
	return !within(dir, b.entry) && b.allowed(dir) && (registry || !private(b.placeOf(dir)))
}

// memberOf gives the member in a folder, nil if there is none.
func (b *bundler) memberOf(dir string) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.members[dir]
}

// memberAt gives the member that a file belongs to.
func (b *bundler) memberAt(file string) (of pkg, m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dir := deepest(b.members, file)
	if m = b.members[dir]; m == nil {
		return pkg{}, nil
	}
	return pkg{m.name, dir}, m
}

var (
	moduleSyntax = regexp.MustCompile(`(?m)^\s*(?:import\b\s*[^(.\s]|export\b)`)
	// noExtension is an import of a path as only bundlers understand it.
	noExtension = regexp.MustCompile(`\b(?:from|import)\s*\(?["']\.{1,2}(?:/[^"'/.]*)*["']`)
)

// inspect looks at a file of a member that is being bundled.
func (p *pass) inspect(src, file string) {
	of, m := p.memberAt(file)
	if m == nil {
		return
	}
	module := p.memo.moduleType(file) == "module"
	needs := scanPackage(src)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !javascript(file) || module && noExtension.MatchString(src) || !module && moduleSyntax.MatchString(src) {
		m.source = true
	} else if needs {
		p.suspect[of.dir] = true
	}
}

// runs tells whether Node can run a member, and the members that it needs, as they are.
func (b *bundler) runs(dir string, seen map[string]bool) bool {
	if _, ok := packageOf(dir); ok || seen[dir] {
		return true
	}
	seen[dir] = true
	if m := b.members[dir]; m != nil && m.source {
		return false
	}
	for _, to := range b.wants(dir) {
		if !b.runs(to, seen) {
			return false
		}
	}
	return true
}
