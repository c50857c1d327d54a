package intrinsic

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

func TestGood(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.js")
	if len(files) < 3 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		if filepath.Base(file) == "handler.js" || filepath.Base(file) == "index.js" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := Load(file, map[string]string{"NODE_ENV": "test", "API_KEY": "secret"})
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			for _, r := range b.Policy.Rules {
				fmt.Fprintf(&out, "%s %s %s globs=%v\n", r.Pos, r.Kind, r.Pattern, r.Globs)
			}
			for _, w := range b.Warnings {
				fmt.Fprintf(&out, "warning: %v\n", w)
			}
			if b.Policy.Mode == policy.Monitor {
				fmt.Fprintln(&out, "monitor mode")
			}
			wd, _ := os.Getwd()
			rel, _ := filepath.Rel(wd, b.HandlerFile)
			fmt.Fprintf(&out, "handler %s in %s\n", b.HandlerName, rel)
			golden(t, file+".golden", out.Bytes())
			if !b.Policy.Intrinsic || b.Policy.Source != file {
				t.Errorf("Intrinsic %v, Source %q", b.Policy.Intrinsic, b.Policy.Source)
			}
		})
	}
}

func TestBad(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.js")
	if len(files) < 10 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		if filepath.Base(file) == "handler.js" || filepath.Base(file) == "index.js" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, nil)
			if err == nil {
				t.Fatal("loaded")
			}
			var e *weir.Error
			if !errors.As(err, &e) || e.Code != weir.Invalid {
				t.Errorf("not an invalid weir.Error: %v", err)
			}
			golden(t, file+".golden", []byte(err.Error()+"\n"))
		})
	}
}

func load(t *testing.T, src string) (*Bootstrap, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"fn.js": src, "handler.js": "exports.handler = async () => {}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Load(filepath.Join(dir, "fn.js"), nil)
}

const (
	before = "const I = require('@intrinsic/lambda');\nmodule.exports = new I().configurePolicies(policy => {\n"
	after  = "\n}).setHandlerFile(`${__dirname}/handler.js`).run();\n"
)

func TestHandlerStaysInTheTree(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "evil.js")
	if err := os.WriteFile(outside, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link.js")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	for handler, want := range map[string]string{
		"${__dirname}/link.js":          "link out of",
		"${__dirname}/../evil.js":       "not in the directory",
		"${__dirname}/../../etc/passwd": "not in the directory",
		"/etc/passwd":                   "not in the directory",
		"./fn.js":                       "not in the directory",
		"${__dirname}":                  "not in the directory",
		"${__dirname}x/handler.js":      "not in the directory",
		"${__dirname}/lib":              "does not exist",
		"${__dirname}/none.js":          "does not exist",
		"${__dirname}/fn.js":            "itself",
		"${__dirname}/a\\0b":            "does not exist",
	} {
		file := filepath.Join(dir, "fn.js")
		src := "const I = require('@intrinsic/lambda'); new I().setHandlerFile(`" + handler + "`).run()"
		if err := os.WriteFile(file, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		if b, err := Load(file, map[string]string{"NODE_ENV": "test", "API_KEY": "secret"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want an error with %q", handler, b, err, want)
		}
	}
}

// A pattern is held as it is, as the files it matches, as nothing (of which is warned), or is an error.
func TestFilePatternsAreNeverWidened(t *testing.T) {
	for call, want := range map[string]string{
		`allowRead('/srv/a/**')`:           "/srv/a/**",
		`allowRead('/srv/a/**/*')`:         "/srv/a/**",
		`allowRead('/srv/a.txt')`:          "/srv/a.txt",
		`allowRead('/var/task/*.json')`:    "",
		`allowRead('/tmp/[ab]?')`:          "",
		`allowRead('/srv/*')`:              "/srv/* warned",
		`allowRead('/srv/**/*.txt')`:       "/srv/**/*.txt warned",
		`allowRead('/srv/**/**')`:          "/srv/**/** warned",
		`allowRead('/srv/a?')`:             "/srv/a? warned",
		`allowRead('/*')`:                  " warned",
		`allowRead('/*/secret')`:           " warned",
		`allowRead('/[a-z]*/**')`:          " warned",
		`allowRead('/**')`:                 " warned",
		`allowRead('/**/*')`:               " warned",
		`allowRead('**')`:                  " warned",
		`allowRead('/')`:                   "error",
		`allowRead('*')`:                   "error",
		`allowRead('srv/**')`:              "error",
		`allowRead('/srv/../etc/**')`:      "error",
		`allowRead('/srv/../*')`:           "error",
		`allowRead('/srv/*/../x')`:         "error",
		`allowRead('/var/task/../*.json')`: "error",
		`allowRead('/proc/**')`:            " warned",
		`allowRead('/pro[c]/**')`:          " warned",
		`allowWrite('/tmp/**')`:            "/tmp/**",
		`allowWrite('/tmp/*')`:             " warned",
		`allowWrite('/tmp/../srv/*')`:      "error",
		`allowWrite('/srv/*.log')`:         "/srv/*.log warned",
		`allowWrite('/var/task/**')`:       " warned",
		`allowWrite('/var/tas[k]/**')`:     "/var/tas[k]/** warned",
	} {
		b, err := load(t, before+"policy.fs."+call+after)
		got := ""
		if err != nil {
			got = "error"
		} else {
			for _, r := range b.Policy.Rules {
				got += r.Pattern
			}
			if len(b.Warnings) > 0 {
				got += " warned"
			}
		}
		if got != want {
			t.Errorf("%s: got %q (%v), want %q", call, got, err, want)
		}
	}
}

// No part of a connection string but its hosts is kept or shown.
func TestMongoKeepsNoPassword(t *testing.T) {
	for _, url := range []string{
		"mongodb://user:hunter2@db.example.org/shop", "mongodb://user:hunter2/x@db.example.org/shop", "mongodb://user:hunter2",
		"mongodb://user:@hunter2@@db.example.org:1/hunter2?password=hunter2", "mongodb+srv://user:hunter2@db.eu.example.org/",
		"mongodb+srv://user:hunter2/", "hunter2", "mongodb://hunter2:x:y/",
	} {
		b, err := load(t, "const I = require('@intrinsic/lambda');\nnew I().virtualizeLib('mongodb').configurePolicies(policy => {"+
			"policy.mongo.allowConnect('"+url+"').allowReadDocument('"+url+"', 'c')"+after)
		if said := fmt.Sprintf("%+v %v", b, err); strings.Contains(said, "hunter2") && !strings.Contains(url, "//hunter2") {
			t.Errorf("%s: %s", url, said)
		}
		if b != nil {
			for _, r := range b.Policy.Rules {
				if strings.Contains(r.Pattern, "hunter2") {
					t.Errorf("%s became %s", url, r.Pattern)
				}
			}
			if len(b.Warnings) == 0 {
				t.Errorf("%s: no word about collections", url)
			}
		}
	}
}

func TestIsBootstrap(t *testing.T) {
	for src, want := range map[string]bool{
		"const I = require('@intrinsic/lambda');":                        true,
		"var p=require(\"path\"),I=require( \"@intrinsic/lambda\" )":     true,
		"import I from '@intrinsic/lambda'":                              true,
		"const a = 1 / 2; const I = require(`@intrinsic/lambda`)":        true,
		"// const I = require('@intrinsic/lambda')\nexports.handler = 1": false,
		"const I = require('@intrinsic/lambda-other')":                   false,
		"exports.handler = () => '@intrinsic/lambda'":                    false,
		"": false,
	} {
		if got := IsBootstrap([]byte(src)); got != want {
			t.Errorf("%q: got %v", src, got)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.js")
	if err := os.WriteFile(large, bytes.Repeat([]byte(" "), maxSource+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, large, filepath.Join(dir, "none.js")} {
		if _, err := Load(path, nil); weir.ErrorCode(err) != weir.Invalid || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(before + "policy.outboundHttp.allowGet('https://a.example/*')" + after)
	f.Add(before + "policy.fs.allowRead('/srv/**')" + after)
	f.Add("import I from '@intrinsic/lambda'")
	f.Add("((((")
	f.Add("new (require('@intrinsic/lambda'))().setHandlerFile(__dirname + '/x').run()")
	f.Fuzz(func(t *testing.T, src string) {
		start := time.Now()
		b, err := load(t, src)
		if time.Since(start) > startTime+5*time.Second {
			t.Fatalf("took %v", time.Since(start))
		}
		if err == nil {
			if _, err := policy.Compile(b.Policy); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// The example of docs/intrinsic.md loads.
func TestDocumentedExampleLoads(t *testing.T) {
	page, err := os.ReadFile("../../../docs/intrinsic.md")
	if err != nil {
		t.Fatal(err)
	}
	var src strings.Builder
	for line := range strings.Lines(string(page)) {
		if code, ok := strings.CutPrefix(line, "    "); ok || strings.TrimSpace(line) == "" && src.Len() > 0 {
			src.WriteString(code)
		} else if src.Len() > 0 {
			break
		}
	}
	b, err := load(t, src.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, &src)
	}
	if len(b.Policy.Rules) != 2 || len(b.Warnings) > 0 {
		t.Errorf("%+v %v", b.Policy.Rules, b.Warnings)
	}
}
