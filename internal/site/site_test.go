package site

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-run/weir/internal/routing"
	"github.com/weir-run/weir/internal/weir"
)

var update = flag.Bool("update", false, "write the golden files anew")

// newSite writes the files of an archive's text to a new folder; a line "NAME -> TARGET" in front of
// them makes a link.
func newSite(t *testing.T, text string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse([]byte(text))
	for _, f := range ar.Files {
		put(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	for line := range strings.Lines(string(ar.Comment)) {
		if name, target, ok := strings.Cut(strings.TrimSpace(line), " -> "); ok {
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, text string) *Site {
	t.Helper()
	s, err := Load(newSite(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Faults of netlify.toml are told with file, line and column and what was expected.
func TestFaultsOfTheConfiguration(t *testing.T) {
	const file = "testdata/config/faults.txtar"
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(ar.Files); i += 2 {
		c, want := ar.Files[i], &ar.Files[i+1]
		t.Run(c.Name, func(t *testing.T) {
			dir := newSite(t, "site/leak -> /etc\n-- site/keep --\n")
			put(t, filepath.Join(dir, "site/netlify.toml"), string(c.Data))
			_, err := Load(filepath.Join(dir, "site"))
			got := fmt.Sprintln(err)
			if *update {
				want.Data = []byte(got)
			}
			if weir.ErrorCode(err) != weir.Invalid || got != string(want.Data) {
				t.Errorf("got %swant %s", got, want.Data)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		site string
		want []string
	}{
		"slips of the pen": {"-- netlify.toml --\n[build]\npublsh = \"x\"\n[functions]\ninclded_files = []\nzzz = 1\n[functions.a]\nnode_bundlr = \"nft\"\n-- netlify/functions/a.js --\n",
			[]string{`netlify.toml:2:1: unknown key "publsh" in [build]; did you mean "publish"?`,
				`netlify.toml:4:1: unknown key "inclded_files" in [functions]; did you mean "included_files"?`,
				`netlify.toml:5:1: unknown key "zzz" in [functions]`,
				`netlify.toml:7:1: unknown key "node_bundlr" in [functions.a]; did you mean "node_bundler"?`}},
		"other sections": {"-- netlify.toml --\n[[edge_functions]]\npath = \"/x\"\n[[redirects]]\nfrom = \"/x\"\n[[plugins]]\npackage = \"p\"\n[context.production.environment]\nA = \"1\"\n-- netlify/functions/a.js --\n",
			[]string{`netlify.toml:3: the rule for "/x" has no target; the rule is left out; write: FROM TO STATUS`,
				"netlify.toml:1: there are no edge functions: none of them runs; make them functions, with config.path for their URLs"}},
		"no functions": {"-- netlify.toml --\n", []string{"no functions: there is no folder netlify/functions, and netlify.toml names no other one"}},
		"same name": {"-- netlify/functions/a.js --\n-- netlify/functions/a.ts --\n-- netlify/functions/a/index.ts --\n",
			[]string{"netlify/functions/a.js is not served: netlify/functions/a/index.ts has the same name", "netlify/functions/a.ts is not served: netlify/functions/a/index.ts has the same name"}},
		"bad names": {"-- netlify/functions/a.test.js --\n-- netlify/functions/b c.js --\n",
			[]string{"netlify/functions/a.test.js is not served: the name of a function has only letters, digits, - and _", "netlify/functions/b c.js is not served: the name of a function has only letters, digits, - and _"}},
		"publish not said": {"-- public/index.html --\n-- netlify/functions/a.js --\n",
			[]string{`no static files are served: to publish the folder "public", set publish = "public" under [build] in netlify.toml`}},
		"publish is the project": {"-- netlify.toml --\n[build]\npublish = \".\"\n-- netlify/functions/a.js --\n",
			[]string{"netlify.toml:2:1: publish names the folder of the project itself, with its configuration and dependencies, so no static files are served; put them into a folder of their own"}},
		"publish not built": {"-- netlify.toml --\n[build]\npublish = \"dist\"\n-- netlify/functions/a.js --\n",
			[]string{"netlify.toml:2:1: the publish folder does not exist yet, so no static files are served"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, c.site)
			if s.Publish != "" {
				t.Errorf("%s is published", s.Publish)
			}
			if !slices.Equal(s.Warnings, c.want) {
				t.Errorf("got %q\nwant %q", s.Warnings, c.want)
			}
		})
	}
}

// Which files and folders are functions is what Netlify's bundler decides.
func TestFunctions(t *testing.T) {
	s := load(t, `
netlify/functions/out.js -> /etc/hostname
netlify/functions/gone.js -> nowhere.js
netlify/functions/linked.js -> ../../lib/linked.js
-- netlify/functions/one.js --
-- netlify/functions/two.mts --
-- netlify/functions/page.tsx --
-- netlify/functions/types.d.ts --
-- netlify/functions/.hidden.js --
-- netlify/functions/readme.md --
-- netlify/functions/node_modules/index.js --
-- netlify/functions/helpers/tool.js --
-- netlify/functions/named/named.ts --
-- netlify/functions/named/index.js --
-- netlify/functions/both/both.js --
-- netlify/functions/both/index.js --
-- netlify/functions/late-background.js --
-- lib/linked.js --
`)
	var got []string
	for _, f := range s.Functions {
		line := f.Name + " " + s.Rel(f.Main)
		if f.Err != nil {
			line = f.Err.Error()
		}
		got = append(got, line)
	}
	want := []string{
		"both netlify/functions/both/both.js",
		"netlify/functions/gone.js: this is not a regular file; put the function's file there",
		"late-background netlify/functions/late-background.js",
		"linked lib/linked.js",
		"named netlify/functions/named/index.js",
		"one netlify/functions/one.js",
		"netlify/functions/out.js: the function is a link that leads out of the site; put its file into the site",
		"page netlify/functions/page.tsx",
		"two netlify/functions/two.mts",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSettingsOfAFunction(t *testing.T) {
	s := load(t, `
-- netlify.toml --
[build]
base = "app"
publish = "/dist/"
functions = "ignored"
[functions]
directory = "fns"
included_files = ["all/*"]
external_node_modules = ["a"]
[functions."pay-*"]
node_bundler = "nft"
schedule = "@daily"
background = true
included_files = ["pay/*"]
[functions.pay-card]
node_bundler = "zisi"
external_node_modules = ["b"]
schedule = "@hourly"
-- app/dist/index.html --
-- app/fns/pay-card.js --
-- app/fns/pay-bank.js --
-- app/fns/hello.js --
-- app/fns/hello-background.js --
`)
	if s.Base != filepath.Join(s.Dir, "app") || s.Publish != filepath.Join(s.Base, "dist") {
		t.Errorf("base %s, publish %s", s.Base, s.Publish)
	}
	want := []string{
		"hello esbuild [all/*] [a] false ",
		"hello-background esbuild [all/*] [a] true ",
		"pay-bank nft [all/* pay/*] [a] true @daily",
		"pay-card zisi [all/* pay/*] [a b] true @hourly",
	}
	for i, f := range s.Functions {
		if got := fmt.Sprint(f.Name, " ", f.Bundler, " ", f.Included, " ", f.External, " ", f.Background, " ", f.Schedule); got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
}

func TestIncludedFiles(t *testing.T) {
	s := load(t, `
data/link.txt -> ../shared/note.txt
data/dir -> ../shared
-- netlify/functions/f.js --
-- .env --
-- .env.production --
-- .npmrc --
-- .git/config --
-- deploy.key --
-- data/a.json --
-- data/b.csv --
-- data/deep/er/c.json --
-- data/.dot --
-- shared/note.txt --
-- node_modules/p/schema.sql --
-- node_modules/p/q/schema.sql --
-- a[1].txt --
`)
	for pattern, want := range map[string]string{
		"data/*.json":                      "data/a.json",
		"./data/**/*.json":                 "data/a.json data/deep/er/c.json",
		"data/**":                          "data/.dot data/a.json data/b.csv data/deep/er/c.json data/link.txt",
		"data/dir/*":                       "data/dir/note.txt",
		"data/{a,b}.{json,csv}":            "data/a.json data/b.csv",
		"data/[ab].*":                      "data/a.json data/b.csv",
		"data":                             "",
		"**/*.sql":                         "",
		"node_modules/p/**/*.sql":          "node_modules/p/q/schema.sql node_modules/p/schema.sql",
		".env*":                            "",
		"{.env,.npmrc}":                    ".env .npmrc",
		".git/**":                          "",
		"*.key":                            "",
		"deploy.key":                       "deploy.key",
		"data/**|!data/**/*.json":          "data/.dot data/b.csv data/link.txt",
		"!data/a.json|data/*.json":         "",
		`a\[1\].txt`:                       "a[1].txt",
		"netlify/functions/f.js|absent.md": "netlify/functions/f.js",
	} {
		files, _, err := s.Expand(strings.Split(pattern, "|"))
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.Name)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: got %q, want %q", pattern, g, want)
		}
	}
	_, warnings, _ := s.Expand([]string{"data", "*.key"})
	if want := []string{`included_files: "data" names no file; a folder is taken with DIR/**`,
		"included_files: deploy.key is left out, as it may hold credentials; name it without wildcards to take it along"}; !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
}

func TestIncludedLinksStayInTheRepository(t *testing.T) {
	s := load(t, "data/x -> /etc/hostname\n-- netlify/functions/f.js --\n-- data/y --\n")
	_, _, err := s.Expand([]string{"data/*"})
	var e *weir.Error
	if !errors.As(err, &e) || e.Pos.File != "data/x" {
		t.Errorf("error: %v", err)
	}
}

func TestTheRepositoryIsNeverTheHomeFolder(t *testing.T) {
	dir := newSite(t, "-- .git/config --\n-- code/site/netlify/functions/f.js --\n")
	s, err := Load(filepath.Join(dir, "code/site"))
	if err != nil || s.Root != dir {
		t.Errorf("root %s, error %v", s.Root, err)
	}
	t.Setenv("HOME", dir)
	s, err = Load(filepath.Join(dir, "code/site"))
	if err != nil || s.Root != s.Dir {
		t.Errorf("root %s, error %v", s.Root, err)
	}
}

func TestRulesOfTheURLs(t *testing.T) {
	s := load(t, `
dist/_headers -> ../../secret
-- netlify.toml --
[build]
publish = "dist"
[[redirects]]
from = "/a"
to = "/of-the-configuration"
[[redirects]]
from = "/b"
to = "/c"
-- _redirects --
/a /of-the-wrong-file
-- dist/_redirects --
/a /of-the-file
/broken
-- netlify/functions/a.js --
`)
	for path, want := range map[string]string{"/a": "/of-the-file", "/b": "/c"} {
		if got, _ := s.Rules.Match(routing.Request{Scheme: "http", Host: "localhost", Path: path}); got.Target != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if len(s.Warnings) != 3 || !strings.HasPrefix(s.Warnings[0], "dist/_headers: none of its rules is applied") ||
		!strings.HasPrefix(s.Warnings[1], "_redirects: it lies outside of the publish folder") || !strings.HasPrefix(s.Warnings[2], "dist/_redirects:2: ") {
		t.Errorf("warnings %q", s.Warnings)
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none")); weir.ErrorCode(err) != weir.NotFound {
		t.Errorf("error: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	ar, err := txtar.ParseFile("testdata/config/faults.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range ar.Files {
		f.Add(file.Data)
	}
	f.Add([]byte("[functions.\"a*\"]\nincluded_files = [\"{a,{b,c}}/**\", \"!x\"]\n[[redirects]]\nfrom = \"/\"\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, configFile), data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Load(dir)
		if err != nil {
			if e := new(weir.Error); !errors.As(err, &e) || e.Code != weir.Invalid || e.Pos.File == "" {
				t.Errorf("not an error for users: %v", err)
			}
			return
		}
		for _, p := range []string{s.Base, s.Publish} {
			if p != "" && !within(s.Root, p) {
				t.Errorf("%s lies outside of %s", p, s.Root)
			}
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("data/**/{a,b}*.[jt]s", "data/x/ab.js")
	f.Add("**/**/**/x", "a/b/c/d/x")
	f.Add("{{a,b},{c,{d,e}}}", "e")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := compileGlob(pattern)
		if err != nil {
			return
		}
		g.match(name)
		if len(g) == 0 || len(g) > maxAlternatives+1 {
			t.Errorf("%d alternatives", len(g))
		}
		if checkPattern(pattern) == "" && !within("/site", filepath.Join("/site", strings.TrimPrefix(pattern, "!"))) {
			t.Errorf("%q leads out of the site", pattern)
		}
	})
}
