package sandbox

// Where a dynamic loader looks for libraries: glibc's cache and default directories, or musl's
// list.

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cacheFile = "/etc/ld.so.cache"
	// maxCache bounds the cache, in bytes; a large desktop has 200 kB.
	maxCache = 16 << 20
)

// loader is a dynamic loader's way of finding libraries.
type loader struct {
	musl  bool
	list  string              // musl's own list of directories, if there is one
	dirs  []string            // default directories
	cache map[string][]string // glibc: soname to paths
}

// loaderFor gives the way of the loader at the path that a program names. A program without one
// is static and may still open libraries like glibc's.
func loaderFor(interp string, class elf.Class) *loader {
	base := filepath.Base(interp)
	if name, ok := strings.CutPrefix(base, "ld-musl-"); ok {
		l := &loader{musl: true, dirs: []string{"/lib", "/usr/local/lib", "/usr/lib"}}
		list := "/etc/ld-musl-" + strings.TrimSuffix(name, ".so.1") + ".path"
		if b, err := os.ReadFile(list); err == nil {
			l.list = list
			l.dirs = strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == ':' })
		}
		return l
	}
	l := &loader{dirs: defaultDirs(class)}
	if st, err := os.Stat(cacheFile); err == nil && st.Size() <= maxCache {
		if b, err := os.ReadFile(cacheFile); err == nil {
			// A broken cache is as good as none: the loader goes on to the default directories.
			l.cache, _ = parseCache(b)
		}
	}
	return l
}

// defaultDirs are those that loaders of the common distributions have built in.
func defaultDirs(class elf.Class) []string {
	var dirs []string
	// Debian's have the multiarch tuple in their names.
	tuples, _ := filepath.Glob("/usr/lib/*-linux-gnu*")
	for _, t := range tuples {
		dirs = append(dirs, "/lib/"+filepath.Base(t), t)
	}
	if class == elf.ELFCLASS64 {
		dirs = append(dirs, "/lib64", "/usr/lib64")
	}
	return append(dirs, "/lib", "/usr/lib")
}

// find gives the paths at which the loader would look for a library, best first.
func (l *loader) find(name string) []string {
	out := slices.Clone(l.cache[name])
	for _, d := range l.dirs {
		out = append(out, filepath.Join(d, name))
	}
	return out
}

// index gives the file that leads the loader to a library at path, "" if it looks there anyway.
// (glibc's lists every library of the host, so it isn't shown without need.)
func (l *loader) index(path string) string {
	switch dir := filepath.Dir(path); {
	case l.musl:
		return l.list
	case !slices.Contains(l.dirs, dir) && slices.Contains(l.cache[filepath.Base(path)], path):
		return cacheFile
	}
	return ""
}

// The format of ld.so.cache: glibc, sysdeps/generic/dl-cache.h. An older table may stand in
// front of the one that is read here.
const (
	oldMagic    = "ld.so-1.7.0"
	oldHeader   = 16
	oldEntry    = 12
	newMagic    = "glibc-ld.so.cache1.1"
	newHeader   = 48
	newEntry    = 24
	maxCacheLib = 4096 // bytes of a name or path
)

var errCache = errors.New("not a glibc loader cache")

// parseCache gives the paths of each library in a loader cache, in its order, without those for
// special processors: the loader inside looks for plain ones as well.
func parseCache(b []byte) (map[string][]string, error) {
	if bytes.HasPrefix(b, []byte(oldMagic)) && len(b) >= oldHeader {
		n := uint64(binary.NativeEndian.Uint32(b[12:]))
		end := (oldHeader + n*oldEntry + 7) &^ 7
		if end > uint64(len(b)) {
			return nil, errCache
		}
		b = b[end:]
	}
	if !bytes.HasPrefix(b, []byte(newMagic)) || len(b) < newHeader {
		return nil, errCache
	}
	n := uint64(binary.NativeEndian.Uint32(b[20:]))
	if newHeader+n*newEntry > uint64(len(b)) {
		return nil, errCache
	}
	out := make(map[string][]string, n)
	for i := range n {
		e := b[newHeader+i*newEntry:]
		if binary.NativeEndian.Uint64(e[16:]) != 0 { // hwcap
			continue
		}
		name, ok1 := cString(b, binary.NativeEndian.Uint32(e[4:]))
		path, ok2 := cString(b, binary.NativeEndian.Uint32(e[8:]))
		if !ok1 || !ok2 || !filepath.IsAbs(path) {
			return nil, errCache
		}
		out[name] = append(out[name], filepath.Clean(path))
	}
	return out, nil
}

func cString(b []byte, at uint32) (string, bool) {
	if uint64(at) >= uint64(len(b)) {
		return "", false
	}
	b = b[at:]
	end := bytes.IndexByte(b[:min(len(b), maxCacheLib)], 0)
	if end < 0 {
		return "", false
	}
	return string(b[:end]), true
}
