package build

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Each warning comes once, however many functions it is about, and what harms nobody is none.
func TestWarnings(t *testing.T) {
	const config = "-- netlify.toml --\n[functions]\ndirectory = \"functions\"\n"
	many := config + "included_files = [\"data/*\"]\n-- data/.env --\n-- data/x --\n"
	for i := range 50 {
		many += fmt.Sprintf("-- functions/f%02d.js --\nexports.handler = async () => 1;\n", i)
	}
	for name, c := range map[string]struct {
		site string
		want []string
	}{
		"of many functions": {many, []string{
			"f00, f01, f02 and 47 more: included_files: data/.env is left out, as it may hold credentials; name it without wildcards to take it along"}},
		"of two and of one": {config + "external_node_modules = [\"gone\", \"there\"]\n[functions.b]\nexternal_node_modules = [\"@acme/gone/sub\"]\n" +
			"-- node_modules/there/package.json --\n{}\n-- functions/a.js --\n-- functions/b.js --\n", []string{
			"a, b: external_node_modules: gone is not installed, so it is not taken along; install it (npm install gone)",
			"b: external_node_modules: @acme/gone is not installed, so it is not taken along; install it (npm install @acme/gone)"}},
		"typeof require": {config + "-- functions/a.js --\nexports.handler = async () => [typeof require, typeof(require), \"function\" == typeof require && 1];\n", nil},
		"a require in other hands": {config + "-- functions/a.js --\nconst load = typeof require && require;\nexports.handler = async () => load('x');\n", []string{
			`a: functions/a.js:1:32: Indirect calls to "require" will not be bundled`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := build(t, newSite(t, c.site), t.TempDir()).Warnings; !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

// What nobody asked for must not make a function too large.
func TestDependenciesThatAreOnlyGuessedAreLeftOutIfTooLarge(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
-- functions/f/package.json --
{"dependencies": {"views": "1", "huge": "1"}}
-- functions/f/f.js --
const views = require('views');
exports.handler = async () => typeof views;
-- node_modules/views/package.json --
{}
-- node_modules/views/index.js --
module.exports = (name) => require(name);
-- node_modules/huge/package.json --
{}
-- node_modules/huge/data --
`)
	if err := os.Truncate(filepath.Join(dir, "node_modules/huge/data"), 251<<20); err != nil {
		t.Fatal(err)
	}
	a := build(t, dir, t.TempDir())
	if f := a.Functions[0]; f.Err != nil {
		t.Fatal(f.Err)
	}
	if got := call(t, a.Functions[0]); got != `"function"` {
		t.Errorf("got %s", got)
	}
	if len(a.Warnings) != 1 || !strings.HasPrefix(a.Warnings[0], "f: functions/f/package.json: the dependencies that no code imports are left out") {
		t.Errorf("warnings: %q", a.Warnings)
	}
}
