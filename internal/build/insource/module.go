package insource

// A source, of TypeScript or with JSX, is first printed as plain JavaScript by esbuild. What it prints has a
// known layout: each statement of the top begins at the left margin and nothing else does, but for what closes
// one. So the statements are told apart without parsing them all, which no parser of ES modules is needed for;
// only those that a config is made of are parsed.

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"

	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/file"
	"github.com/dop251/goja/parser"
	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"

	"github.com/weir-run/weir/internal/weir"
)

// module is a source that was taken apart.
type module struct {
	file     string
	code     string                    // as printed
	exports  map[string]string         // what each export is called inside; "" if it has no name there
	at       map[string]statement      // declarations of the top, by what they declare
	getters  map[string]string         // by its name, the list of exports that esbuild's own output holds
	lists    []string                  // declarations that may declare more than their first name; see value
	parsed   map[string]ast.Expression // see value
	places   *file.FileSet
	original *sourcemap.Consumer
}

// statement is a declaration at the top of the printed source.
type statement struct {
	line  int    // from 0
	text  string // all of it, as a script
	twice bool   // there is another one of the same name
}

var loaders = map[string]api.Loader{".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX, ".jsx": api.LoaderJSX}

// parse takes a source apart; nil if esbuild can't.
func parse(src []byte, name string) *module {
	loader, ok := loaders[path.Ext(name)]
	if !ok {
		loader = api.LoaderJS
	}
	// A source map that the source brings would be followed, to wherever it names.
	plain := strings.ReplaceAll(string(src), "sourceMappingURL", "sourceMappingUrl")
	res := api.Transform(plain, api.TransformOptions{
		Loader: loader, Sourcefile: name, LogLevel: api.LogLevelSilent, LegalComments: api.LegalCommentsNone,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		Supported: map[string]bool{"template-literal": false}, // the only text with line ends in it
		Charset:   api.CharsetASCII,
	})
	if len(res.Errors) > 0 {
		return nil
	}
	m := &module{file: name, code: string(res.Code), exports: map[string]string{}, at: map[string]statement{}, getters: map[string]string{}, parsed: map[string]ast.Expression{}, places: &file.FileSet{}}
	m.original, _ = sourcemap.Parse("", res.Map)
	m.divide(m.code)
	return m
}

// divide finds the statements of the top.
func (m *module) divide(code string) {
	lines := strings.Split(code, "\n")
	for from := 0; from < len(lines); {
		to := from + 1
		for to < len(lines) && (lines[to] == "" || strings.IndexByte(" \t})]", lines[to][0]) >= 0) {
			to++
		}
		m.take(from, strings.Join(lines[from:to], "\n"))
		from = to
	}
}

var (
	declaration  = regexp.MustCompile(`^(export )?(?:const|let|var) ([\w$]+)(?: = |;|, )`)
	taken        = regexp.MustCompile(`^export (?:const|let|var) [{[](?s:.*)\bconfig\b`)
	callable     = regexp.MustCompile(`^(export )?(?:async )?(?:function\*? ?|class )([\w$]+)`)
	commonJS     = regexp.MustCompile(`^((?:module\.)?exports\.([\w$]+)) = `)
	getters      = regexp.MustCompile(`^__export\(([\w$]+), \{([^{}]*)\}\);`)
	getter       = regexp.MustCompile(`(?m)^\s*"?([\w$]+)"?: \(\) => ([\w$]+),?$`)
	toCommonJS   = regexp.MustCompile(`^module\.exports = __toCommonJS\(([\w$]+)\);`)
	defaultName  = regexp.MustCompile(`^export default ([\w$]+);$`)
	specifier    = regexp.MustCompile(`^([\w$]+)(?: as ([\w$]+|"(?:[^"\\]|\\.)*"))?$`)
	exportsFrom  = regexp.MustCompile(`^export \{([^}]*)\}( from )?`)
	defaultFront = "export default "
)

// unnamed is what a default export is called that has no name of its own. (No source can: it holds a blank.)
const unnamed = "export default"

// take looks at one statement.
func (m *module) take(line int, text string) {
	declare := func(name, script string) {
		_, twice := m.at[name]
		m.at[name] = statement{line, script, twice}
	}
	if f := declaration.FindStringSubmatch(text); f != nil {
		// Blanks keep the columns.
		declare(f[2], strings.Repeat(" ", len(f[1]))+text[len(f[1]):])
		if f[1] != "" {
			m.exports[f[2]] = f[2]
			m.takeOthers(f[2], true)
		} else {
			m.lists = append(m.lists, f[2])
		}
	} else if taken.MatchString(text) {
		m.exports["config"] = "" // whatever it is taken out of
	} else if f := callable.FindStringSubmatch(text); f != nil {
		declare(f[2], "")
		if f[1] != "" {
			m.exports[f[2]] = f[2]
		}
	} else if f := commonJS.FindStringSubmatch(text); f != nil {
		name := f[1] // with a dot in it: nothing of the source can mean it
		declare(name, "var x="+strings.Repeat(" ", max(0, len(f[1])+3-len("var x=")))+text[len(f[0]):])
		m.exports[f[2]] = name
	} else if f := getters.FindStringSubmatch(text); f != nil {
		m.getters[f[1]] = f[2]
	} else if f := toCommonJS.FindStringSubmatch(text); f != nil {
		for _, g := range getter.FindAllStringSubmatch(m.getters[f[1]], -1) {
			m.exports[g[1]] = g[2]
		}
	} else if f := defaultName.FindStringSubmatch(text); f != nil {
		m.exports["default"] = f[1]
	} else if strings.HasPrefix(text, defaultFront) {
		declare(unnamed, "var x=         "+text[len(defaultFront):])
		m.exports["default"] = unnamed
	} else if f := exportsFrom.FindStringSubmatch(text); f != nil {
		m.takeList(f[1], f[2] != "")
	}
}

// takeOthers looks at what a declaration declares besides its first name.
func (m *module) takeOthers(first string, exported bool) {
	s := m.at[first]
	for _, b := range m.bindings(s) {
		if id, ok := b.Target.(*ast.Identifier); ok && id.Name.String() != first {
			name := id.Name.String()
			_, twice := m.at[name]
			m.at[name] = statement{s.line, s.text, twice}
			if exported {
				m.exports[name] = name
			}
		}
	}
}

// takeList looks at export { a, b as c }; what comes from another file has no name here.
func (m *module) takeList(list string, from bool) {
	for s := range strings.SplitSeq(list, ",") {
		f := specifier.FindStringSubmatch(strings.TrimSpace(s))
		if f == nil {
			continue
		}
		outside, inside := f[2], f[1]
		if outside == "" {
			outside = f[1]
		} else if outside[0] == '"' {
			_ = json.Unmarshal([]byte(outside), &outside)
		}
		if from {
			inside = ""
		}
		m.exports[outside] = inside
	}
}

// form tells how the handler is called: an export handler comes before all others, as where it is loaded.
func (m *module) form() weir.Form {
	_, handler := m.exports["handler"]
	_, fetch := m.exports["default"]
	switch {
	case handler:
		return weir.FormV1
	case fetch:
		return weir.FormV2
	}
	return ""
}

// value gives what a name at the top is declared to be, nil if that can't be told.
func (m *module) value(name string) ast.Expression {
	if e, ok := m.parsed[name]; ok {
		return e
	}
	s, ok := m.at[name]
	if !ok && name != "" {
		for _, first := range m.lists {
			m.takeOthers(first, false)
		}
		m.lists = nil
		s, ok = m.at[name]
	}
	m.parsed[name] = nil
	if !ok || s.twice || s.text == "" {
		return nil
	}
	for _, b := range m.bindings(s) {
		if id, ok := b.Target.(*ast.Identifier); ok && (id.Name.String() == name || id.Name == "x" && strings.ContainsAny(name, ". ")) {
			m.parsed[name] = b.Initializer
		}
	}
	return m.parsed[name]
}

// bindings parses a declaration; none if that can't be done.
func (m *module) bindings(s statement) []*ast.Binding {
	script, err := parser.ParseFile(m.places, "", strings.Repeat("\n", s.line)+s.text, 0, parser.WithDisableSourceMaps)
	if err != nil || len(script.Body) == 0 {
		return nil
	}
	switch s := script.Body[0].(type) {
	case *ast.VariableStatement:
		return s.List
	case *ast.LexicalDeclaration:
		return s.List
	}
	return nil
}

// posOf gives where a name is declared.
func (m *module) posOf(name string) weir.Position {
	if s, ok := m.at[name]; ok && m.original != nil {
		if _, _, line, column, ok := m.original.Source(s.line+1, 0); ok {
			return weir.Position{File: m.file, Line: line, Column: column + 1}
		}
	}
	return weir.Position{File: m.file}
}

// pos gives where an expression stands in the source as it was written.
func (m *module) pos(at file.Idx) weir.Position {
	p := m.places.Position(at)
	if m.original != nil {
		if _, _, line, column, ok := m.original.Source(p.Line, p.Column-1); ok {
			return weir.Position{File: m.file, Line: line, Column: column + 1}
		}
	}
	return weir.Position{File: m.file}
}
