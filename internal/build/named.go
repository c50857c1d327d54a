package build

// Files that the site's own code reads by a path that stands in it: they are taken along, as Netlify's default
// bundler does. What may hold credentials only included_files takes.

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/weir-run/weir/internal/site"
)

// Bounds of a folder that is taken along though nobody asked for it: what is in it, and its bytes.
const (
	maxNamedFiles = 2000
	maxNamedBytes = 50 << 20
)

var (
	fileURL = regexp.MustCompile(`\bnew\s+URL\(\s*(?:"(\.{1,2}/[^"\n\\]+)"|'(\.{1,2}/[^'\n\\]+)')\s*,\s*import\.meta\.url\s*,?\s*\)`)
	// readPath is a call that reads a path which begins in the working directory.
	readPath = regexp.MustCompile(`\b(?:readFile|readFileSync|readdir|readdirSync|createReadStream)\(\s*["'](\.{1,2}/[^"'\n\\]+)["']\s*[,)]`)
	readHere = regexp.MustCompile(`\breaddir(?:Sync)?\(\s*__dirname\s*[,)]`)
)

// Paths that begin where the code or the function is. Their groups: where, text in quotes, text without, and what
// tells that the path is completed at run time.
const (
	fromHere   = `(__dirname|\bimport\.meta\.dirname|\bprocess\.cwd\(\))`
	quotedText = "\"[^\"\n\\\\]*\"|'[^'\n\\\\]*'|`[^`$\\\\]*`"
)

var quoted = regexp.MustCompile(quotedText)

var paths = []*regexp.Regexp{
	regexp.MustCompile(`\b(?:join|resolve)\(\s*` + fromHere + `((?:\s*,\s*(?:` + quotedText + "))*)(?:\\s*,\\s*`([^`$\\\\]*))?\\s*(,|\\$)?"),
	regexp.MustCompile(fromHere + "\\s*\\+\\s*()[\"'`]([^\"'`$\n\\\\]*)[\"'`]\\s*(\\+)?"),
	regexp.MustCompile("`\\$\\{" + fromHere + "\\}()([^`$\\\\]*)(\\$)?"),
}

// filesIn takes along what a source of the site's own names so.
func (p *pass) filesIn(text, file string) {
	dir := filepath.Dir(file)
	if mentions(text, "import.meta.url") {
		for _, m := range fileURL.FindAllStringSubmatch(text, -1) {
			if name, err := url.PathUnescape(m[1] + m[2]); err == nil {
				p.takeFile(filepath.Join(dir, filepath.FromSlash(name)))
			}
		}
	}
	if mentions(text, "readFile", "readdir", "createReadStream") {
		for _, m := range readPath.FindAllStringSubmatch(text, -1) {
			p.take(filepath.Join(p.site.Base, filepath.FromSlash(m[1])))
		}
		if readHere.MatchString(text) {
			p.takeFolder(dir)
		}
	}
	if !mentions(text, "__dirname", "import.meta.dirname", "process.cwd") {
		return
	}
	for _, expression := range paths {
		for _, m := range expression.FindAllStringSubmatch(text, -1) {
			base := dir
			if strings.HasPrefix(m[1], "process") {
				base = p.site.Base
			}
			if name := pathOf(m[2], m[3], m[4] != ""); name != "" {
				p.take(filepath.Join(base, filepath.FromSlash(name)))
			}
		}
	}
}

// pathOf gives the path that the groups of an expression make up; of one that is completed at run time, the folder.
func pathOf(texts, rest string, open bool) string {
	name := ""
	for _, text := range quoted.FindAllString(texts, -1) {
		name += "/" + text[1:len(text)-1]
	}
	name += "/" + rest
	if open {
		name = name[:strings.LastIndex(name, "/")]
	}
	return strings.Trim(name, "/")
}

// take takes along a file or a folder.
func (p *pass) take(at string) {
	if info, err := os.Stat(at); err == nil && info.IsDir() {
		p.takeFolder(at)
	} else {
		p.takeFile(at)
	}
}

func (p *pass) takeFile(at string) {
	real, err := filepath.EvalSymlinks(at)
	if err != nil || !within(p.site.Base, real) || p.readable(real) != "" {
		return
	}
	if place := p.placeOf(real); !private(place) && !p.without(place) {
		p.reference(real)
	}
}

// takeFolder takes along what is in a folder, unless the handler's own file is: then it was meant as a place to
// begin at.
func (p *pass) takeFolder(at string) {
	dir, err := filepath.EvalSymlinks(at)
	if err != nil || !within(p.site.Base, dir) || within(dir, p.entry) {
		return
	}
	var files []string
	seen, size := 0, int64(0)
	err = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if seen++; err != nil || seen > maxNamedFiles || size > maxNamedBytes {
			return fs.SkipAll
		}
		if e.IsDir() && (e.Name() == "node_modules" || name != dir && private(e.Name())) {
			return fs.SkipDir
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files, size = append(files, name), size+info.Size()
		}
		return nil
	})
	if err != nil || seen > maxNamedFiles || size > maxNamedBytes {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tooLarge[p.site.Rel(dir)] = true
		return
	}
	for _, name := range files {
		p.takeFile(name)
	}
}

// private tells whether a place holds a hidden part, or may hold credentials.
func private(place string) bool {
	for part := range strings.SplitSeq(place, "/") {
		if part[0] == '.' || site.Credential(part) {
			return true
		}
	}
	return false
}
