package build

// What is in an archive, told by its layout: that of Netlify's own bundler (@netlify/zip-it-and-ship-it,
// src/runtimes/node/utils/entry_file.ts), or of Upload.Archive.

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/weir-run/weir/internal/build/insource"
	"github.com/weir-run/weir/internal/policy/sitepolicy"
	"github.com/weir-run/weir/internal/weir"
)

// What Netlify's bundler puts into an archive.
const (
	entryPointV2 = "___netlify-entry-point.mjs"
	metadataName = "___netlify-metadata.json"
)

// How an entry point names the function's own file: of a function v2, and of any other.
var (
	handlerFileV2 = regexp.MustCompile(`getLambdaHandler\(\s*["']\./([^"']+)["']`)
	handlerFileV1 = regexp.MustCompile(`^\s*(?:module\.exports\s*=\s*require\(|export\s*\{\s*handler\s*\}\s*from)\s*["']\./([^"']+)["']`)
)

// recognize finds the handler, and what is said of it.
func (a *archive) recognize() error {
	a.export = "handler"
	if a.packed {
		return a.readForm()
	}
	if a.has(metadataName) {
		var m struct{ Version int }
		if data, err := a.read(metadataName); err != nil || json.Unmarshal(data, &m) != nil || m.Version > 1 {
			return a.broken("%s is of a version that isn't known", metadataName)
		}
	}
	if a.has(entryPointV2) {
		a.entry, a.config.Form = entryPointV2, weir.FormV2
		return a.readConfig(a.named(entryPointV2, handlerFileV2))
	}
	for _, ext := range []string{".js", ".mjs", ".cjs"} {
		if entry := a.name + ext; a.has(entry) {
			return a.recognizeV1(entry)
		}
	}
	return broken(a.shown, fmt.Sprintf("it holds no %s.js, which would be the function", a.name),
		"give the archive the name that it was built with")
}

// recognizeV1 takes entry for the function, or for what leads to it. Of a bootstrap file of Intrinsic's, it is the
// file that that names.
func (a *archive) recognizeV1(entry string) error {
	a.entry, a.config.Form = entry, weir.FormV1
	own := a.named(entry, handlerFileV1)
	if own == "" {
		own = entry
	}
	if a.files[own].link != "" {
		return a.broken("the function's own file %.80q is a link", own)
	}
	boot, err := sitepolicy.Bootstrap(a.files[own].path, a.shown+"/"+own, a.env)
	if boot == nil || err != nil {
		return errors.Join(err, a.readConfig(own))
	}
	handler, err := filepath.Rel(a.dir, boot.HandlerFile)
	if err != nil || !a.has(filepath.ToSlash(handler)) {
		return a.broken("it lacks the file of the handler that %.80q names", own)
	}
	for _, w := range boot.Warnings {
		a.warnings = append(a.warnings, w.Error())
	}
	a.policy, a.export, a.entry = boot.Policy, boot.HandlerName, filepath.ToSlash(handler)
	return a.readConfig(a.entry)
}

// named gives the file that an entry point names, "" if that can't be told.
func (a *archive) named(entry string, by *regexp.Regexp) string {
	text, err := a.read(entry)
	if err != nil {
		return ""
	}
	name := by.FindSubmatch(text)
	if name == nil || !a.has(string(name[1])) {
		return ""
	}
	return string(name[1])
}

// readConfig takes what the function's own file says, as for one that isn't built yet. How it is built is settled.
func (a *archive) readConfig(own string) error {
	src, err := a.read(own)
	if err != nil {
		return nil
	}
	said, err := insource.Read(src, a.shown+"/"+own)
	if err == nil && said.Form == a.config.Form {
		a.config = said.FunctionConfig
		a.warnings = append(a.warnings, said.Warnings...)
	}
	if err != nil && a.uploaded {
		a.warnings = append(a.warnings, err.Error())
		return nil
	}
	return err
}

func (a *archive) has(name string) bool {
	_, ok := a.files[name]
	return ok
}

// read gives a file that was unpacked, if it is one and not too large.
func (a *archive) read(name string) ([]byte, error) {
	file := a.files[name].path
	if info, err := os.Stat(file); err != nil || info.Size() > maxDeclaring {
		return nil, errors.New("no file, or too large")
	}
	return os.ReadFile(file)
}
