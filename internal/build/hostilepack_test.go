package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/site"
	"github.com/weir-run/weir/internal/weir"
)

const plainSite = "-- netlify.toml --\n[functions]\ndirectory = \"functions\"\n"

func TestWhatIsNoPackIsABundleAndSaysWhy(t *testing.T) {
	for name, c := range map[string]struct{ site, why string }{
		"waits at the top":     {"-- functions/f.mjs --\nawait 1;\nexport const handler = async () => 1;\n", "waits at the top"},
		"computed attributes":  {"-- functions/f.js --\nexports.handler = async (e) => import(e.name ?? 'fs', e.with).then(() => 1);\n", "computed name"},
		"a pack of the site's": {"-- functions/f.js --\nexports.handler = async () => 1;\n-- .weir/pack.js --\nowned\n", ".weir/pack.js"},
		"text":                 {"-- functions/f.mjs --\nimport x from './x.txt';\nexport const handler = async () => x.length - 1;\n-- functions/x.txt --\nx\n", "neither JavaScript nor JSON"},
		"two by one name": {"-- functions/f.mjs --\nimport { n } from 'dual';\nexport const handler = async () => n === require('dual').n ? 2 : 1;\n" +
			"-- node_modules/dual/package.json --\n{\"exports\": {\"import\": \"./m.mjs\", \"require\": \"./c.cjs\"}}\n-- node_modules/dual/m.mjs --\nexport const n = 1;\n" +
			"-- node_modules/dual/c.cjs --\nexports.n = 2;\n", "one thing to import and another to require"},
		"does not load": {"-- functions/f.js --\nif (require('fs').existsSync(__dirname + '/../.weir/pack.js')) throw new Error('I want files');\nexports.handler = async () => 1;\n", "I want files"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := plainSite
			if strings.Contains(name, "site's") {
				text += "included_files = [\".weir/pack.js\"]\n"
			}
			a := buildPacks(t, newSite(t, text+c.site), t.TempDir())
			f := a.Functions[0]
			if f.Err != nil || f.Bundle.Pack || !strings.Contains(f.Why, c.why) {
				t.Fatalf("pack: %v, %q, %v", f.Bundle.Pack, f.Why, f.Err)
			}
			if got, err := inShim(f, "call"); got != "1" {
				t.Errorf("the bundle answers %s %v", got, err)
			}
			if _, err := os.Stat(filepath.Join(f.Bundle.Dir, weir.PackDir, "pack.json")); err == nil {
				t.Error("the pack is still there")
			}
		})
	}
}

// A source that ends the function it is put into would run in the place of other packages' code.
func TestNoSourceEndsItsWrapper(t *testing.T) {
	for name, source := range map[string]string{
		"function": "}), (function () { globalThis.escaped = 1; }), (function () {",
		"script":   "})]}); globalThis.escaped = 1; (function () { return [(function () {",
		"template": "`})]}); ${globalThis.escaped = 1",
		"comment":  "/* })]}); globalThis.escaped = 1;",
		"string":   "'\\\n})]}); globalThis.escaped = 1;",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newSite(t, plainSite+"-- functions/f.js --\nrequire('bad');\nexports.handler = async () => typeof escaped;\n-- node_modules/bad/package.json --\n{}\n")
			put(t, filepath.Join(dir, "node_modules/bad/index.js"), source)
			f := buildPacks(t, dir, t.TempDir()).Functions[0]
			if f.Bundle.Pack {
				t.Error("it became a pack")
			}
		})
	}
}

func TestManyModulesAndDeepOnes(t *testing.T) {
	const wide, deep = manyModules, 500
	dir := newSite(t, plainSite)
	var all strings.Builder
	for i := range wide {
		fmt.Fprintf(&all, "sum += require('./m%d');\n", i)
		put(t, filepath.Join(dir, fmt.Sprintf("node_modules/wide/m%d.js", i)), fmt.Sprintf("module.exports = %d;\n", i%2))
	}
	put(t, filepath.Join(dir, "node_modules/wide/package.json"), "{}")
	put(t, filepath.Join(dir, "node_modules/wide/index.js"), "let sum = 0;\n"+all.String()+"module.exports = sum;\n")
	for i := range deep {
		put(t, filepath.Join(dir, fmt.Sprintf("lib/m%d.js", i)), fmt.Sprintf("module.exports = 1 + require('./m%d');\n", i+1))
	}
	put(t, filepath.Join(dir, fmt.Sprintf("lib/m%d.js", deep)), "module.exports = 0;\n")
	put(t, filepath.Join(dir, "functions/f.js"), "const wide = require('wide'), deep = require('../lib/m0');\nexports.handler = async () => [wide, deep];\n")
	f := buildPacks(t, dir, t.TempDir()).Functions[0]
	if got, err := inShim(f, "call"); !f.Bundle.Pack || got != fmt.Sprintf("[%d,%d]", wide/2, deep) {
		t.Errorf("%v %s %v: %s %v", f.Bundle.Pack, f.Why, f.Err, got, err)
	}
}

// Whether a pack loads is not asked when the build is over, and a build that ends is no verdict.
func TestABuildThatEndsWhileAPackIsTried(t *testing.T) {
	s, err := site.Load(newSite(t, plainSite+"-- functions/f.js --\nexports.handler = async () => 1;\n"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Build(ctx, s, Options{StateDir: t.TempDir(), Smoke: func(context.Context, Trial) error {
		cancel()
		return errors.New("not now")
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The same site is the same pack wherever it lies, and its folder's name is nowhere in it.
func TestPacksAreTheSameAnywhere(t *testing.T) {
	one, two := newSite(t, small), newSite(t, small)
	first, second := buildPacks(t, one, t.TempDir()), buildPacks(t, two, t.TempDir())
	if first.ID != second.ID || !first.Functions[1].Bundle.Pack {
		t.Errorf("%s, %s: %+v", first.ID, second.ID, first.Functions)
	}
	if where := holds(t, first, one); where != "" {
		t.Errorf("the site's path is in %s", where)
	}
	if bundled := build(t, one, t.TempDir()); bundled.ID == first.ID || bundled.Functions[1].Bundle.Pack {
		t.Error("without a way to try it, it became a pack")
	}
}
