package build

// A function's code as a pack: every module a function of its own, grouped by package, as Node would
// run it from its file. A bundle loads as fast, but in it nobody can tell one package's code from
// another's. The shim loads packs (internal/runtime/shim/pack.cjs).
//
//	.weir/pack.js       one script for each package, one after the other, then what is JSON
//	.weir/pack.json     which modules and packages there are, and where each import leads
//	.weir/pack.js.map   a source map with a section for each module
//
// What is carried as files in a bundle is in a pack, too, and in the same places.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// maxModules bounds the modules of a pack. The largest packages that functions use have a few thousand.
const maxModules = 50000

// packIndex is pack.json. The first module is the handler's.
type packIndex struct {
	Modules  []*packModule  `json:"modules"`
	Packages []*packPackage `json:"packages"`
}

// packPackage is a package, or the site's own code, and its script. It is a function that gives the
// functions of the package's modules, in their order.
type packPackage struct {
	Name  string `json:"name"`            // "" for the site's own code
	At    int    `json:"at"`              // offset of the script in pack.js, in bytes
	Size  int    `json:"size"`            // of the script, in bytes
	Line  int    `json:"line"`            // of pack.js on which it begins, from 0
	ASCII bool   `json:"ascii,omitempty"` // it holds nothing else, so each byte is a character
}

// packModule is one module.
type packModule struct {
	File    string            `json:"file"`              // the place that it would have as a file
	Package int               `json:"package"`           // index of its package
	ESM     bool              `json:"esm,omitempty"`     // it was an ES module
	Meta    bool              `json:"meta,omitempty"`    // it uses import.meta
	Import  bool              `json:"import,omitempty"`  // it imports by a computed name
	Node    bool              `json:"node,omitempty"`    // import() gives CommonJS as Node does, not as Babel
	JSON    []int             `json:"json,omitempty"`    // it is JSON: offset and size in pack.js, in bytes
	Imports map[string]int    `json:"imports,omitempty"` // specifiers that lead to modules, by index
	Outside map[string]string `json:"outside,omitempty"` // specifiers that lead to files, as seen from the handler's
	Dynamic []string          `json:"dynamic,omitempty"` // of both, those that only import() names
	Before  []string          `json:"before,omitempty"`  // of Outside, ES modules: they are imported before it runs

	path string // on the host
}

// unpackable says why there is no pack of a function.
type unpackable string

func (u unpackable) Error() string { return string(u) }

// packed makes the pack of a function that b has bundled, from the files that were included. It gives
// all files of the function in that form and the name of the handler's.
func packed(ctx context.Context, b *bundler, included tree) (tree, string, error) {
	if b.done.importsModule || strings.HasSuffix(b.output(), ".mjs") {
		// The ES module's bundle carries old packages as files that a pack can hold.
		again := newBundler(b.site, b.fn, b.entry, included, b.memo)
		again.packing = true
		if _, err := again.run(ctx); err != nil {
			return nil, "", asUnpackable(err)
		}
		b = again
	}
	files := maps.Clone(b.files)
	for _, f := range b.done.result.OutputFiles {
		rel, err := filepath.Rel(b.site.Base, f.Path)
		if err != nil {
			return nil, "", err
		}
		delete(files, filepath.ToSlash(rel))
	}
	for name := range files {
		if first, _, _ := strings.Cut(name, "/"); first == weir.PackDir {
			return nil, "", unpackable("it has a file of the name " + name)
		}
	}
	index, err := b.graph()
	if err != nil {
		return nil, "", err
	}
	made, err := b.print(ctx, index)
	if err != nil {
		return nil, "", err
	}
	maps.Copy(files, made)
	entry := index.Modules[0].File
	if _, ok := files[entry]; !ok { // what asks for the handler's file and its folder shall find them
		files[entry] = source{data: []byte("// The code of this function lies in " + weir.PackDir + "/pack.js.\n")}
	}
	return files, entry, files.fits()
}

// asUnpackable words esbuild's error about what a pack can't do, and a bundle can.
func asUnpackable(err error) error {
	var e *weir.Error
	if errors.As(err, &e) && strings.HasPrefix(e.Message, topLevelAwait) {
		return unpackable(fmt.Sprintf("%s: it waits at the top of a module", e.Pos))
	}
	return err
}

// packEntry gives the name of the handler's file, as Node would run it.
func (b *bundler) packEntry() string {
	base, ext := strings.TrimSuffix(b.rel, path.Ext(b.rel)), path.Ext(b.rel)
	switch ext {
	case ".ts", ".tsx", ".jsx":
		ext = ".js"
	case ".mts":
		ext = ".mjs"
	case ".cts":
		ext = ".cjs"
	}
	return base + ext
}

// metafile is what is read of esbuild's.
type metafile struct {
	Inputs map[string]struct {
		Format  string
		Imports []struct {
			Path, Kind, Original string
			External             bool
		}
	}
}

// graph finds the modules, and where each import leads.
func (b *bundler) graph() (*packIndex, error) {
	var meta metafile
	if err := json.Unmarshal([]byte(b.done.result.Metafile), &meta); err != nil {
		return nil, err
	}
	if err := b.computedImports(); err != nil {
		return nil, err
	}
	g := &grapher{bundler: b, meta: meta, ids: map[string]int{}, packages: map[string]int{}}
	if _, err := g.add(b.rel, b.entry); err != nil {
		return nil, err
	}
	for _, key := range sortedKeys(meta.Inputs) { // also of what only computed paths lead to
		if _, err := g.add(key, g.file(key)); err != nil {
			return nil, err
		}
	}
	for i, m := range g.index.Modules {
		if err := g.follow(m, g.keys[i]); err != nil {
			return nil, err
		}
	}
	g.index.Modules[0].File = b.packEntry()
	return &g.index, nil
}

// grapher is the work of graph.
type grapher struct {
	*bundler
	meta     metafile
	index    packIndex
	keys     []string // of the modules, in the metafile
	ids      map[string]int
	packages map[string]int // by folder
}

// file gives the path of a key of the metafile.
func (g *grapher) file(key string) string { return filepath.Join(g.site.Base, filepath.FromSlash(key)) }

// add gives the index of a module, which is new or known.
func (g *grapher) add(key, file string) (int, error) {
	if id, ok := g.ids[key]; ok {
		return id, nil
	}
	input, ok := g.meta.Inputs[key]
	switch {
	case !ok:
		return 0, unpackable(g.site.Rel(file) + " is no module")
	case len(g.ids) == maxModules:
		return 0, unpackable(fmt.Sprintf("it has more than %d modules", maxModules))
	}
	m := &packModule{File: g.placeOf(file), path: file}
	if _, known := g.done.sources[file]; known {
		m.ESM = input.Format == "esm" || g.memo.moduleType(file) == "module"
	} else if filepath.Ext(file) != ".json" {
		return 0, unpackable(g.site.Rel(file) + " is neither JavaScript nor JSON")
	}
	of, inPackage := g.done.owner(file)
	if !inPackage {
		of, _ = g.memberAt(file)
	}
	m.Node = inPackage || g.memo.moduleType(file) == "module"
	if m.Package, ok = g.packages[of.dir]; !ok {
		m.Package = len(g.index.Packages)
		g.packages[of.dir] = m.Package
		g.index.Packages = append(g.index.Packages, &packPackage{Name: of.name})
	}
	id := len(g.index.Modules)
	g.ids[key] = id
	g.index.Modules, g.keys = append(g.index.Modules, m), append(g.keys, key)
	return id, nil
}

// follow finds where the imports of a module lead.
func (g *grapher) follow(m *packModule, key string) error {
	m.Imports, m.Outside = map[string]int{}, map[string]string{}
	static := map[string]bool{}
	for _, i := range g.meta.Inputs[key].Imports {
		spec := i.Original
		if i.External { // Node's own modules, what is in g.done.outside, and what is not there at all
			spec = i.Path
		}
		switch i.Kind {
		case "import-statement", "require-call":
			static[spec] = true
		case "dynamic-import":
			m.Dynamic = append(m.Dynamic, spec)
		case "require-resolve":
		default:
			return unpackable(fmt.Sprintf("%s: an import of the kind %s", m.File, i.Kind))
		}
		if i.External {
			continue
		}
		id, known := g.ids[i.Path]
		if before, ok := m.Imports[spec]; !known || ok && before != id {
			return unpackable(fmt.Sprintf("%s: %q means one thing to import and another to require", m.File, spec))
		}
		m.Imports[spec] = id
	}
	for spec, to := range g.done.outside[m.path] {
		m.Outside[spec] = to.path
		if to.module {
			m.Before = append(m.Before, spec)
		}
		if to.dynamic {
			m.Dynamic = append(m.Dynamic, spec)
		} else {
			static[spec] = true
		}
	}
	slices.Sort(m.Before)
	slices.Sort(m.Dynamic)
	m.Dynamic = slices.DeleteFunc(slices.Compact(m.Dynamic), func(spec string) bool { return static[spec] })
	return nil
}
