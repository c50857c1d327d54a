package site

// included_files: which files of the site a function takes along. The one way in which a wildcard
// could pull a secret into a bundle, so what holds credentials must be named in full.

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/weir"
)

// File is a file that a function takes along.
type File struct {
	Name string // relative to Site.Base, with slashes: where the function finds it
	Path string // absolute, without symbolic links: where its content is
}

// Expand gives the files that patterns name, sorted by name, and warnings. Patterns are globs
// relative to Site.Base: * and ? within a name, ** for any folders, [...] and {a,b}; "!" in front
// takes away. Below node_modules only patterns that name it look. Files of credentials (.env, .git,
// .npmrc, private keys …) are taken only if a pattern without wildcards names them. A link that
// leads out of the repository is an error.
func (s *Site) Expand(patterns []string) (files []File, warnings []string, err error) {
	found, skipped := map[string]string{}, map[string]bool{}
	for _, p := range patterns {
		rest, negated := strings.CutPrefix(p, "!")
		g, err := compileGlob(rest)
		if err != nil {
			return nil, nil, err
		}
		if negated {
			continue
		}
		for _, alt := range g {
			if err := s.collect(alt, found, skipped); err != nil {
				return nil, nil, err
			}
		}
		if !anyKey(found, g.match) && !anyKey(skipped, g.match) {
			warnings = append(warnings, fmt.Sprintf("included_files: %q names no file; a folder is taken with DIR/**", p))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(skipped)) {
		if _, ok := found[name]; !ok {
			warnings = append(warnings, fmt.Sprintf("included_files: %s is left out, as it may hold credentials; name it without wildcards to take it along", name))
		}
	}
	without := Without(patterns)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !without(name) {
			files = append(files, File{Name: name, Path: found[name]})
		}
	}
	return files, warnings, nil
}

// Without gives a function that tells whether a pattern with "!" in front takes a file away, whoever asked for it.
// The patterns are such as Expand takes.
func Without(patterns []string) func(name string) bool {
	var globs []glob
	for _, p := range patterns {
		if rest, negated := strings.CutPrefix(p, "!"); negated {
			if g, err := compileGlob(rest); err == nil {
				globs = append(globs, g)
			}
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(globs, func(g glob) bool { return g.match(name) })
	}
}

// Beside gives patterns that a source wrote relative to its own folder as Expand takes them. The error is a
// *weir.Error without a position.
func (s *Site) Beside(source string, patterns []string) ([]string, error) {
	dir, err := filepath.Rel(s.Base, filepath.Dir(source))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range patterns {
		rest, without := strings.CutPrefix(p, "!")
		problem := checkPattern(rest)
		full := path.Join(escapeGlob(filepath.ToSlash(dir)), rest)
		if problem == "" || problem == leadsOut {
			problem = checkPattern(full)
		}
		if problem != "" {
			return nil, &weir.Error{Code: weir.Broken, Message: fmt.Sprintf("config.includedFiles: %.80q %s", p, problem),
				Remedy: "write a path or glob relative to the function's own folder"}
		}
		if without {
			full = "!" + full
		}
		out = append(out, full)
	}
	return out, nil
}

// collect walks the part of the site that one alternative of a glob can match.
func (s *Site) collect(segments []string, found map[string]string, skipped map[string]bool) error {
	prefix := literalPrefix(segments)
	exact := len(prefix) == len(segments)
	start := filepath.Join(s.Base, filepath.Join(prefix...))
	real, err := filepath.EvalSymlinks(start)
	if err != nil {
		return nil
	}
	dependencies := slices.Contains(segments, "node_modules")
	return filepath.WalkDir(real, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // what the author can't read, the function does not get
		}
		rel, _ := filepath.Rel(real, p)
		name := path.Join(path.Join(prefix...), filepath.ToSlash(rel))
		if e.IsDir() {
			if p != real && e.Name() == "node_modules" && !dependencies {
				return filepath.SkipDir
			}
			return nil
		}
		if !matchSegments(segments, strings.Split(name, "/")) {
			return nil
		}
		if !exact && Credential(name) {
			skipped[name] = true
			return nil
		}
		content, err := s.content(name, p)
		if content != "" {
			found[name] = content
		}
		return err
	})
}

// content gives the regular file behind a path, "" if it is something else.
func (s *Site) content(name, p string) (string, error) {
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		return "", nil
	}
	if !within(s.Root, real) {
		return "", &weir.Error{Code: weir.Broken, Pos: weir.Position{File: name},
			Message: "this included file is a link that leads out of the site", Remedy: "copy the file into the site"}
	}
	if !isRegular(real) {
		return "", nil
	}
	return real, nil
}

// Credential tells whether a file's name, a path with slashes, is one under which credentials are kept.
func Credential(name string) bool {
	for seg := range strings.SplitSeq(name, "/") {
		switch seg {
		case ".git", ".hg", ".svn", ".ssh", ".aws", ".gnupg", ".kube", ".docker", ".netlify", ".weir",
			".env", ".npmrc", ".yarnrc", ".yarnrc.yml", ".netrc", ".git-credentials", ".pgpass",
			"id_rsa", "id_dsa", "id_ecdsa", "id_ed25519":
			return true
		}
		if strings.HasPrefix(seg, ".env.") {
			return true
		}
	}
	switch path.Ext(name) {
	case ".key", ".p12", ".pfx":
		return true
	}
	return false
}

func anyKey[V any](m map[string]V, ok func(string) bool) bool {
	for k := range m {
		if ok(k) {
			return true
		}
	}
	return false
}

// LeaveOut keeps files of the site that whoever serves it writes out of every bundle, with their locks and
// with what they are continued in: FILE, FILE.*, .FILE.lock. Paths are absolute; others than the site's
// mean nothing.
func (s *Site) LeaveOut(paths []string) {
	for _, p := range paths {
		dir, err := filepath.EvalSymlinks(filepath.Dir(p))
		if err != nil {
			continue
		}
		rel, err := filepath.Rel(s.Base, dir)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		in, name := "", escapeGlob(filepath.Base(p))
		if rel != "." {
			in = escapeGlob(filepath.ToSlash(rel)) + "/"
		}
		for i := range s.Functions {
			f := &s.Functions[i]
			f.Included = append(slices.Clip(f.Included), "!"+in+name, "!"+in+name+".*", "!"+in+"."+name+".lock")
		}
	}
}
