package build

// The code of a pack. Each module is printed anew by esbuild, as CommonJS: what is printed of a syntax
// tree is whole statements, so no source can end the function that it is put into.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/weir-run/weir/internal/weir"
)

// Parameters of the functions that modules are put into. Those of an ES module are declared by its own
// code often enough, so it has only what code printed by esbuild needs.
const (
	scriptStart  = "(function(__create,__defProp,__getOwnPropDesc,__getOwnPropNames,__getProtoOf,__hasOwnProp,__copyProps,__export,__reExport,__toESM,__toCommonJS){return[\n"
	scriptEnd    = "]})\n"
	functionEnd  = "\n}),\n"
	startLines   = 1 // of scriptStart, and of each module's start
	functionEnds = 2 // lines that functionEnd adds
)

// start gives how the function begins that a module is put into.
func (m *packModule) start() string {
	parameters, strict := "exports,require,module,__filename,__dirname", ""
	if m.ESM {
		parameters, strict = "require,module", "\"use strict\";"
	}
	if m.Meta { // only if it is used: then no other name is like it
		parameters += ",__weir_meta"
	}
	if m.Import {
		parameters += ",__weir_import"
	}
	return "(function(" + parameters + "){" + strict + "\n"
}

// printed is one module as CommonJS.
type printed struct {
	code  []byte
	lines int // newlines in code
	smap  printedMap
}

// printedMap is a source map as esbuild makes it.
type printedMap struct {
	Version  int      `json:"version"`
	Sources  []string `json:"sources"` // seen from the site's folder; in a pack from .weir
	Names    []string `json:"names"`
	Mappings string   `json:"mappings"`
}

// section is a part of a source map (ECMA-426, "Index source map").
type section struct {
	Offset struct {
		Line   int `json:"line"`
		Column int `json:"column"`
	} `json:"offset"`
	Map printedMap `json:"map"`
}

// print makes the files of a pack and completes its index.
func (b *bundler) print(ctx context.Context, index *packIndex) (tree, error) {
	modules, err := b.convert(ctx, index.Modules)
	if err != nil {
		return nil, err
	}
	var code bytes.Buffer
	var sections []section
	line := 0
	for i, p := range index.Packages {
		p.At, p.Line, p.ASCII = code.Len(), line, true
		code.WriteString(scriptStart)
		line += startLines
		for j, m := range index.Modules {
			if m.Package != i {
				continue
			}
			if modules[j] == nil { // JSON
				code.WriteString("0,\n")
				line++
				continue
			}
			code.WriteString(m.start())
			line += startLines
			s := section{Map: modules[j].smap}
			s.Offset.Line = line
			sections = append(sections, s)
			code.Write(modules[j].code)
			code.WriteString(functionEnd)
			line += modules[j].lines + functionEnds
		}
		code.WriteString(scriptEnd)
		line++
		p.Size = code.Len() - p.At
		p.ASCII = ascii(code.Bytes()[p.At:])
	}
	if err := b.addData(&code, index.Modules); err != nil {
		return nil, err
	}
	about, err := json.Marshal(index)
	if err != nil {
		return nil, err
	}
	smap, err := json.Marshal(map[string]any{"version": 3, "sections": sections})
	if err != nil {
		return nil, err
	}
	return tree{
		path.Join(weir.PackDir, "pack.js"):     {data: code.Bytes()},
		path.Join(weir.PackDir, "pack.json"):   {data: about},
		path.Join(weir.PackDir, "pack.js.map"): {data: smap},
	}, nil
}

// addData adds the modules that are JSON, as text.
func (b *bundler) addData(to *bytes.Buffer, modules []*packModule) error {
	for _, m := range modules {
		if _, code := b.done.sources[m.path]; code {
			continue
		}
		if problem := b.readable(m.path); problem != "" {
			return unpackable(m.File + ": " + problem)
		}
		text, err := os.ReadFile(m.path)
		if err != nil {
			return unpackable(m.File + " can't be read")
		}
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
		if !json.Valid(text) { // esbuild takes comments, too
			return unpackable(m.File + " is not JSON")
		}
		m.JSON = []int{to.Len(), len(text)}
		to.Write(text)
		to.WriteByte('\n')
	}
	return nil
}

// moduleDefines replaces the names by which an ES module asks where it is. Code for bundlers uses those of
// CommonJS, too.
var moduleDefines = map[string]string{"import.meta": "__weir_meta", "__dirname": "__weir_meta.dirname", "__filename": "__weir_meta.filename"}

// convert prints the modules, by their index. Those that are JSON are nil.
func (b *bundler) convert(ctx context.Context, modules []*packModule) ([]*printed, error) {
	out := make([]*printed, len(modules))
	var plain, common, esm []api.EntryPoint
	for i, m := range modules {
		if _, code := b.done.sources[m.path]; !code {
			continue
		}
		if strings.Contains(m.path, "*") { // esbuild would take it for a pattern
			return nil, unpackable(m.File + " has a star in its name")
		}
		out[i] = &printed{}
		entry := api.EntryPoint{InputPath: m.path, OutputPath: strconv.Itoa(i)}
		switch {
		case m.ESM:
			esm = append(esm, entry)
		case javascript(m.path):
			plain = append(plain, entry)
		default:
			common = append(common, entry)
		}
	}
	for _, kind := range []struct {
		entries  []api.EntryPoint
		defines  map[string]string
		tsconfig string // instead of the site's, which would make sloppy code strict
	}{{plain, nil, "{}"}, {common, nil, ""}, {esm, moduleDefines, ""}} {
		for batch := range slices.Chunk(kind.entries, maxBatch) {
			if err := b.transform(ctx, batch, kind.defines, kind.tsconfig, out); err != nil {
				return nil, err
			}
		}
	}
	return out, b.complete(out, modules)
}

// computedImports has the sources call __weir_import where they import by a computed name: esbuild would print
// a require, which gives something else.
func (b *bundler) computedImports() error {
	for _, m := range b.done.result.Warnings {
		if m.ID != "unsupported-dynamic-import" {
			continue
		}
		file := filepath.Join(b.site.Base, filepath.FromSlash(m.Location.File))
		lines := strings.Split(b.done.sources[file], "\n")
		if m.Location.Line > len(lines) {
			return unpackable(fmt.Sprintf("%s: it imports by a computed name", b.position(m.Location)))
		}
		line := &lines[m.Location.Line-1]
		// What stands before it may differ from what esbuild saw: see withPaths, and the imports before it.
		call := m.Location.LineText[min(m.Location.Column, len(m.Location.LineText)):]
		before, ok := strings.CutSuffix(strings.TrimSuffix(*line, "\r"), call)
		if !ok || !strings.HasPrefix(call, "import") {
			return unpackable(fmt.Sprintf("%s: it imports by a computed name", b.position(m.Location)))
		}
		*line = before + "__weir_" + call
		b.done.sources[file] = strings.Join(lines, "\n")
	}
	return nil
}

// maxBatch bounds the modules that are printed at a time: what esbuild allocates grows with their square.
const maxBatch = 128

// transform has esbuild print modules as CommonJS, each by itself, and puts them into out by the name of
// their output.
func (b *bundler) transform(ctx context.Context, entries []api.EntryPoint, defines map[string]string, tsconfig string, out []*printed) error {
	load := func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text := withoutHashbang(b.done.sources[a.Path])
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderDefault}, nil
	}
	esbuild, failure := api.Context(api.BuildOptions{
		EntryPointsAdvanced: entries,
		AbsWorkingDir:       b.site.Base,
		Outdir:              b.site.Base,
		AllowOverwrite:      true, // nothing is written
		Platform:            api.PlatformNeutral,
		Format:              api.FormatCommonJS,
		Engines:             []api.Engine{{Name: api.EngineNode, Version: "20"}},
		Supported:           map[string]bool{"dynamic-import": false}, // it becomes a require
		Define:              defines,
		TsconfigRaw:         tsconfig,
		LegalComments:       api.LegalCommentsNone,
		Sourcemap:           api.SourceMapExternal,
		SourcesContent:      api.SourcesContentExclude,
		LogLevel:            api.LogLevelSilent,
		Plugins: []api.Plugin{{Name: "weir", Setup: func(build api.PluginBuild) {
			build.OnLoad(api.OnLoadOptions{Filter: ".*"}, load)
		}}},
	})
	if failure != nil {
		return unpackable(failure.Errors[0].Text)
	}
	defer esbuild.Dispose()
	stop := context.AfterFunc(ctx, esbuild.Cancel)
	defer stop()
	res := esbuild.Rebuild()
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(res.Errors) > 0 {
		return b.failure(res.Errors)
	}
	for _, f := range res.OutputFiles {
		name, isMap := strings.CutSuffix(filepath.Base(f.Path), ".map")
		id, err := strconv.Atoi(strings.TrimSuffix(name, ".js"))
		switch {
		case err != nil || id < 0 || id >= len(out) || out[id] == nil:
			return fmt.Errorf("esbuild gave a file that nobody asked for: %s", name)
		case !isMap:
			out[id].code = f.Contents
		default:
			if err := json.Unmarshal(f.Contents, &out[id].smap); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete takes from the printed modules what the shim has, and names their sources as the pack does.
func (b *bundler) complete(out []*printed, modules []*packModule) error {
	known, err := helpers()
	if err != nil {
		return err
	}
	for i, p := range out {
		if p == nil {
			continue
		}
		modules[i].Import = bytes.Contains(p.code, []byte("__weir_import"))
		if modules[i].ESM {
			modules[i].Meta = bytes.Contains(p.code, []byte("__weir_meta"))
			p.withoutHelpers(known)
		}
		for j, s := range p.smap.Sources {
			p.smap.Sources[j] = "../" + b.placeOf(filepath.Join(b.site.Base, filepath.FromSlash(s)))
		}
		p.lines = bytes.Count(p.code, []byte("\n"))
	}
	return nil
}

// exportsStart is where the code of an ES module begins that was printed as CommonJS.
var exportsStart = regexp.MustCompile(`(?m)^var \w+_exports = \{\};\n`)

// directives are what may stand before anything else. An ES module is strict without them.
var directives = regexp.MustCompile(`^(?:"[^"\n]*";\n)+`)

// withoutHelpers removes the functions that esbuild puts in front of an ES module's own code and the shim
// has, too. The shim's know a module of the pack from an object that looks like one.
func (p *printed) withoutHelpers(known map[string]bool) {
	at := exportsStart.FindIndex(p.code)
	if at == nil {
		return
	}
	front := string(p.code[:at[0]])
	declared := directives.ReplaceAllString(front, "")
	kept := ""
	for _, helper := range splitHelpers(declared) {
		if !known[helper] {
			kept += "var " + helper + "\n"
		}
	}
	gone := strings.Count(front, "\n") - strings.Count(kept, "\n")
	if !strings.HasPrefix(declared, "var ") || strings.Trim(p.smap.Mappings[:min(gone, len(p.smap.Mappings))], ";") != "" {
		return // that is the module's own code
	}
	p.code, p.smap.Mappings = append([]byte(kept), p.code[at[0]:]...), p.smap.Mappings[gone:]
}

// splitHelpers splits the declarations of helpers, without their "var".
func splitHelpers(front string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(front, "var "), "\n"), "\nvar ")
}

// helpers gives the declarations that the shim has functions for.
func helpers() (map[string]bool, error) {
	res := api.Transform(`import d, * as n from "a"; export * from "a"; export { d, n };`,
		api.TransformOptions{Format: api.FormatCommonJS, LogLevel: api.LogLevelSilent})
	at := exportsStart.FindIndex(res.Code)
	if at == nil {
		return nil, fmt.Errorf("esbuild prints ES modules in an unknown way")
	}
	known := map[string]bool{}
	for _, h := range splitHelpers(string(res.Code[:at[0]])) {
		known[h] = true
	}
	return known, nil
}

// withoutHashbang empties the first line of a program that names its interpreter, which esbuild would
// print again.
func withoutHashbang(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	if !strings.HasPrefix(text, "#!") {
		return text
	}
	if n := strings.IndexByte(text, '\n'); n >= 0 {
		return text[n:]
	}
	return ""
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
