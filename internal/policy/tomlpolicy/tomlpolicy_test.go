package tomlpolicy

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"github.com/weir-run/weir/internal/policy"
	"github.com/weir-run/weir/internal/weir"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got:\n%s want:\n%s", file, got, want)
	}
}

func load(t *testing.T, file string) (*File, error) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(file, data)
}

func names(f *File) []string {
	var out []string
	for _, s := range f.sections {
		out = append(out, s.name)
	}
	return out
}

// functionsOf reads the names on the first line of a good file: "# functions: charge, admin-x".
func functionsOf(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	list, ok := strings.CutPrefix(line, "# functions: ")
	if !ok {
		t.Fatalf("%s names no functions on its first line", file)
	}
	return strings.Split(list, ", ")
}

func TestGood(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.toml")
	if len(files) < 5 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := load(t, file)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			fmt.Fprintf(&out, "sections %q\n", names(f))
			for _, name := range functionsOf(t, file) {
				p, err := f.For(name)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := policy.Compile(p); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				write(&out, p)
			}
			golden(t, file+".golden", out.Bytes())
		})
	}
}

func write(out *bytes.Buffer, p *policy.Policy) {
	fmt.Fprintf(out, "\n%s from %q, mode %s, addons %v, limits %+v\n", p.Function, p.Source, modeNames[p.Mode], p.Addons, p.Limits)
	if p.Running != (weir.Running{}) {
		fmt.Fprintf(out, "running %+v\n", p.Running)
	}
	for _, r := range p.Rules {
		fmt.Fprintf(out, "%s %s %q", r.Pos, r.Kind, r.Pattern)
		if r.Query != nil {
			fmt.Fprintf(out, " query %v", r.Query)
		}
		if r.Budget != nil {
			fmt.Fprintf(out, " at most %v", r.Budget)
		}
		out.WriteByte('\n')
	}
}

func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.toml")
	if len(files) < 10 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, err := load(t, file)
			if err == nil {
				_, err = f.For("charge")
			}
			if err == nil {
				t.Fatal("no error")
			}
			var e *weir.Error
			if !errors.As(err, &e) || e.Code != weir.Invalid || e.Pos.Line == 0 || e.Pos.Column == 0 {
				t.Errorf("not an invalid weir.Error with a position: %v", err)
			}
			golden(t, file+".golden", []byte(err.Error()+"\n"))
		})
	}
}

func TestSectionsAboutNoFunctionAreTold(t *testing.T) {
	f, err := Parse("weir.toml", []byte("[functions.charge]\n[functions.chrage]\n[functions.\"admin-*\"]\n[functions.\"*\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"weir.toml:2:12: [functions.chrage] is about no function of this site; did you mean charge?",
		"weir.toml:3:12: [functions.admin-*] is about no function of this site"}
	var got []string
	for _, w := range f.Unmatched([]string{"charge", "hello"}) {
		got = append(got, w.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A fix belongs where the list is that it is added to: a list of the function's own would replace it.
func TestFixesDoNotReplaceSharedRules(t *testing.T) {
	f, err := Parse("weir.toml", []byte("[functions.'*']\nhttp = ['GET https://a.example/']\nread = []\n[functions.charge]\ntcp = []\nread = []\n"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine(f, "charge")
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]string{
		"GET https://b.example/": `to allow it, add to [functions."*"] in weir.toml, which other functions may share: http = ["GET https://b.example/"]`,
		"GET wss://b.example/":   `to allow it, add to [functions."*"] in weir.toml, which other functions may share: http = ["GET wss://b.example/"]`,
		"tcp b.example:22":       `to allow it, add to [functions.charge] in weir.toml: tcp = ["b.example:22"]`,
		"read /srv/x":            `to allow it, add to [functions.charge] in weir.toml: read = ["/srv/x"]`,
		"udp b.example:514":      `to allow it, add to [functions.charge] in weir.toml: udp = ["b.example:514"]`,
	} {
		r, err := parseRequest(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Explain(&r, e.Decide(&r)).String(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", request, got)
		}
	}
}

func TestNoSectionGivesNothing(t *testing.T) {
	f, err := Parse("weir.toml", []byte("[functions.other]\nhttp = []\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.For("charge")
	if err != nil {
		t.Fatal(err)
	}
	if p.Source != "" || len(p.Rules) != 0 || p.Function != "charge" {
		t.Errorf("got %+v", p)
	}
	e, err := policy.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := policy.NewHTTP("GET", "https", "example.com", "/")
	if err != nil {
		t.Fatal(err)
	}
	if d := e.Decide(&r); d.Allow || d.Reason != policy.NoPolicy {
		t.Errorf("got %+v", d)
	}
}

func TestMostSpecificWins(t *testing.T) {
	for _, c := range []struct {
		sections []string
		function string
		want     string // the section, "tie" or ""
	}{
		{[]string{"*", "charge"}, "charge", "charge"},
		{[]string{"charge", "*"}, "charge", "charge"},
		{[]string{"*", "admin-*", "admin-x*"}, "admin-xy", "admin-x*"},
		{[]string{"*-report", "admin-*"}, "admin-report", "admin-*"},
		{[]string{"a*b", "a*cb"}, "acb", "a*cb"},
		{[]string{"a*b*", "a*b"}, "acb", "a*b"},
		{[]string{"a*b", "a*c"}, "ab", "a*b"},
		{[]string{"a*bc*", "a*c*b"}, "abcb", "tie"},
		{[]string{"a*bc*", "a*c*b", "abcb"}, "abcb", "abcb"},
		{[]string{"*a"}, "b", ""},
		{[]string{"a*a"}, "a", ""},
		{[]string{"Charge"}, "charge", ""},
	} {
		var b strings.Builder
		for _, s := range c.sections {
			fmt.Fprintf(&b, "[functions.%q]\nenv = [%q]\n", s, "S_"+strings.NewReplacer("*", "_x_", "-", "_").Replace(s))
		}
		f, err := Parse("weir.toml", []byte(b.String()))
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.For(c.function)
		got := ""
		switch {
		case err != nil:
			got = "tie"
			if e := (*weir.Error)(nil); !errors.As(err, &e) || e.Pos.Line == 0 {
				t.Errorf("no position: %v", err)
			}
		case len(p.Rules) == 1:
			for _, s := range c.sections {
				if p.Rules[0].Pattern == "S_"+strings.NewReplacer("*", "_x_", "-", "_").Replace(s) {
					got = s
				}
			}
		}
		if got != c.want {
			t.Errorf("%q in %q: got %q (%v), want %q", c.function, c.sections, got, err, c.want)
		}
	}
}

// A file of a megabyte, right or wrong all over, is read in a bounded time.
func TestLargeFiles(t *testing.T) {
	for name, c := range map[string]struct{ head, line string }{
		"rules":         {"[functions.charge]\nhttp = [\n", "'GET https://a.example/v1/items/*/parts',\n"},
		"bad rules":     {"[functions.charge]\nhttp = [\n", "'GET a/%d',\n"},
		"unknown keys":  {"[functions.charge]\n", "kye%d = 1\n"},
		"some keys":     {"[functions.charge]\n", "kye%d = [\"" + strings.Repeat("a", 200) + "\"]\n"},
		"inline keys":   {"[functions.charge]\nlimits = { ", "a%d = 1, "},
		"inline tables": {"[functions.charge]\nhttp = [\n", "{ allow = 'GET https://a.example/', max_calls = %d, per = 'minute' },\n"},
		"dotted key":    {"[functions.charge]\nlimits", ".a"},
		"sections":      {"", "[functions.f%d]\nhttp = []\n"},
		"nested arrays": {"[functions.charge]\nhttp = ", "["},
	} {
		t.Run(name, func(t *testing.T) {
			src := []byte(c.head)
			for i := 0; len(src) < 1<<20; i++ {
				if strings.Contains(c.line, "%d") {
					src = fmt.Appendf(src, c.line, i)
				} else {
					src = append(src, c.line...)
				}
			}
			start := time.Now()
			f, err := Parse("weir.toml", append(src, "]\n"...)) // which ends some of them
			if err == nil {
				_, err = f.For("charge")
			}
			t.Logf("%v, %.80v", time.Since(start).Round(time.Millisecond), err)
			if d := time.Since(start); d > time.Minute { // it would be many
				t.Errorf("took %v", d)
			}
		})
	}
}

// each gives the errors that were joined.
func each(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.toml", "testdata/bad/*.toml"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, line := range []string{
		"http = ['GET https://a.example/', { allow = 'GET *://*.b.example:8080/**/x*', query = { a = '*' } }]", "http = ['wss://a.example/']",
		"http = [{ allow = 'POST https://a/', max_calls = 1, max_bytes = '1KB', per = 'minute' }]",
		"http = [{ allow = 'POST https://a/', as = 'K', in = 'json:/a~1b', packages = ['@a/b'] }]",
		"tcp = ['a:1', '[::1]:2']", "udp = ['*.a.example:8125']", "dns = ['SRV _a._tcp.b.example', 'TXT *.c.example']",
		"read = ['/a/b', '/c/**']", "write = ['/tmp/**']", "exec = ['/bin/a']", "env = ['A']", "addons = true", "mode = 'monitor'",
		"limits = { timeout = '1m30s', memory = '64MB', cpu = 0.5, processes = 1 }", "limits.cpu = inf", "packages.a.http = []",
		"runtime = 'nodejs24'", "isolation = 'instance'", "concurrency = 0x1", "keep_warm = 0", "secrets = []",
	} {
		f.Add([]byte("[functions.a]\n" + line))
	}
	schema := loadSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("weir.toml", data)
		if err != nil {
			for _, err := range each(err) {
				var e *weir.Error
				if !errors.As(err, &e) || e.Pos.File == "" || e.Message == "" {
					t.Fatalf("an error without a place: %v", err)
				}
				if strings.ContainsFunc(err.Error(), unicode.IsControl) {
					t.Fatalf("more than a line: %q", err)
				}
			}
			return
		}
		var tree map[string]any
		if err := toml.Unmarshal(data, &tree); err != nil {
			t.Fatal(err)
		}
		if why := schema.validate(schema.root, tree); why != "" {
			t.Fatalf("an editor would mark what is right: %s", why)
		}
		for _, name := range append(names(file), "charge") {
			p, err := file.For(name)
			if err != nil {
				continue
			}
			if _, err := policy.Compile(p); err != nil && !strings.Contains(err.Error(), "either the one or the other") {
				t.Fatalf("passed Parse: %v", err)
			}
			for _, r := range p.Rules {
				if err := policy.Check(r); err != nil {
					t.Fatalf("%q passed Parse: %v", r.Pattern, err)
				}
				if r.Pos.Line == 0 || r.Pos.Column == 0 {
					t.Fatalf("%q has no position", r.Pattern)
				}
			}
		}
	})
}

// TestBoundsHaveAPlace: a file that is too large says where the bound is reached.
func TestBoundsHaveAPlace(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("#\n", maxFile/2) + "#":                                    fmt.Sprintf("weir.toml:%d:1: the file is larger", maxFile/2+1),
		strings.Repeat("[functions.a]\n", 1) + strings.Repeat("x.y=1\n", maxKeys): fmt.Sprintf("weir.toml:%d:", maxKeys/2+1),
	} {
		if _, err := Parse("weir.toml", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
