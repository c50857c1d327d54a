package sandbox

// What a program consists of: found by reading its ELF headers as the dynamic loader would
// (ld.so(8)), never by running a loader on it: that would run the program's own choice of one.

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// part is one file of a program.
type part struct {
	target string // where the loader inside looks for it
	source string // the same file on the host, without symbolic links
	exec   bool   // the kernel executes it: the program itself, its loader, a script's interpreter
}

// object is what the headers of one ELF file say.
type object struct {
	machine elf.Machine
	class   elf.Class
	interp  string
	needed  []string
	rpath   []string
	runpath []string
}

// maxStrings bounds what is believed about lengths in a file.
const maxStrings = 64 << 10

var errNotELF = errors.New("not an ELF file")

// readObject reads the headers of an ELF file.
func readObject(path string) (*object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNotELF, err)
	}
	return readELF(e)
}

func readELF(e *elf.File) (*object, error) {
	o := &object{machine: e.Machine, class: e.Class}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > maxStrings {
			return nil, fmt.Errorf("%w: its PT_INTERP is too long", errNotELF)
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, fmt.Errorf("%w: its PT_INTERP can't be read", errNotELF)
		}
		o.interp = strings.TrimRight(string(b), "\x00")
	}
	var err error
	if o.needed, err = e.DynString(elf.DT_NEEDED); err != nil {
		return nil, fmt.Errorf("%w: %v", errNotELF, err)
	}
	for tag, list := range map[elf.DynTag]*[]string{elf.DT_RPATH: &o.rpath, elf.DT_RUNPATH: &o.runpath} {
		values, err := e.DynString(tag)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errNotELF, err)
		}
		for _, v := range values {
			*list = append(*list, strings.Split(v, ":")...)
		}
	}
	return o, nil
}

// search collects the parts of programs.
type search struct {
	loader  *loader
	machine elf.Machine
	class   elf.Class
	parts   []part
	seen    map[string]bool // sonames
	strict  bool            // a library that can't be found is an error
	trusted func(path string) bool
}

// program is what a program consists of, itself first.
type program struct {
	parts  []part
	loader *loader // nil for a script
}

// readProgram finds the files that the program at path consists of.
func readProgram(path string) (*program, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	o, err := readObject(real)
	if errors.Is(err, errNotELF) {
		return readScript(path, real)
	}
	if err != nil {
		return nil, err
	}
	s := &search{machine: o.machine, class: o.class, seen: map[string]bool{}, strict: true,
		trusted: func(string) bool { return true }}
	s.parts = []part{{target: path, source: real, exec: true}}
	if o.interp != "" {
		if !filepath.IsAbs(o.interp) {
			return nil, fmt.Errorf("%s names a loader that is not absolute: %q", path, o.interp)
		}
		source, err := filepath.EvalSymlinks(o.interp)
		if err != nil {
			return nil, fmt.Errorf("the loader of %s: %v", path, err)
		}
		s.parts = append(s.parts, part{target: filepath.Clean(o.interp), source: source, exec: true})
	}
	s.loader = loaderFor(o.interp, o.class)
	if err := s.dependencies(o, place{real, path}, nil); err != nil {
		return nil, err
	}
	if len(o.needed) > 0 {
		s.opened()
	}
	return &program{parts: s.parts, loader: s.loader}, nil
}

// opened adds what the C library opens at run time without naming it: name resolution in older
// glibc, and the unwinder, which pthread_exit needs.
func (s *search) opened() {
	if s.loader.musl {
		return
	}
	s.strict = false
	for _, lib := range []string{"libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libgcc_s.so.1"} {
		s.library(lib, nil, nil)
	}
}

// addonParts gives the libraries of the system that a native library in the bundle needs. The
// bundle is not the host's own: its libraries may name a search path, but only one inside it
// counts, and what can't be found is left to fail inside.
func addonParts(addon, bundle string, l *loader) []part {
	real, err := filepath.EvalSymlinks(addon)
	if err != nil || !within(real, bundle) {
		return nil
	}
	o, err := readObject(real)
	if err != nil {
		return nil
	}
	s := &search{loader: l, machine: o.machine, class: o.class, seen: map[string]bool{},
		trusted: func(p string) bool { return within(p, bundle) }}
	rel, err := filepath.Rel(bundle, real)
	if err != nil {
		return nil
	}
	s.dependencies(o, place{real, filepath.Join(bundleTarget, rel)}, nil)
	var out []part
	for _, p := range s.parts {
		if !within(p.source, bundle) {
			out = append(out, p)
		}
	}
	return out
}

// within tells whether path is dir or lies in it. Both are clean.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// place is a file, as the host and as the sandbox know it.
type place struct{ host, inside string }

// dependencies finds the libraries that o needs, and theirs. parents are the search paths that o
// inherits: an older form of RPATH applies to everything that is loaded on its behalf.
func (s *search) dependencies(o *object, at place, parents []place) error {
	var own []place
	if len(o.runpath) == 0 {
		own = s.expand(o.rpath, at)
		parents = append(own, parents...)
	}
	dirs := parents
	if len(o.runpath) > 0 {
		dirs = s.expand(o.runpath, at)
	}
	for _, lib := range o.needed {
		if err := s.library(lib, dirs, parents); err != nil {
			return fmt.Errorf("%s: %w", at.host, err)
		}
	}
	return nil
}

// expand resolves $ORIGIN. Inside, a library's origin is the directory where it was found.
func (s *search) expand(paths []string, at place) []place {
	var out []place
	for _, p := range paths {
		sub := func(origin string) string {
			return filepath.Clean(strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin, "$LIB", "lib", "${LIB}", "lib").Replace(p))
		}
		d := place{sub(filepath.Dir(at.host)), sub(filepath.Dir(at.inside))}
		if filepath.IsAbs(d.host) && filepath.IsAbs(d.inside) && s.trusted(d.host) {
			out = append(out, d)
		}
	}
	return out
}

// library finds one library and adds it with what it needs.
func (s *search) library(name string, dirs, parents []place) error {
	if s.seen[name] {
		return nil
	}
	s.seen[name] = true
	candidates := []place{{name, name}}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, d := range dirs {
			candidates = append(candidates, place{filepath.Join(d.host, name), filepath.Join(d.inside, name)})
		}
		for _, p := range s.loader.find(name) {
			candidates = append(candidates, place{p, p})
		}
	} else if !s.strict {
		return nil
	}
	for _, c := range candidates {
		real, err := filepath.EvalSymlinks(c.host)
		if err != nil {
			continue
		}
		o, err := readObject(real)
		if err != nil || o.machine != s.machine || o.class != s.class {
			continue // the loader skips those of another architecture as well
		}
		s.add(part{target: c.inside, source: real})
		if index := s.loader.index(c.inside); index != "" {
			s.add(part{target: index, source: index})
		}
		return s.dependencies(o, place{real, c.inside}, parents)
	}
	if s.strict {
		return fmt.Errorf("its library %s: %w", name, fs.ErrNotExist)
	}
	return nil
}

// add adds a part unless something is at its place already.
func (s *search) add(p part) {
	if !slices.ContainsFunc(s.parts, func(o part) bool { return o.target == p.target }) {
		s.parts = append(s.parts, p)
	}
}
