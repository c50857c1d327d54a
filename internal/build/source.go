package build

// What is done to source text before it is bundled.

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// pathDefines replaces, scope-aware, the names by which source asks where it is with variables that
// withPaths declares per file.
var pathDefines = map[string]string{
	"__dirname":            "__weir_dirname",
	"__filename":           "__weir_filename",
	"import.meta.dirname":  "__weir_dirname",
	"import.meta.filename": "__weir_filename",
	"import.meta.url":      "__weir_url",
}

// importMeta begins with plain letters, as the expressions below: such ones are looked for fast.
var importMeta = regexp.MustCompile(`import\s*\.\s*meta\b`)

// withPaths declares, in source that asks where it is, the answers: __dirname of lib/mail.js stays
// /var/task/lib though the code now stands in functions/charge.js. The declarations go to the line
// on which the code starts, so that no line number changes.
func withPaths(src, name string) string {
	meta := importMeta.MatchString(src)
	var vars []string
	declare := func(used bool, variable, call, arg string) {
		if used {
			quoted, _ := json.Marshal(arg)
			vars = append(vars, fmt.Sprintf("%s=/* @__PURE__ */%s(%s)", variable, call, quoted))
		}
	}
	declare(meta || strings.Contains(src, "__dirname"), "__weir_dirname", "__weir_path", path.Dir(name))
	declare(meta || strings.Contains(src, "__filename"), "__weir_filename", "__weir_path", name)
	declare(meta, "__weir_url", "__weir_href", name)
	if vars == nil {
		return src
	}
	at := prologue(src)
	return src[:at] + ";var " + strings.Join(vars, ",") + ";" + src[at:]
}

// banner defines the functions that withPaths calls, and in an ES module the require that bundled
// CommonJS code needs. dir is the bundle's folder relative to the root of the function. In CommonJS
// it stands before the entry's "use strict", which so is none: else it would hold for every package
// in the bundle, and old ones break in strict mode, while code for strict mode works without.
func banner(f api.Format, dir string) string {
	up, _ := filepath.Rel(dir, ".")
	if f == api.FormatCommonJS {
		return fmt.Sprintf(`const __weir_path=p=>require("node:path").join(__dirname,%q,p),`+
			`__weir_href=p=>require("node:url").pathToFileURL(__weir_path(p)).href;`, up)
	}
	return fmt.Sprintf(`import{createRequire as __weir_require}from"node:module";import{join as __weir_join}from"node:path";`+
		`import{fileURLToPath as __weir_file,pathToFileURL as __weir_toURL}from"node:url";`+
		`const require=__weir_require(import.meta.url),__weir_path=p=>__weir_join(__weir_file(import.meta.url),"..",%q,p),`+
		`__weir_href=p=>__weir_toURL(__weir_path(p)).href;`, up)
}

// prologue gives the offset behind a script's hashbang and directives ("use strict"), which must
// stay in front (ECMA-262, "Directive Prologues").
func prologue(src string) int {
	at := 0
	if strings.HasPrefix(src, "\ufeff") {
		at = len("\ufeff")
	}
	if strings.HasPrefix(src[at:], "#!") {
		n := strings.IndexByte(src[at:], '\n')
		if n < 0 {
			return len(src)
		}
		at += n + 1
	}
	for {
		i := skipBlank(src, at)
		if i >= len(src) || src[i] != '"' && src[i] != '\'' {
			return at
		}
		n := strings.IndexByte(src[i+1:], src[i])
		if n < 0 || strings.ContainsAny(src[i+1:i+1+n], "\\\n") {
			return at
		}
		end := i + n + 2
		for end < len(src) && (src[end] == ' ' || src[end] == '\t' || src[end] == '\r') {
			end++
		}
		switch {
		case end == len(src) || src[end] == '\n':
		case src[end] == ';':
			end++
		default:
			return at
		}
		at = end
	}
}

// skipBlank gives the offset behind white space and comments.
func skipBlank(src string, at int) int {
	for at < len(src) {
		rest := src[at:]
		n := -1
		switch {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			n = 0
		case strings.HasPrefix(rest, "//"):
			n = strings.IndexByte(rest, '\n')
		case strings.HasPrefix(rest, "/*"):
			if n = strings.Index(rest, "*/"); n >= 0 {
				n++
			}
		default:
			return at
		}
		if n < 0 {
			return len(src)
		}
		at += n + 1
	}
	return at
}

// computed is a require or import of a path that begins with dots and is completed at run time.
const computed = "\\s*\\(\\s*[\"'`]((?:\\.{1,2}/)+)[^\"'`]*(?:[\"'`]\\s*\\+|\\$\\{)"

var (
	computedRequire = regexp.MustCompile("require" + computed)
	computedImport  = regexp.MustCompile("import" + computed)
)

// inPackage is the rest of a require or import of a file in a package whose name is completed at run time.
const inPackage = "\\s*\\(\\s*[\"'`]((?:@[\\w.-]+/)?\\w[\\w.-]*)/[^\"'`]*(?:[\"'`]\\s*\\+|\\$\\{)"

var computedFiles = []*regexp.Regexp{regexp.MustCompile("require" + inPackage), regexp.MustCompile("import" + inPackage)}

// climbs gives the dots of the computed path in a source that climb the highest. esbuild takes such a
// path for a pattern, and walks the folder that it begins in for all that it may mean.
func climbs(src string) (dots string, ok bool) {
	for _, m := range slices.Concat(computedRequire.FindAllStringSubmatch(src, -1), computedImport.FindAllStringSubmatch(src, -1)) {
		if !ok || strings.Count(m[1], "..") > strings.Count(dots, "..") {
			dots, ok = m[1], true
		}
	}
	return dots, ok
}

// mapMark is in every reference to a source map.
const mapMark = "sourceMappingURL="

// mapComment is a reference to a source map as esbuild reads it.
var mapComment = regexp.MustCompile(`(?://|/\*)[#@][ \t]*sourceMappingURL=([^\s*]*)`)

// lastMapComment is one at the end of a file, where tools put it.
var lastMapComment = regexp.MustCompile(`\n[ \t]*(?://|/\*)[#@][ \t]*sourceMappingURL=[^\n]*\s*$`)

// disarm breaks the references to source maps that lead to anything but a map beside the source,
// in place. esbuild would follow them to any file of the machine, a device that never ends
// included.
func (b *bundler) disarm(src, file string) string {
	if !mentions(src, mapMark) {
		return src
	}
	return mapComment.ReplaceAllStringFunc(src, func(m string) string {
		u, err := url.Parse(mapComment.FindStringSubmatch(m)[1])
		if err != nil || u.Scheme != "" && u.Scheme != "file" {
			return m // not followed, or inline
		}
		beside := filepath.Join(filepath.Dir(file), u.Path)
		_, missing := os.Lstat(beside)
		if u.Scheme == "" && u.Host == "" && filepath.IsLocal(u.Path) && (missing != nil || b.readable(beside) == "") {
			return m
		}
		return m[:2] + " " + m[3:]
	})
}

// entryFormat gives the module format, "cjs" or "esm", that esbuild found the entry's source to
// have; "" if the build failed.
func entryFormat(metafile, entry string) string {
	var m struct {
		Inputs map[string]struct{ Format string }
	}
	if json.Unmarshal([]byte(metafile), &m) != nil {
		return ""
	}
	return m.Inputs[entry].Format
}
