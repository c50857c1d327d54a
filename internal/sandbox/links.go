package sandbox

// Links on the way to a grant. Where a function may write, it may have made them: followed, they would
// turn a rule for one file into a rule for whatever the function chose.

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxLinks bounds the links on the way to one path (path_resolution(7)).
const maxLinks = 40

// linkError is a link where a function may have made it.
type linkError struct{ path string }

func (e *linkError) Error() string {
	return e.path + " is a link, and lies where a function may write"
}

// resolve gives the path of the host that a clean absolute path leads to, without links. None in one of
// dirs, which are such paths, too, is followed.
func resolve(path string, dirs []string) (string, error) {
	return walkPath(path, func(at string, link bool) error {
		if link && slices.ContainsFunc(dirs, func(dir string) bool { return within(at, dir) && at != dir }) {
			return &linkError{at}
		}
		return nil
	})
}

// walkPath gives the path of the host that a clean absolute path leads to, without links. visit sees each step on
// the way, without links but the last, before a link is followed; its error ends the walk.
func walkPath(path string, visit func(at string, link bool) error) (string, error) {
	real, rest, links := "/", strings.TrimPrefix(path, "/"), 0
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		next := filepath.Join(real, name) // also of "", "." and ".."
		to, err := readLink(next)
		if err != nil {
			return "", err
		}
		if err := visit(next, to != ""); err != nil {
			return "", err
		}
		if to == "" {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: path, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(to) {
			real = "/"
		}
		rest = to + "/" + rest
	}
	return real, nil
}

// readLink gives where a link leads to, "" if path is something else.
func readLink(path string) (string, error) {
	st, err := os.Lstat(path)
	if err != nil || st.Mode()&fs.ModeSymlink == 0 {
		return "", err
	}
	return os.Readlink(path)
}

// writable gives the directories of the host, without links, that functions may write: this one, and
// those that the Spec speaks of.
func (s *Spec) writable() []string {
	var paths, dirs []string
	for _, w := range slices.Concat(s.Write, s.Shared) {
		if g, err := parseGrant(w); err == nil && g.dir && !within(g.path, tmpTarget) && !within(g.path, bundleTarget) {
			paths = append(paths, g.path)
		}
	}
	slices.Sort(paths) // what lies in another comes after it
	for _, p := range slices.Compact(paths) {
		if real, err := resolve(p, dirs); err == nil {
			dirs = append(dirs, real)
		}
	}
	return dirs
}
