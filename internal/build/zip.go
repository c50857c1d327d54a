package build

// Functions that come as archives: built already, so they are kept whole. An archive is as hostile as any package:
// it is unpacked by the child, into a folder of its own, and only if it holds plain files that fit, and links from
// one to another.

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/weir-run/weir/internal/weir"
)

const (
	maxEntries = 20_000
	maxFolders = 20_000 // those that entries only lie in included
	maxName    = 1024   // bytes of an entry's name, and of what a link leads to
	// maxDirectory is how many bytes an archive may say of its entries: all that is held in memory of it.
	maxDirectory = 8 << 20
	// maxRatio is how many bytes may come of one, beyond the first freeBytes.
	maxRatio  = 200
	freeBytes = 16 << 20
)

// archive is an archive that is being unpacked.
type archive struct {
	file     string // where it lies
	shown    string // as its author would write it
	dir      string // where its files are put
	declared weir.FunctionConfig
	packed   bool              // by Upload.Archive
	uploaded bool              // to a server: whoever built it has read its config, if there is any
	left     *budget           // what all archives of a deploy may still unpack; nil: there is no deploy
	env      map[string]string // what a bootstrap file sees
	*output
}

// unpack makes the content of a function of its archive. a.dir is a folder that there isn't yet.
func (a *archive) unpack() error {
	if err := os.RemoveAll(a.dir); err != nil { // of a child that died
		return err
	}
	f, err := os.Open(a.file)
	if err != nil {
		return a.broken("it can't be read")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxBundle {
		return a.broken("it can't be read, or has more than 250 MB")
	}
	directory := &bounded{f, maxDirectory}
	r, err := zip.NewReader(directory, info.Size())
	switch {
	case directory.left < 0:
		return a.broken("what it says of its entries takes more than %d MB", maxDirectory>>20)
	case err != nil:
		return a.broken("this is no zip file that can be read")
	}
	if err := a.check(r, info.Size()); err != nil {
		return err
	}
	directory.left = math.MaxInt64 // what is read from now on is bounded by what was checked
	for _, e := range r.File {
		if err := a.extract(e); err != nil {
			return err
		}
	}
	if err := a.recognize(); err != nil {
		return err
	}
	a.config = overlaid(a.config, a.declared)
	if err := settleConfig(&a.config, a.output.name); err != nil {
		return a.broken("its configuration: %v", err)
	}
	return a.files.fits()
}

// bounded is a file of which no more than left bytes are read.
type bounded struct {
	io.ReaderAt
	left int64
}

var errBounded = errors.New("more is read than may be")

func (b *bounded) ReadAt(p []byte, at int64) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, errBounded
	}
	return b.ReaderAt.ReadAt(p, at)
}

func (a *archive) broken(format string, args ...any) error {
	return broken(a.shown, fmt.Sprintf(format, args...), "build the function anew with Netlify's tools, or deploy its source")
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
	a.took = taken{Bytes: int64(size), Entries: int64(len(names))}
	if !a.left.take(a.took) {
		return errDeployTooLarge
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
	case !folder && !e.Mode().IsRegular() && !isLink(e):
		return a.broken("the entry %.80q is a device, and only files and links are taken", e.Name)
	case isLink(e) && e.UncompressedSize64 > maxName:
		return a.broken("the link %.80q leads to a name of more than %d bytes", e.Name, maxName)
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

// isLink tells whether an entry is a symbolic link: packages that pnpm installs lie behind such ones.
func isLink(e *zip.File) bool { return e.Mode()&os.ModeSymlink != 0 }

// extract writes one file, or notes one link.
func (a *archive) extract(e *zip.File) error {
	switch {
	case strings.HasSuffix(e.Name, "/"):
		return nil
	case !a.packed && within(weir.PackDir, e.Name):
		a.warnings = append(a.warnings, fmt.Sprintf("%s: what lies in %s is left out: that folder is Weir's own", a.shown, weir.PackDir))
		return nil
	}
	from, err := e.Open()
	if err != nil {
		return a.broken("the entry %.80q can't be read", e.Name)
	}
	defer from.Close()
	limited := &io.LimitedReader{R: from, N: int64(e.UncompressedSize64) + 1} // which check has bounded
	if isLink(e) {
		return a.link(e, limited)
	}
	to := filepath.Join(a.dir, filepath.FromSlash(e.Name))
	err = writeFile(to, limited, e.Mode()&0o111 != 0)
	var system *os.PathError
	switch {
	case errors.As(err, &system):
		return err
	case err != nil || limited.N != 1:
		return a.broken("the entry %.80q is damaged", e.Name)
	}
	a.files.add(e.Name, to)
	return nil
}

// link notes a link. It is made where the artifact is written: here nothing is ever followed.
func (a *archive) link(e *zip.File, content *io.LimitedReader) error {
	to, err := io.ReadAll(content)
	switch {
	case err != nil || content.N != 1:
		return a.broken("the entry %.80q is damaged", e.Name)
	case !staysInside(e.Name, string(to)):
		return a.broken("the entry %.80q is a link that leads elsewhere", e.Name)
	}
	a.files[e.Name] = source{link: string(to)}
	return nil
}

// staysInside tells whether a link leads to something in the same tree, whatever other links there are: it goes up
// only at its beginning, where the folders are real ones (see claim), and no further than to the top.
func staysInside(name, target string) bool {
	up := 0
	for strings.HasPrefix(target, "../") {
		target = target[len("../"):]
		up++
	}
	if target == ".." {
		target, up = ".", up+1
	}
	return up <= strings.Count(name, "/") && filepath.IsLocal(target) && filepath.Clean(target) == strings.TrimSuffix(target, "/") &&
		utf8.ValidString(target) && !strings.ContainsAny(target, "\\\x00")
}
