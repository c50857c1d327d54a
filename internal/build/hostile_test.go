package build

// What a hostile site or package tries at build time. Nothing of the machine outside of the site may
// get into an artifact, and no build may hang.

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/site"
)

const loot = "LOOT-5e1f"

// holds tells whether any file of an artifact has text in it.
func holds(t *testing.T, a *Artifact, text string) (where string) {
	t.Helper()
	err := filepath.WalkDir(a.Dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(string(data), text) {
			where = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

func TestBrokenFunctionsAreToldAndTheOthersGoOn(t *testing.T) {
	for name, ar := range archives(t, "testdata/broken/*.txtar") {
		t.Run(name, func(t *testing.T) {
			_, dir, special := unpack(t, ar)
			var got strings.Builder
			for _, f := range build(t, dir, t.TempDir()).Functions {
				got.WriteString(f.Bundle.Function + ": ")
				if f.Err != nil {
					got.WriteString(f.Err.Error() + "\n")
				} else {
					got.WriteString("served\n")
				}
			}
			if got.String() != special["WANT"] {
				t.Errorf("got:\n%swant:\n%s", got.String(), special["WANT"])
			}
		})
	}
}

// Each site has the file loot.json of the host outside of it at ../host; no way of naming it takes
// it along.
func TestNothingOutsideOfTheSiteGetsIntoAnArtifact(t *testing.T) {
	for name, c := range map[string]struct{ site, links string }{
		"a relative import": {site: "-- site/functions/f.js --\nexports.handler = require('../../host/loot.json')\n"},
		"a link to a file": {site: "-- site/functions/f.js --\nexports.handler = require('./l.json')\n",
			links: "site/functions/l.json ../../host/loot.json"},
		"a link to a folder": {site: "-- site/functions/f.js --\nexports.handler = require('./d/loot.json')\n",
			links: "site/functions/d ../../host"},
		"a function that is a link": {site: "-- site/functions/g.js --\nexports.handler = 1\n",
			links: "site/functions/f.js ../../host/loot.js"},
		"a package that is a link": {site: "-- site/functions/f.js --\nexports.handler = require('p/loot.json')\n",
			links: "site/node_modules/p ../../host"},
		"a package that reaches out": {site: "-- site/functions/f.js --\nexports.handler = require('p')\n" +
			"-- site/node_modules/p/index.js --\nmodule.exports = require('../../../host/loot.json')\n-- site/node_modules/p/package.json --\n{}\n"},
		"a package with a link": {site: "-- site/functions/f.js --\nexports.handler = require('p')\n" +
			"-- site/node_modules/p/index.js --\nmodule.exports = __dirname\n-- site/node_modules/p/package.json --\n{}\n",
			links: "site/node_modules/p/x.json ../../../host/loot.json"},
		"a dependency that is a path": {site: "-- site/functions/f.js --\nexports.handler = require('p')\n" +
			"-- site/node_modules/p/index.js --\nmodule.exports = __dirname\n" +
			"-- site/node_modules/p/package.json --\n{\"dependencies\": {\"../../host\": \"1\", \"..\": \"1\", \"@a/../../../host\": \"1\"}}\n"},
		"an import as text": {site: "-- site/functions/f.mjs --\nimport t from '../../host/loot.json' with { type: 'text' };\nexport const handler = t\n"},
		"included files":    {site: "-- site/functions/f.js --\nexports.handler = 1\n", links: "site/data/l.json ../../host/loot.json"},
		"tsconfig paths": {site: "-- site/functions/f.ts --\nimport x from 'x';\nexport const handler = x\n" +
			"-- site/tsconfig.json --\n{\"compilerOptions\": {\"paths\": {\"x\": [\"../host/loot.json\"]}}}\n"},
		"a link beside a package's code": {site: "-- site/functions/f.js --\nexports.handler = require('p')\n" +
			"-- site/node_modules/p/package.json --\n{}\n-- site/node_modules/p/index.js --\nmodule.exports = require('./loot.json')\n",
			links: "site/node_modules/p/loot.json ../../../host/loot.json"},
		"a folder's package.json": {site: "-- site/functions/f.js --\nexports.handler = require('./sub')\n" +
			"-- site/functions/sub/package.json --\n{\"main\": \"../../../host/loot.json\"}\n"},
		"external_node_modules": {site: "-- site/functions/f.js --\nexports.handler = require('views')\n" +
			"-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\nexternal_node_modules = [\"..\", \"../../host\", \"p\"]\n",
			links: "site/node_modules/p ../../host"},
		"a function's own package.json": {site: "-- site/functions/f/f.js --\nexports.handler = require('views')\n" +
			"-- site/functions/f/package.json --\n{\"dependencies\": {\"../../../host\": \"1\", \"p\": \"1\"}}\n" +
			"-- site/node_modules/views/package.json --\n{}\n-- site/node_modules/views/index.js --\nmodule.exports = (x) => require(x)\n",
			links: "site/node_modules/p ../../host"},
		"require.resolve":    {site: "-- site/functions/f.js --\nexports.handler = require.resolve('../../host/loot.json')\n"},
		"createRequire":      {site: "-- site/functions/f.mjs --\nimport { createRequire } from 'module';\nexport const handler = createRequire(import.meta.url).resolve('../../host/loot.json')\n"},
		"a computed require": {site: "-- site/functions/f.js --\nexports.handler = (x) => require('../../host/' + x)\n"},
		"a source map": {site: "-- site/functions/f.js --\nexports.handler = require('p')\n" +
			"-- site/node_modules/p/package.json --\n{}\n-- site/node_modules/p/index.js --\nmodule.exports = 1 //# sourceMappingURL=../../../host/loot.map\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newSite(t, "-- host/loot.json --\n{\"loot\": \""+loot+"\"}\n-- host/loot.js --\nexports.handler = '"+loot+"'\n"+
				"-- host/loot.map --\n{\"version\":3,\"sources\":[\""+loot+"\"],\"names\":[],\"mappings\":\"AAAA\"}\n"+
				"-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\nincluded_files = [\"data/**\"]\n"+
				c.site+"-- LINKS --\n"+c.links+"\n-- SITE --\nsite\n")
			if where := holds(t, build(t, dir, t.TempDir()), loot); where != "" {
				t.Errorf("the host's file is in %s", where)
			}
		})
	}
}

// A computed path that climbs out of the site must not make the build walk the machine, and the error,
// which callers of the function may read, must not tell what there is.
func TestComputedPathsDoNotShowTheMachine(t *testing.T) {
	const climb = "exports.handler = async (a) => require('../../../../../../../../../../../' + a + '/loot.json');\n"
	dir := newSite(t, "-- host/"+loot+"/loot.json --\n{}\n-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\n"+
		"-- site/functions/f.js --\n"+climb+
		"-- site/functions/g.js --\nexports.handler = async (a) => require(`../../host/${a}/loot.json`);\n"+
		"-- site/functions/h.js --\nexports.handler = async (a) => require( /**/ '../../host/' + a + '/loot.json');\n"+
		"-- site/functions/p.js --\nexports.handler = require('p').handler;\n"+
		"-- site/node_modules/p/package.json --\n{}\n-- site/node_modules/p/index.js --\n"+climb+"-- SITE --\nsite\n")
	a := build(t, dir, t.TempDir())
	for _, f := range a.Functions {
		switch name := f.Bundle.Function; {
		case name == "p" && f.Err != nil:
			t.Errorf("a package that may never do it breaks its function: %v", f.Err)
		case name != "p" && f.Err == nil:
			t.Errorf("%s is served", name)
		case name != "p" && (strings.Contains(f.Err.Error(), loot) || !strings.Contains(f.Err.Error(), "of the site")):
			t.Errorf("%s: %v", name, f.Err)
		}
	}
}

// A computed path that no look at the source tells to climb out: the folders of the machine are not even opened.
func TestNoComputedPathHasTheMachineListed(t *testing.T) {
	dir := newSite(t, "-- host/a/loot.json --\n{}\n-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\n"+
		"-- site/functions/f.js --\nexports.handler = require('p')\n"+
		"-- site/functions/g.js --\nexports.handler = (x) => require('./' + '../../host/' + x + '/loot.json')\n"+
		"-- site/node_modules/p/package.json --\n{}\n-- site/node_modules/p/index.js --\n"+
		"module.exports = (x) => require('./a/../../../../host/' + x + '/loot.json')\n-- SITE --\nsite\n")
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, filepath.Join(dir, "../host"), unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	a := build(t, dir, t.TempDir())
	if n, err := unix.Read(watch, make([]byte, 4096)); err != unix.EAGAIN {
		t.Errorf("a folder beside the site was opened: %d %v", n, err)
	}
	if err := a.Functions[0].Err; err != nil {
		t.Errorf("a package that may never do it breaks its function: %v", err)
	}
}

// Packages above the site are found, though little else is there.
func TestPackagesAboveTheSiteAreFound(t *testing.T) {
	dir := newSite(t, "-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\n-- site/functions/f.js --\nconst p = require('p'); exports.handler = async () => p\n"+
		"-- node_modules/p/package.json --\n{}\n-- node_modules/p/index.js --\nmodule.exports = 'above'\n-- SITE --\nsite\n")
	f := build(t, dir, t.TempDir()).Functions[0]
	if got, err := inShim(f, "call"); got != `"above"` {
		t.Errorf("%s %v %v", got, err, f.Err)
	}
}

// esbuild reads settings wherever they lie, and quotes what it can't parse. Callers of the function may read that.
func TestErrorsDoNotQuoteTheMachinesFiles(t *testing.T) {
	const ts = "-- site/functions/f.ts --\nexport const handler = 1\n"
	for name, c := range map[string]struct{ site, link string }{
		"tsconfig.json is a link":               {ts, "site/tsconfig.json ../host/secret"},
		"tsconfig.json extends":                 {ts + "-- site/tsconfig.json --\n{\"extends\": \"../host/secret\"}\n", ""},
		"tsconfig.json extends, with a warning": {ts + "-- site/tsconfig.json --\n{\"extends\": \"../host/target\"}\n", ""},
		"a folder's package.json is a link":     {"-- site/functions/f.js --\nrequire('./sub')\n-- site/functions/sub/index.js --\n", "site/functions/sub/package.json ../../../host/secret"},
		"another package's package.json is one": {"-- site/functions/f.js --\nrequire('p')\n-- site/node_modules/p/index.js --\n", "site/node_modules/p/package.json ../../../host/secret"},
	} {
		dir := newSite(t, "-- host/secret --\nLOOT5e1f:x\n-- host/target --\n{\"compilerOptions\": {\"target\": \"LOOT5e1f\"}}\n"+
			"-- site/netlify.toml --\n[functions]\ndirectory = \"functions\"\n"+c.site+"-- LINKS --\n"+c.link+"\n-- SITE --\nsite\n")
		a := build(t, dir, t.TempDir())
		if said := fmt.Sprint(a.Functions[0].Err, a.Functions[0].Why, a.Warnings); strings.Contains(said, "LOOT") || !strings.Contains(said, "outside of the site") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// A dependency could read the site's own secrets if its import put them into the bundle.
func TestAPackageCannotPullTheSitesOwnFilesIn(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
included_files = ["**/*"]
-- .env --
KEY=LOOT-5e1f
-- deploy.key --
LOOT-5e1f
-- .git/config --
LOOT-5e1f
-- functions/f.js --
exports.handler = require('p')
-- node_modules/p/package.json --
{}
-- node_modules/p/.env --
LOOT-5e1f
-- node_modules/p/index.js --
module.exports = __dirname;
`)
	if where := holds(t, build(t, dir, t.TempDir()), loot); where != "" {
		t.Errorf("a secret of the site is in %s", where)
	}
	dir = newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
-- secrets.json --
{"key": "LOOT-5e1f"}
-- functions/f.js --
exports.handler = require('p')
-- node_modules/p/package.json --
{}
-- node_modules/p/index.js --
module.exports = require('../../secrets.json');
`)
	if where := holds(t, build(t, dir, t.TempDir()), loot); where != "" {
		t.Errorf("a secret of the site is in %s", where)
	}
}

// A link of a package's is followed only within the package, whatever imports it.
func TestAPackagesLinkDoesNotPullTheSitesOwnFilesIn(t *testing.T) {
	for name, c := range map[string]struct{ spec, link string }{
		"a file":   {"./data.json", "data.json ../../secrets/data.json"},
		"a folder": {"./s/data.json", "s ../../secrets"},
		"no name":  {"./s/data", "s ../../secrets"},
	} {
		dir := newSite(t, "-- netlify.toml --\n[functions]\ndirectory = \"functions\"\n-- secrets/data.json --\n{\"key\": \"LOOT-5e1f\"}\n"+
			"-- functions/f.js --\nexports.handler = require('p')\n-- node_modules/p/package.json --\n{}\n"+
			"-- node_modules/p/index.js --\nmodule.exports = require('"+c.spec+"')\n-- LINKS --\nnode_modules/p/"+c.link+"\n")
		if where := holds(t, build(t, dir, t.TempDir()), loot); where != "" {
			t.Errorf("%s: a secret of the site is in %s", name, where)
		}
	}
}

// What a package computes, or says of itself, reaches no file of the site's either: neither data nor other functions.
func TestAPackagesOwnWordDoesNotPullTheSitesOwnFilesIn(t *testing.T) {
	computed := func(call string) string {
		return "-- node_modules/p/package.json --\n{}\n-- node_modules/p/index.js --\nmodule.exports = (x) => " + call + "\n"
	}
	carried := "-- node_modules/p/index.js --\nmodule.exports = __dirname\n-- node_modules/p/package.json --\n"
	for name, c := range map[string]struct{ p, links string }{
		"a computed require":           {computed("require('../../' + x + '.json')"), ""},
		"a computed import":            {computed("import('../../' + x + '.json')"), ""},
		"of other functions":           {computed("require(`../../functions/${x}.js`)"), ""},
		"put together":                 {computed("require('./' + '../../' + x + '.json')"), ""},
		"down and up":                  {computed("require('./a/../../../' + x + '.json')"), ""},
		"behind a comment":             {computed("require(/**/ '../../' + x + '.json')"), ""},
		"in another package":           {computed("require('../../node_modules/../' + x + '.json')"), ""},
		"through a link to a folder":   {computed("require('./l/' + x)"), "node_modules/p/l ../../data"},
		"through a link to a file":     {computed("require('./l' + x)"), "node_modules/p/l.json ../../secrets.json"},
		"main":                         {"-- node_modules/p/package.json --\n{\"main\": \"../../secrets.json\"}\n", ""},
		"main in another package":      {computed("require('q')") + "-- node_modules/q/package.json --\n{\"main\": \"../../secrets.json\"}\n", ""},
		"main is a link":               {"-- node_modules/p/package.json --\n{\"main\": \"./l.json\"}\n", "node_modules/p/l.json ../../secrets.json"},
		"a folder inside":              {carried + "{}\n", "node_modules/p/node_modules/x ../../../data"},
		"a folder inside, as it needs": {carried + "{\"dependencies\": {\"x\": \"1\"}}\n", "node_modules/p/node_modules/x ../../../data"},
		"a repository inside":          {carried + "{}\n", "node_modules/p/node_modules/x ../../../.git"},
		"a repository beside":          {carried + "{\"dependencies\": {\"x\": \"1\"}}\n", "node_modules/x ../.git"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newSite(t, plainSite+"-- functions/f.js --\nexports.handler = require('p')\n-- secrets.json --\n{\"key\": \"LOOT-5e1f\"}\n"+
				"-- data/a.json --\n{\"key\": \"LOOT-5e1f\"}\n-- data/b.js --\n'LOOT-5e1f'\n-- .git/config --\nLOOT-5e1f\n"+
				"-- functions/g/g.js --\nexports.handler = 'LOOT-5e1f'\n"+c.p+"-- LINKS --\n"+c.links+"\n")
			a := build(t, dir, t.TempDir())
			for _, f := range a.Functions {
				if f.Bundle.Function != "f" || f.Err != nil {
					continue
				}
				if where := holds(t, &Artifact{Dir: f.Bundle.Dir}, loot); where != "" {
					t.Errorf("a secret of the site is in %s", where)
				}
			}
		})
	}
}

// What a package computes stays part of the bundle where it can't mean anything but the package's own files, and
// the site may put a file of its own in a package's place.
func TestComputedImportsWithinAPackageAreBundled(t *testing.T) {
	dir := newSite(t, plainSite+`
-- tsconfig.json --
{"compilerOptions": {"paths": {"q": ["./lib/q.js"]}}}
-- lib/q.js --
module.exports = 'ours'
-- functions/f.ts --
import p from 'p'
import q from 'q'
export const handler = async () => [p('a'), q]
-- node_modules/p/package.json --
{}
-- node_modules/p/index.js --
module.exports = (x) => require('./parts/' + x + '.js')
-- node_modules/p/parts/a.js --
module.exports = 'part'
-- node_modules/q/package.json --
{}
-- node_modules/q/index.js --
module.exports = 'theirs'
`)
	a := build(t, dir, t.TempDir())
	if got, err := inShim(a.Functions[0], "call"); got != `["part","ours"]` {
		t.Errorf("%s %v %v", got, err, a.Functions[0].Err)
	}
	if where := holds(t, a, "theirs"); where != "" {
		t.Errorf("the package is in %s", where)
	}
	if _, err := os.Stat(filepath.Join(a.Functions[0].Bundle.Dir, "node_modules")); err == nil {
		t.Error("a package is carried")
	}
}

// A package of the workspace is a folder in which people work: what they keep there for themselves
// is not carried. And the site is none of its own packages, though the workspace links it like one.
func TestSecretsOfAWorkspaceAreNotCarried(t *testing.T) {
	dir := newSite(t, `
-- package.json --
{"workspaces": ["packages/*", "apps/*"]}
-- apps/web/netlify.toml --
[functions]
directory = "functions"
external_node_modules = ["web", "own"]
-- apps/web/package.json --
{"name": "web"}
-- apps/web/notes.txt --
LOOT-5e1f
-- apps/web/functions/f.js --
exports.handler = () => [require('own'), require('web/functions/g')];
-- apps/web/functions/g.js --
exports.handler = 1;
-- packages/own/package.json --
{"name": "own", "dependencies": {"web": "*"}}
-- packages/own/index.js --
module.exports = __dirname;
-- packages/own/.env.local --
LOOT-5e1f
-- packages/own/.npmrc --
LOOT-5e1f
-- packages/own/.cache/x --
LOOT-5e1f
-- packages/own/config/deploy.key --
LOOT-5e1f
-- packages/own/config/id_rsa --
LOOT-5e1f
-- LINKS --
node_modules/own ../packages/own
node_modules/web ../apps/web
-- SITE --
apps/web
`)
	a := build(t, dir, t.TempDir())
	if where := holds(t, a, loot); where != "" {
		t.Errorf("a secret is in %s", where)
	}
	if where := holds(t, a, "module.exports = __dirname"); where == "" {
		t.Error("the package is not carried")
	}
}

// @intrinsic/lambda from a registry must never run: it would be trusted by its name.
func TestReservedPackagesAreNotCarried(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
-- functions/f.js --
exports.handler = require('p')
-- node_modules/p/package.json --
{"dependencies": {"@intrinsic/lambda": "1"}}
-- node_modules/p/index.js --
module.exports = [__dirname, require('@intrinsic/lambda')];
-- node_modules/@intrinsic/lambda/package.json --
{}
-- node_modules/@intrinsic/lambda/index.js --
module.exports = 'LOOT-5e1f';
`)
	if where := holds(t, build(t, dir, t.TempDir()), loot); where != "" {
		t.Errorf("the package is in %s", where)
	}
}

// Reading a pipe or /dev/zero would never end.
func TestEndlessFilesDoNotHangABuild(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
included_files = ["data/**"]
-- data/ok.txt --
-- functions/f.js --
exports.handler = require('./pipe.js')
-- functions/g.js --
exports.handler = require('p')
//# sourceMappingURL=pipe.js
-- node_modules/p/package.json --
{}
-- node_modules/p/index.js --
module.exports = 1; //# sourceMappingURL=file:///dev/zero
-- node_modules/q/package.json --
{}
`)
	for _, name := range []string{"functions/pipe.js", "data/pipe", "node_modules/p/pipe"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := Build(ctx, s, Options{StateDir: t.TempDir()})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the build hangs")
	}
}

func TestSizeIsBounded(t *testing.T) {
	dir := newSite(t, `
-- netlify.toml --
[functions]
directory = "functions"
included_files = ["data/*"]
-- data/small --
-- functions/f.js --
exports.handler = async () => 1
`)
	if err := os.Truncate(filepath.Join(dir, "data/small"), 251<<20); err != nil {
		t.Fatal(err)
	}
	f := build(t, dir, t.TempDir()).Functions[0]
	if f.Err == nil || !strings.Contains(f.Err.Error(), "250 MB is the most; the largest one is data/small (251 MB)") {
		t.Errorf("error: %v", f.Err)
	}
}

// A package of empty files, needed in many versions, would use up the machine's inodes, and memory before that.
func TestTheNumberOfFilesIsBounded(t *testing.T) {
	all := tree{}
	for i := range 100_000 {
		all[fmt.Sprint(i)] = source{}
	}
	if err := all.fits(); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "one.txt"), "")
	if err := all.addPackage(dir, "p", false); err == nil || !strings.Contains(err.Error(), "more than 100000 files") {
		t.Errorf("one more by a package: %v", err)
	}
	if err := all.fits(); err == nil {
		t.Error("one more fits")
	}
}
