package build

// Packages that are named only at run time, which no bundler sees: an engine of express's for views,
// a driver of sequelize's, a target of pino's.

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// unseen carries what external_node_modules names and, once, what the function's own package.json
// does and no code imports. It tells whether any of it was new.
func (b *bundler) unseen() bool {
	var asked []string
	for _, x := range b.fn.External {
		name := specifierName(x)
		dir := b.installed(filepath.Dir(b.entry), name)
		if b.members[dir] != nil && b.carried[dir] == nil {
			dir = "" // it is bundled, as Node can't run it
		}
		if dir != "" {
			b.later[edge{"", name, dir}] = true
			asked = append(asked, dir)
		}
	}
	if b.carry(asked) {
		return true
	}
	// Packages that are carried may not even have been read: any of them may require by a computed name.
	if b.guessed || len(b.carried) == 0 {
		return false
	}
	b.guessed = true
	return b.guess()
}

// guess carries the dependencies of the function's own package.json that no code imports, unless
// the function becomes too large by them: nobody asked for them.
func (b *bundler) guess() bool {
	home := b.ownManifest()
	if home == "" {
		return false
	}
	seen := map[string]bool{}
	for e := range b.edges {
		seen[e.to] = true
	}
	later, carried := maps.Clone(b.later), maps.Clone(b.carried)
	var dirs []string
	for name := range manifestAt(filepath.Join(home, "package.json")).Dependencies {
		if dir := b.installed(home, name); dir != "" && !seen[dir] {
			b.later[edge{"", name, dir}] = true
			dirs = append(dirs, dir)
		}
	}
	if !b.carry(dirs) {
		return false
	}
	all := maps.Clone(b.files)
	for dir := range b.carried {
		if err := all.addPackage(dir, dir, false); err != nil {
			b.later, b.carried = later, carried
			return false
		}
	}
	if all.fits() == nil {
		return true
	}
	b.later, b.carried = later, carried
	b.warnings = append(b.warnings, fmt.Sprintf("%s: the dependencies that no code imports are left out, as the function would be too large with them; "+
		"name those that it needs in external_node_modules", b.site.Rel(filepath.Join(home, "package.json"))))
	return false
}

// ownManifest gives the folder of the package.json that holds for the function's code if it lies in
// the function's own folder, else "". The site's holds much that is no function's.
func (b *bundler) ownManifest() string {
	own := filepath.Dir(b.fn.Main)
	if filepath.Base(own) != b.fn.Name || own == b.site.Base {
		return ""
	}
	for d := filepath.Dir(b.entry); within(own, d); d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "package.json")); err == nil {
			return d
		}
	}
	return ""
}

// installed gives the folder of a package that may be carried, "" if there is none by that name.
func (b *bundler) installed(dir, name string) string {
	if !validPackageName(name) || strings.HasPrefix(name, "@intrinsic/") {
		return ""
	}
	if d := b.memo.find(dir, name).dir; d != "" && b.foreign(d) {
		return d
	}
	return ""
}

// missing tells which packages of external_node_modules are not installed.
func (b *bundler) missing() []string {
	var out []string
	for _, x := range b.fn.External {
		if name := specifierName(x); !strings.HasPrefix(name, "@intrinsic/") && b.installed(filepath.Dir(b.entry), name) == "" {
			out = append(out, fmt.Sprintf("external_node_modules: %s is not installed, so it is not taken along; install it (npm install %s)", name, name))
		}
	}
	return out
}
