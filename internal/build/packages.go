package build

// Packages on disk: which one a file belongs to, what a package needs, how Node finds it.

import (
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// pkg is an installed package: the name of its folder in node_modules and the folder's real path.
type pkg struct{ name, dir string }

// packageOf gives the package that a file belongs to by its real path; ok is false for a file of
// the site's own.
func packageOf(file string) (p pkg, ok bool) {
	const mark = "/node_modules/"
	i := strings.LastIndex(file, mark)
	if i < 0 {
		return pkg{}, false
	}
	name := specifierName(file[i+len(mark):])
	return pkg{name, file[:i+len(mark)] + name}, name != ""
}

// specifierName gives the package that a bare specifier names: "@a/b/c" is of "@a/b".
func specifierName(s string) string {
	parts := strings.SplitN(s, "/", 3)
	if strings.HasPrefix(s, "@") && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// bare tells whether a specifier names a package, not a file.
func bare(s string) bool {
	return s != "" && s != "." && s != ".." && s[0] != '/' && s[0] != '#' &&
		!strings.HasPrefix(s, "./") && !strings.HasPrefix(s, "../") && !strings.Contains(s, ":")
}

// manifest is what is read of a package.json.
type manifest struct {
	Name                 string
	Type                 string
	Gypfile              bool
	Binary               json.RawMessage
	Dependencies         map[string]string
	OptionalDependencies map[string]string
	PeerDependencies     map[string]string
	PeerDependenciesMeta map[string]json.RawMessage
}

// manifestAt reads a package.json. A missing or malformed one says nothing, as Node has it for
// resolution.
func manifestAt(path string) manifest {
	var m manifest
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 {
		return m
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &m) != nil {
		return manifest{Type: m.Type, Dependencies: m.Dependencies}
	}
	return m
}

// linked is an installed package: where it is looked for, and its folder's real path.
type linked struct{ at, dir string }

// find finds a package as Node does: in the node_modules of dir or of any folder above it (Node.js,
// "Loading from node_modules folders").
func find(dir, name string) linked {
	for d := dir; ; d = filepath.Dir(d) {
		if filepath.Base(d) != "node_modules" {
			at := filepath.Join(d, "node_modules", name)
			if real, err := filepath.EvalSymlinks(at); err == nil {
				if info, err := os.Stat(real); err == nil && info.IsDir() {
					return linked{at, real}
				}
			}
		}
		if d == filepath.Dir(d) {
			return linked{}
		}
	}
}

// needs gives the packages that the one in dir may load, by the name it calls them: what its
// package.json declares and is installed, and what is installed inside it.
func needs(dir string) map[string]string {
	m := manifestAt(filepath.Join(dir, "package.json"))
	out := map[string]string{}
	names := slices.Concat(sortedKeys(m.Dependencies), sortedKeys(m.OptionalDependencies), sortedKeys(m.PeerDependencies),
		sortedKeys(m.PeerDependenciesMeta)) // optional ones may stand there only
	for _, name := range names {
		if !validPackageName(name) || strings.HasPrefix(name, "@types/") { // types are no code
			continue
		}
		if d := find(dir, name); d.dir != "" && !strays(dir, d) {
			out[name] = d.dir
		}
	}
	for _, p := range inside(filepath.Join(dir, "node_modules"), "") {
		if !strays(dir, linked{filepath.Join(dir, "node_modules", p.name), p.dir}) {
			out[p.name] = p.dir
		}
	}
	return out
}

// strays tells whether what looks like a package inside the one in dir is a link of that one's own to what is none:
// to the site's own files, say.
func strays(dir string, to linked) bool {
	_, registry := packageOf(dir)
	_, installed := packageOf(to.dir)
	return registry && within(dir, to.at) && !installed
}

// validPackageName keeps path tricks in a package.json from leading out of node_modules.
func validPackageName(name string) bool {
	return name == specifierName(name) && name != "" && filepath.IsLocal(name) && !strings.ContainsRune(name, 0)
}

// inside lists the packages in a node_modules folder.
func inside(dir, scope string) []pkg {
	entries, _ := os.ReadDir(filepath.Join(dir, scope))
	var out []pkg
	for _, e := range entries {
		switch name := scope + e.Name(); {
		case e.Name()[0] == '.':
		case scope == "" && e.Name()[0] == '@':
			out = append(out, inside(dir, name+"/")...)
		default:
			if real, err := filepath.EvalSymlinks(filepath.Join(dir, name)); err == nil {
				if info, err := os.Stat(real); err == nil && info.IsDir() {
					out = append(out, pkg{name, real})
				}
			}
		}
	}
	return out
}

// machines are the ELF machines of the platforms that Weir runs on.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// addons gives the native libraries in a tree that this platform can load.
func addons(t tree) []string {
	var out []string
	for _, name := range t.names() {
		base := filepath.Base(name)
		if !strings.HasSuffix(base, ".node") && !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.") {
			continue
		}
		if isLibrary(t[name].path) {
			out = append(out, name)
		}
	}
	return out
}

// isLibrary tells whether a file begins as a native library for this platform does: the rest, which says how much
// there is to read, is a stranger's word.
func isLibrary(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var h elf.Header64
	return binary.Read(f, binary.LittleEndian, &h) == nil && string(h.Ident[:4]) == elf.ELFMAG && elf.Class(h.Ident[elf.EI_CLASS]) == elf.ELFCLASS64 &&
		elf.Data(h.Ident[elf.EI_DATA]) == elf.ELFDATA2LSB && elf.Machine(h.Machine) == machines[runtime.GOARCH] && elf.Type(h.Type) == elf.ET_DYN
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
