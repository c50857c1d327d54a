package build

// Functions that come as archives, as Netlify's own bundler makes them (@netlify/zip-it-and-ship-it): built
// already, so they are kept whole. An archive is as hostile as any package: it is unpacked by the child, into a
// folder of its own, and only if it holds plain files that fit.

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/build/insource"
	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

const (
	maxEntries = 20_000
	maxFolders = 20_000 // those that entries only lie in included
	maxName    = 1024   // bytes of an entry's name
	// maxRatio is how many bytes may come of one, beyond the first freeBytes.
	maxRatio  = 200
	freeBytes = 16 << 20
)

// What Netlify's bundler puts into an archive.
const (
	entryPointV2 = "___netlify-entry-point.mjs"
	metadataName = "___netlify-metadata.json"
)

// handlerFile is how the entry point of a function v2 names the function's own file.
var handlerFile = regexp.MustCompile(`getLambdaHandler\(\s*["']\./([^"']+)["']`)

// archive is an archive that is being unpacked.
type archive struct {
	name string // as its author would write it
	dir  string // where its files are put
	o    *output
}

// unpackFolder makes a folder in which the archives of s are unpacked, if it has any; done removes it.
func unpackFolder(stateDir string, s *site.Site) (dir string, done func(), err error) {
	if !slices.ContainsFunc(s.Functions, func(f site.Function) bool { return filepath.Ext(f.Main) == site.Archive }) {
		return "", func() {}, nil
	}
	store, err := filepath.Abs(filepath.Join(stateDir, "artifacts"))
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		return "", nil, err
	}
	dir, held, err := scratch(store)
	if err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); held.Close() }, nil
}

// unpack makes the content of a function of its archive. dir is a folder that there isn't yet.
func (o *output) unpack(s *site.Site, f site.Function, dir string) error {
	a := &archive{s.Rel(f.Main), dir, o}
	if err := os.RemoveAll(dir); err != nil { // of a child that died
		return err
	}
	info, err := os.Stat(f.Main)
	if err != nil || info.Size() > maxBundle {
		return a.broken("it can't be read, or has more than 250 MB")
	}
	r, err := zip.OpenReader(f.Main)
	if err != nil {
		return a.broken("this is no zip file that can be read")
	}
	defer r.Close()
	if err := a.check(&r.Reader, info.Size()); err != nil {
		return err
	}
	for _, e := range r.File {
		if strings.HasSuffix(e.Name, "/") {
			continue
		}
		if err := a.extract(e); err != nil {
			return err
		}
	}
	return a.recognize(f.Name)
}

func (a *archive) broken(format string, args ...any) error {
	return broken(a.name, fmt.Sprintf(format, args...), "build the function anew with Netlify's tools, or put its source here")
}

// check looks at what the archive says of its entries, before anything is written.
func (a *archive) check(r *zip.Reader, packed int64) error {
	if len(r.File) > maxEntries {
		return a.broken("it has %d entries, and %d are the most", len(r.File), maxEntries)
	}
	names := map[string]string{} // in lower case, folders included: as they are
	var size uint64
	for _, e := range r.File {
		if err := a.checkEntry(e, names); err != nil {
			return err
		}
		if size += min(e.UncompressedSize64, maxBundle+1); size > maxBundle {
			return a.broken("unpacked it has more than 250 MB")
		}
	}
	if size > freeBytes && size/maxRatio > uint64(packed) {
		return a.broken("it is packed more than %d times: this is no function, but a way to fill a disk", maxRatio)
	}
	return nil
}

func (a *archive) checkEntry(e *zip.File, names map[string]string) error {
	folder := strings.HasSuffix(e.Name, "/")
	name := strings.TrimSuffix(e.Name, "/")
	switch {
	case len(e.Name) > maxName || !utf8.ValidString(e.Name) || strings.ContainsAny(e.Name, "\\\x00") || !filepath.IsLocal(name) || filepath.Clean(name) != name:
		return a.broken("the entry %.80q has a name that leads elsewhere, or that systems read in several ways", e.Name)
	case !folder && !e.Mode().IsRegular():
		return a.broken("the entry %.80q is a link or device, and only files are taken", e.Name)
	case e.Flags&1 != 0:
		return a.broken("the entry %.80q is encrypted", e.Name)
	case e.Method != zip.Store && e.Method != zip.Deflate:
		return a.broken("the entry %.80q is packed by a method that isn't known", e.Name)
	case folder:
		return a.claim(name, name, names, true)
	}
	return a.claim(name, name, names, false)
}

// claim notes a name and the folders above it. Two names that differ only by case, or a file where another entry
// has a folder, would mean another tree on another system.
func (a *archive) claim(name, whole string, names map[string]string, folder bool) error {
	mark := name
	if folder {
		mark += "/"
	}
	known, taken := names[strings.ToLower(name)]
	if taken && (known != mark || !folder) {
		return a.broken("the entry %.80q is there twice, or once more in other letters", whole)
	}
	names[strings.ToLower(name)] = mark
	if len(names) > maxEntries+maxFolders {
		return a.broken("its entries lie in more than %d folders", maxFolders)
	}
	if up := filepath.Dir(name); up != "." {
		return a.claim(up, whole, names, true)
	}
	return nil
}

// extract writes one file.
func (a *archive) extract(e *zip.File) error {
	from, err := e.Open()
	if err != nil {
		return a.broken("the entry %.80q can't be read", e.Name)
	}
	defer from.Close()
	to := filepath.Join(a.dir, filepath.FromSlash(e.Name))
	limited := &io.LimitedReader{R: from, N: int64(e.UncompressedSize64) + 1} // which check has bounded
	err = writeFile(to, limited, e.Mode()&0o111 != 0)
	var system *os.PathError
	switch {
	case errors.As(err, &system):
		return err
	case err != nil || limited.N != 1:
		return a.broken("the entry %.80q is damaged", e.Name)
	}
	a.o.files.add(e.Name, to)
	return nil
}

// recognize finds the handler by the layout.
func (a *archive) recognize(function string) error {
	a.o.export = "handler"
	if a.has(metadataName) {
		var m struct{ Version int }
		if data, err := a.read(metadataName); err != nil || json.Unmarshal(data, &m) != nil || m.Version > 1 {
			return a.broken("%s is of a version that isn't known", metadataName)
		}
	}
	if a.has(entryPointV2) {
		a.o.entry, a.o.config.Form = entryPointV2, weir.FormV2
		return a.readConfig()
	}
	for _, ext := range []string{".js", ".mjs", ".cjs"} {
		if a.has(function + ext) {
			a.o.entry, a.o.config.Form = function+ext, weir.FormV1
			return nil
		}
	}
	return broken(a.name, fmt.Sprintf("it holds no %s.js, which would be the function", function),
		"give the archive the name that it was built with")
}

// readConfig reads what the source of a function v2 says, as for one that isn't built yet. How it is built is
// settled.
func (a *archive) readConfig() error {
	entry, err := a.read(entryPointV2)
	if err != nil {
		return a.broken("%s can't be read", entryPointV2)
	}
	named := handlerFile.FindSubmatch(entry)
	if named == nil || !a.has(string(named[1])) {
		return nil
	}
	src, err := a.read(string(named[1]))
	if err != nil {
		return nil
	}
	said, err := insource.Read(src, a.name+"/"+string(named[1]))
	if err == nil && said.Form == weir.FormV2 {
		a.o.config = said.FunctionConfig
		a.o.warnings = append(a.o.warnings, said.Warnings...)
	}
	return err
}

func (a *archive) has(name string) bool {
	_, ok := a.o.files[name]
	return ok
}

// read gives a file that was unpacked, if it is not too large.
func (a *archive) read(name string) ([]byte, error) {
	file := a.o.files[name].path
	if info, err := os.Stat(file); err != nil || info.Size() > maxDeclaring {
		return nil, errors.New("too large")
	}
	return os.ReadFile(file)
}
