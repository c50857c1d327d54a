package build

// What is known of the disk while a site is built. Each pass over each function asks the same, and
// esbuild's own answer to a plugin begins every time with nothing known.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"
)

// memo is shared by all functions that one child builds. While it lives the site is taken to stay
// as it is.
type memo struct {
	mu       sync.Mutex
	resolved map[question]answer
	folders  map[string]map[string]bool
	packages map[[2]string]linked // by folder and name, see find
	looked   map[pkg]bool         // see needsFiles
	types    map[string]string    // see typeIn
}

func newMemo() *memo {
	return &memo{resolved: map[question]answer{}, folders: map[string]map[string]bool{}, packages: map[[2]string]linked{},
		looked: map[pkg]bool{}, types: map[string]string{}}
}

// question is all that an import's resolution depends on. The importing file is no part of it.
type question struct {
	dir, path, with string
	kind            api.ResolveKind
}

// answer is where an import leads.
type answer struct {
	path   string
	failed bool
	aside  bool // not a file: one of Node's own modules, say
}

// resolve asks esbuild where an import leads, once.
func (m *memo) resolve(by api.PluginBuild, a api.OnResolveArgs) answer {
	q := question{dir: a.ResolveDir, path: a.Path, kind: a.Kind}
	if len(a.With) > 0 {
		q.with = fmt.Sprint(a.With)
	}
	return remember(m, m.resolved, q, func() answer {
		res := by.Resolve(a.Path, api.ResolveOptions{Importer: a.Importer, Namespace: a.Namespace,
			ResolveDir: a.ResolveDir, Kind: a.Kind, With: a.With, PluginData: asked{}})
		return answer{res.Path, len(res.Errors) > 0, res.External || res.Namespace != "file"}
	})
}

// find is the function of that name.
func (m *memo) find(dir, name string) linked {
	return remember(m, m.packages, [2]string{dir, name}, func() linked { return find(dir, name) })
}

// needsFiles is the function of that name.
func (m *memo) needsFiles(of pkg) bool {
	return remember(m, m.looked, of, func() bool { return needsFiles(of) })
}

// moduleType tells by Node's rules whether a file is an ES module ("module") or not.
func (m *memo) moduleType(file string) string {
	switch filepath.Ext(file) {
	case ".mjs", ".mts":
		return "module"
	case ".cjs", ".cts", ".json", ".node":
		return "commonjs"
	}
	return m.typeIn(filepath.Dir(file))
}

// typeIn gives the type that the package.json which holds for a folder has.
func (m *memo) typeIn(dir string) string {
	return remember(m, m.types, dir, func() string {
		at := filepath.Join(dir, "package.json")
		if _, err := os.Stat(at); err == nil {
			return manifestAt(at).Type
		}
		if dir == filepath.Dir(dir) || filepath.Base(dir) == "node_modules" {
			return ""
		}
		return m.typeIn(filepath.Dir(dir))
	})
}

// list gives the names in a folder and whether each is a folder, too. It is nil unless the folder's
// path is the real one and no link is in it: then a path means what it says.
func (m *memo) list(dir string) map[string]bool {
	return remember(m, m.folders, dir, func() map[string]bool {
		if real, err := filepath.EvalSymlinks(dir); err != nil || real != dir {
			return nil
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil
		}
		names := make(map[string]bool, len(entries))
		for _, e := range entries {
			if e.Type()&os.ModeSymlink != 0 {
				return nil
			}
			names[e.Name()] = e.IsDir()
		}
		return names
	})
}

// remember gives what known holds for a key, or finds it. Two that ask at once both find it. m.mu is
// free while find runs, which may ask m for more.
func remember[K comparable, V any](m *memo, known map[K]V, key K, find func() V) V {
	m.mu.Lock()
	v, ok := known[key]
	m.mu.Unlock()
	if ok {
		return v
	}
	v = find()
	m.mu.Lock()
	defer m.mu.Unlock()
	known[key] = v
	return v
}

// beside tells whether an import names a file of the importing package, or of the site for the
// site's own code, in a way that leaves nothing to decide: esbuild may follow it by itself. What
// stands in a package.json or behind a link may lead anywhere.
func (p *pass) beside(a api.OnResolveArgs, from pkg, fromPackage bool) bool {
	switch a.Kind {
	case api.ResolveJSImportStatement, api.ResolveJSRequireCall, api.ResolveJSDynamicImport:
	default:
		return false
	}
	if !strings.HasPrefix(a.Path, "./") && !strings.HasPrefix(a.Path, "../") || compiled(a.Path) ||
		strings.HasSuffix(a.Path, "/") || strings.HasSuffix(a.Path, "/.") || strings.HasSuffix(a.Path, "/..") {
		return false
	}
	to := filepath.Join(a.ResolveDir, filepath.FromSlash(a.Path))
	if of, ok := p.owner(to); of != from || ok != fromPackage || !ok && !within(p.site.Root, to) {
		return false
	}
	names, base := p.memo.list(filepath.Dir(to)), filepath.Base(to)
	if !hasSource(names, base) && names[base] {
		if names = p.memo.list(to); has(names, "package.json") {
			return false
		}
		base = "index"
	}
	// What the site's own code does not find is an error, in esbuild's words. See unresolved for packages.
	return names != nil && (!fromPackage || hasSource(names, base))
}

// hasSource tells whether a folder has the file that esbuild finds for a name.
func hasSource(names map[string]bool, base string) bool {
	for _, ext := range []string{"", ".tsx", ".ts", ".jsx", ".js", ".css", ".json"} {
		if dir, ok := names[base+ext]; ok && !dir {
			return true
		}
	}
	return false
}

func has(names map[string]bool, name string) bool {
	_, ok := names[name]
	return ok
}
