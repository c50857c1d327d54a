package build

// The files of one bundle, before they are written.

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-run/weir/internal/site"
)

// maxBundle is AWS Lambda's bound on an unzipped function, in bytes.
const maxBundle = 250 << 20

// maxFiles bounds the files of a function: empty ones, in packages that are needed in many versions, cost nothing
// but the machine's inodes. What fits into maxBundle has some 40,000, as packages go.
const maxFiles = 100_000

// source is where the content of a file comes from: a file of the host, or data; or where a symbolic link leads.
type source struct {
	path string
	data []byte
	link string
}

// open gives the content of what is no link, and whether it may be executed.
func (s *source) open() (from io.ReadCloser, exec bool, err error) {
	if s.path == "" {
		return io.NopCloser(bytes.NewReader(s.data)), false, nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, false, broken(path.Base(s.path), "the file can't be read", "")
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, info.Mode()&0o111 != 0, nil
}

// tree maps slash-separated names, relative to the bundle, to content.
type tree map[string]source

func (t tree) add(name, from string) { t[name] = source{path: from} }

func (t tree) names() []string { return slices.Sorted(maps.Keys(t)) }

// fits checks the size of the whole, and that reading each file ends.
func (t tree) fits() error {
	if err := t.few(); err != nil {
		return err
	}
	var sum, most int64
	var biggest string
	for _, name := range t.names() {
		src := t[name]
		n := int64(len(src.data) + len(src.link))
		if src.path != "" {
			info, err := os.Stat(src.path)
			if err != nil || !info.Mode().IsRegular() {
				return broken(name, "this is not a regular file", "")
			}
			n = info.Size()
		}
		if sum += n; n > most {
			most, biggest = n, name
		}
	}
	if sum <= maxBundle {
		return nil
	}
	return broken("", fmt.Sprintf("the function has %d MB of files, and 250 MB is the most; the largest one is %s (%d MB)", sum>>20, biggest, most>>20),
		"take fewer files along with included_files, or fewer packages")
}

// few checks how many files there are.
func (t tree) few() error {
	if len(t) <= maxFiles {
		return nil
	}
	return broken("", fmt.Sprintf("the function has more than %d files", maxFiles), "take fewer files along with included_files, or fewer packages")
}

// addPackage copies a package as it is to the folder at. Other packages that are installed inside
// it have their own places. Links must stay in the package: it comes from strangers. In a folder of
// the site's own, one in which people work, what is hidden or may hold credentials stays out.
func (t tree) addPackage(dir, at string, own bool) error {
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return broken(at, "a package can't be read", "")
		}
		private := own && p != dir && (e.Name()[0] == '.' || site.Credential(e.Name()))
		if e.IsDir() {
			if p != dir && (e.Name() == "node_modules" || e.Name() == ".git" || private) {
				return filepath.SkipDir
			}
			return nil
		}
		if private {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		name := path.Join(at, filepath.ToSlash(rel))
		if e.Type()&fs.ModeSymlink != 0 {
			real, err := filepath.EvalSymlinks(p)
			if err != nil {
				return nil // leads nowhere, as it does where it is installed
			}
			if !within(dir, real) {
				return broken(name, "this file of a package is a link that leads out of the package", "install the package anew")
			}
			p = real
		}
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".env") {
			t.add(name, p)
		}
		return t.few()
	})
}

// typeOf gives the "type" that Node reads for a file at name: that of the nearest package.json.
func (t tree) typeOf(name string) string {
	for d := path.Dir(name); ; d = path.Dir(d) {
		if src, ok := t[path.Join(d, "package.json")]; ok {
			return manifestAt(src.path).Type
		}
		if d == "." {
			return ""
		}
	}
}

// within tells whether path is dir or below it; both absolute and clean.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
