package build

// Which packages can't be bundled. A bundle moves a package's code into another file: what finds
// its own files by __dirname, requires by computed names or loads native libraries breaks. Such
// packages are carried as files, and in doubt a package counts as one: that is only larger.

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// whole are packages known to depend on their files in ways that their source does not show.
var whole = []string{
	"@prisma/client", ".prisma", "prisma", "aws-crt", "bcrypt", "better-sqlite3", "canvas", "chrome-aws-lambda",
	"@sparticuz/chromium", "dd-trace", "import-in-the-middle", "jsdom", "newrelic", "oracledb", "pg-native",
	"pino", "playwright-core", "puppeteer", "puppeteer-core", "require-in-the-middle", "sharp", "thread-stream",
	"typescript", "vm2",
}

// nativeHelpers are packages that exist to find or build a native library.
var nativeHelpers = []string{"@mapbox/node-pre-gyp", "bindings", "nan", "napi-macros", "node-addon-api", "node-gyp",
	"node-gyp-build", "node-gyp-build-optional-packages", "node-pre-gyp", "prebuild-install", "prebuildify", "cmake-js"}

// ownPath is source that asks where it is.
var ownPath = regexp.MustCompile(`\b__(?:dirname|filename)\b|\bimport\.meta\b`)

// hiddenRequire is source that requires in a way that no bundler sees.
var hiddenRequire = regexp.MustCompile(`\bmodule\.require\b|\bcreateRequire\b|\beval\(\s*['"]\s*(?:\(0,\s*)?require\b`)

// needsFiles tells whether a package must be carried as files, judging by its package.json and its
// folder.
func needsFiles(p pkg) bool {
	m := manifestAt(filepath.Join(p.dir, "package.json"))
	if slices.Contains(whole, p.name) || m.Gypfile || len(m.Binary) > 0 {
		return true
	}
	for _, name := range nativeHelpers {
		if m.Dependencies[name] != "" || m.OptionalDependencies[name] != "" {
			return true
		}
	}
	entries, _ := os.ReadDir(p.dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() == "binding.gyp" || e.Name() == "prebuilds" || strings.HasSuffix(e.Name(), ".node")
	})
}

// scanPackage tells whether a file's package must be carried as files, judging by the file's text:
// it looks for its own files, or requires in a way that no bundler sees.
func scanPackage(src string) bool {
	return mentions(src, "__dirname", "__filename", "import.meta") && ownPath.MatchString(src) ||
		mentions(src, "module.require", "createRequire", "eval(") && hiddenRequire.MatchString(src)
}

// mentions tells whether any of the words is in a source: far faster than the expressions that need
// one of them.
func mentions(src string, words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(src, w) })
}

// sloppy tells whether a file may count on not being in strict mode, as old CommonJS code does (it
// assigns to undeclared names, for one). In an ES module everything is strict.
func (m *memo) sloppy(src, file string) bool {
	return m.moduleType(file) != "module" && !strings.Contains(src, "use strict")
}
