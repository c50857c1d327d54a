package house

// Files that a person can read in one sitting, and no left-over marks.

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines = 500
	maxFuncLines = 60
)

// longer names the files and functions that are longer for a reason.
var longer = map[string]string{}

func sources(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains([]string{"testdata", "node_modules", ".git"}, e.Name()) {
			return filepath.SkipDir
		}
		if slices.Contains([]string{".go", ".js", ".mjs", ".cjs"}, filepath.Ext(path)) {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d source files found", len(files))
	}
	return files
}

func TestFilesStayShort(t *testing.T) {
	for _, f := range sources(t) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(f, "../../")
		if n := bytes.Count(b, []byte("\n")); n > maxFileLines && longer[name] == "" {
			t.Errorf("%s has %d lines: split it, or give the reason here", name, n)
		}
	}
}

func TestFunctionsStayShort(t *testing.T) {
	fset := token.NewFileSet()
	for _, f := range sources(t) {
		if filepath.Ext(f) != ".go" {
			continue
		}
		file, err := parser.ParseFile(fset, f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			name := strings.TrimPrefix(f, "../../") + ":" + fn.Name.Name
			if lines > maxFuncLines && longer[name] == "" && !strings.HasSuffix(f, "_test.go") {
				t.Errorf("%s has %d lines: split it, or give the reason here", name, lines)
			}
		}
	}
}

// A reader who opens a file learns first why it is there: the package's comment, or one of the file's own.
func TestFilesOpenWithWhyTheyExist(t *testing.T) {
	fset := token.NewFileSet()
	for _, f := range sources(t) {
		if filepath.Ext(f) != ".go" || strings.HasSuffix(f, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, f, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !opens(file) {
			t.Errorf("%s does not say why it exists: open it with a comment, apart from that of its first declaration", strings.TrimPrefix(f, "../../"))
		}
	}
}

// opens tells whether a comment that is prose, and not the first declaration's own, stands before all
// declarations.
func opens(file *ast.File) bool {
	var own *ast.CommentGroup
	end := file.FileEnd
	if len(file.Decls) > 0 {
		end = file.Decls[0].Pos()
		switch d := file.Decls[0].(type) {
		case *ast.FuncDecl:
			own = d.Doc
		case *ast.GenDecl:
			own = d.Doc
		}
	}
	return slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool { return c != own && c.End() < end && c.Text() != "" })
}

func TestNoLeftOvers(t *testing.T) {
	mark := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	for _, f := range sources(t) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := mark.Find(b); m != nil {
			t.Errorf("%s holds a left-over %s", strings.TrimPrefix(f, "../../"), m)
		}
	}
}
