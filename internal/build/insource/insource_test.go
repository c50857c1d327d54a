package insource

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/weir"
)

const handler = "export default async () => new Response('x');\n"

func TestConfig(t *testing.T) {
	v2 := func(c weir.FunctionConfig) weir.FunctionConfig { c.Form = weir.FormV2; return c }
	all := v2(weir.FunctionConfig{Paths: []string{"/a/:id", "/b/*"}, ExcludedPaths: []string{"/b/x"}, Methods: []string{"GET", "POST"}, PreferStatic: true})
	scheduled := weir.FunctionConfig{Form: weir.FormV1, Schedule: "@hourly"}
	path := v2(weir.FunctionConfig{Paths: []string{"/a/b"}})
	for name, c := range map[string]struct {
		file, src string
		want      weir.FunctionConfig
	}{
		"all":              {"f.mjs", handler + `export const config = { path: ["/a/:id", '/b/*'], excludedPath: "/b/x", method: ["get", "POST", "GET"], preferStatic: true };`, all},
		"types":            {"f.mts", "import type { Config } from '@netlify/functions';\nenum E { A }\n" + handler + `export const config: Config = { path: "/a/b" } as const satisfies Config;`, path},
		"JSX":              {"f.tsx", "export default () => <p>{`\nexport const config = { path: '/no' }`}</p>;\n" + `export const config = { path: "/a/b" };`, path},
		"constants":        {"f.mjs", "const base = '/a';\nconst config = { ...common, path: `${base}/b` };\nconst common = { path: '/no' };\nexport { config };\n" + handler, path},
		"sum":              {"f.mjs", "const base = '/a';" + handler + "export const config = { path: base + '/b' };", path},
		"short":            {"f.mjs", "const path = '/a/b', other = 1;" + handler + "export const other2 = 1, config = { path };", path},
		"renamed":          {"f.mjs", "const c = { 'path': '/a/b' }, f = () => {};\nexport { c as config, f as default };", path},
		"string names":     {"f.mjs", "const c = { path: '/a/b' }, f = () => {};\nexport { c as \"config\", f as \"default\" };", path},
		"in the default":   {"f.mjs", "export default { fetch() { return new Response('x'); }, config: { path: '/a/b' } };", path},
		"default by name":  {"f.mjs", "const f = { fetch() {}, config: { path: '/a/b' } };\nexport default f;", path},
		"export wins":      {"f.mjs", "export default { fetch() {}, config: { path: '/no' } };\nexport const config = { path: '/a/b' };", path},
		"CommonJS":         {"f.cjs", "exports.default = async () => {};\nexports.config = { path: '/a/b' };", path},
		"module.exports":   {"f.js", "module.exports.default = async () => {};\nmodule.exports.config = { path: '/a/b' };", path},
		"by esbuild":       {"f.cjs", "__export(o, { config: () => no });\n__export(f_exports, {\n  config: () => c,\n  default: () => f\n});\nmodule.exports = __toCommonJS(f_exports);\nvar f = async () => {};\nvar c = { path: '/a/b' };\nvar no = 1;\n0 && (module.exports = { config });", path},
		"minified":         {"f.mjs", "const a=()=>{},b={path:\"/a/b\",preferStatic:!1};export{a as default,b as config};", path},
		"await at the top": {"f.mjs", "await import('./x.mjs');\nimport y from 'y';\nconst z = import.meta.url;" + handler + `export const config = { path: "/a/b" };`, path},
		"ignored members":  {"f.mjs", handler + `export const config = { path: "/a/b", generator: f(), name: g };`, path},
		"undefined":        {"f.mjs", handler + `export const config = { path: "/a/b", method: undefined, preferStatic: void 0 };`, path},
		"none":             {"f.mjs", handler, v2(weir.FunctionConfig{})},
		"background":       {"f.mjs", handler + "export const config = { background: true };", v2(weir.FunctionConfig{Background: true})},
		"schedule":         {"f.mjs", handler + "const when = '*/5 * * * *';\nexport const config = { schedule: when };", v2(weir.FunctionConfig{Schedule: "*/5 * * * *"})},
		"rate limit": {"f.mjs", handler + "export const config = { rateLimit: { windowSize: 60, windowLimit: 1e2, aggregateBy: ['ip', 'domain'], algorithm: 'sliding_window' } };",
			v2(weir.FunctionConfig{RateLimit: &weir.RateLimit{Window: 60, Limit: 100, By: []string{"ip", "domain"}}})},
		"rate rewrite": {"f.mjs", handler + "export const config = { rateLimit: { action: 'rewrite', to: '/busy', windowSize: 1, windowLimit: 2, aggregateBy: 'ip' } };",
			v2(weir.FunctionConfig{RateLimit: &weir.RateLimit{Window: 1, Limit: 2, By: []string{"ip"}, To: "/busy"}})},
		"scheduled":        {"f.mjs", "import { builder, schedule } from '@netlify/functions';\nexport const handler = schedule('@hourly', async () => {});", scheduled},
		"scheduled, types": {"f.ts", "import { schedule as every, type Handler } from '@netlify/functions';\nconst h: Handler = async () => ({ statusCode: 200 });\nconst when = '@hourly';\nconst handler = every(when, h);\nexport { handler };", scheduled},
		"scheduled, CJS":   {"f.js", "const { schedule } = require('@netlify/functions');\nexports.handler = schedule('@hourly', async () => {});", scheduled},
		"scheduled, dot":   {"f.js", "const netlify = require('@netlify/functions');\nmodule.exports.handler = netlify.schedule('@hourly', () => {});", scheduled},
		"scheduled, built": {"f.js", "__export(f_exports, {\n  handler: () => handler\n});\nmodule.exports = __toCommonJS(f_exports);\nvar import_functions = require('@netlify/functions');\nvar handler = (0, import_functions.schedule)('@hourly', async () => {});", scheduled},
		"another schedule": {"f.js", "const { schedule } = require('./mine');\nexports.handler = schedule('@hourly', async () => {});", weir.FunctionConfig{Form: weir.FormV1}},
		"v1":               {"f.js", "exports.handler = async () => {};\nexports.config = { path: f() };", weir.FunctionConfig{Form: weir.FormV1}},
		"handler wins":     {"f.mjs", handler + "export async function handler() {}\nexport const config = { path: '/no' };", weir.FunctionConfig{Form: weir.FormV1}},
		"no form":          {"f.js", "module.exports = require('./other');", weir.FunctionConfig{}},
		"broken":           {"f.mjs", "export const config = {", weir.FunctionConfig{}},
		"only text":        {"f.mjs", handler + "const s = `\nexport const config = { path: '/no' };\n`;\n/*\nexport const config = 1;\n*/", v2(weir.FunctionConfig{})},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read([]byte(c.src), c.file)
			if err != nil || !reflect.DeepEqual(got.FunctionConfig, c.want) || got.Warnings != nil {
				t.Errorf("got %+v %v", got, err)
			}
		})
	}
}

func TestBuildSettings(t *testing.T) {
	got, err := Read([]byte(handler+`export const config = { nodeBundler: "none", includedFiles: ["data/**", "!data/x"], externalNodeModules: ["a"],
	timeout: 10, memory: 1024, pathh: "/a" };`), "f.mjs")
	if err != nil || got.Bundler != "none" || !reflect.DeepEqual(got.Included, []string{"data/**", "!data/x"}) || !reflect.DeepEqual(got.External, []string{"a"}) {
		t.Errorf("%+v %v", got, err)
	}
	want := []string{"f.mjs:3:11: config.timeout ", "f.mjs:3:23: config.memory ", `f.mjs:3:36: config."pathh" is unknown`}
	if len(got.Warnings) != len(want) {
		t.Fatalf("%q", got.Warnings)
	}
	for i, w := range want {
		if !strings.HasPrefix(got.Warnings[i], w) {
			t.Errorf("%q, want %q", got.Warnings[i], w)
		}
	}
}

// TestWhatCannotBeRead: nothing is guessed, and the error says where.
func TestWhatCannotBeRead(t *testing.T) {
	for src, want := range map[string]string{
		"export const config = { path: process.env.X };":                                               "f.ts:2:31: config.path can't be read",
		"export const config = { path: f() };":                                                         "f.ts:2:31: config.path can't be read",
		"export const config = { path: [\n'/a', f()] };":                                               "f.ts:3:7: config.path can't be read",
		"export const config = make();":                                                                "f.ts:2:23: config can't be read",
		"import { config } from './x';\nexport { config };":                                            "f.ts: the exported config can't be read",
		"export { config } from './x';":                                                                "f.ts: the exported config can't be read",
		"export const { config } = all;":                                                               "f.ts: the exported config can't be read",
		"export function config() {}":                                                                  "f.ts:2:8: the exported config can't be read",
		"let config = {};\nconfig.path = '/a';\n{ var config: any; }":                                  "",
		"export const config = { ...f() };":                                                            "can't be read",
		"export const config = { ['pa' + 'th']: '/a' };":                                               "can't be read",
		"export const config = { get path() { return '/a'; } };":                                       "config.path can't be read",
		"export const config = { path: 7 };":                                                           "config.path must be a text",
		"export const config = { path: 'a' };":                                                         `f.ts:2:31: config.path: "a" is no path: a path has a / in front`,
		"export const config = { path: '/(' };":                                                        "is no path: a ( has no )",
		"export const config = { path: ['/a', , '/b'] };":                                              "config.path can't be read",
		"export const config = { path: [" + strings.Repeat("'/a', ", 100) + "\n'/b'] };":               "f.ts:3:1: config.path has 101 entries, and may have 100",
		"export const config = { excludedPath: [" + strings.Repeat("'/a', ", 101) + "] };":             "config.excludedPath has 101 entries",
		"export const config = { method: 'BREW' };":                                                    `config.method: "BREW" is no method`,
		"export const config = { nodeBundler: 'rollup' };":                                             `config.nodeBundler: "rollup" is unknown`,
		"export const config = { preferStatic: f };":                                                   "config.preferStatic can't be read",
		"export const config = { background: f };":                                                     "config.background can't be read",
		"export const config = { schedule: '* * *' };":                                                 `f.ts:2:35: "* * *" is no schedule: it has 3 fields`,
		"export const config = { schedule: f() };":                                                     "config.schedule can't be read",
		"export const config = { schedule: ['@daily', '@hourly'] };":                                   "config.schedule has several",
		"export const config = { rateLimit: { windowSize: 181, windowLimit: 1 } };":                    "f.ts:2:36: config.rateLimit: a rate limit's window has from 1 to 180 seconds, not 181",
		"export const config = { rateLimit: { windowSize: 60 } };":                                     "a rate limit allows from 1",
		"export const config = { rateLimit: { windowSize: '60' } };":                                   "windowSize is not a whole number",
		"export const config = { rateLimit: { windowSize: 1.5 } };":                                    "windowSize is not a whole number",
		"export const config = { rateLimit: { windowSize: 9, windowLimit: 9, aggregateBy: 'moon' } };": "counts by ip or domain",
		"export const config = { rateLimit: { windowSize: 9, windowLimit: 9, action: 'rewrite' } };":   "does not say where to",
		"export const config = { rateLimit: { windowSize: 9, windowLimit: 9, action: 'drop' } };":      `"drop" is no action`,
		"export const config = { rateLimit: { windowSize: 9, windowLimit: 9, to: '//x' } };":           "leads to a path with one / in front",
		"const a = b, b = a;\nexport const config = { path: a };":                                      "config.path can't be read",
		"const config = { ...config };\nexport { config };":                                            "can't be read",
		"const a = '/' + '" + strings.Repeat("x", maxText) + "';\nexport const config = { path: a };":  "config.path is longer than",
	} {
		_, err := Read([]byte(handler+src), "f.ts")
		switch {
		case want == "" && err == nil:
		case want == "" || err == nil || !strings.Contains(err.Error(), want):
			t.Errorf("%.80s: %v", src, err)
		case weir.ErrorCode(err) != weir.Broken || !strings.Contains(err.Error(), "; "):
			t.Errorf("%.80s: no remedy: %v", src, err)
		}
	}
}

// TestSchedulesThatCannotBeRead: of a handler that schedule() makes.
func TestSchedulesThatCannotBeRead(t *testing.T) {
	const helper = "import { schedule } from '@netlify/functions';\n"
	for src, want := range map[string]string{
		"export const handler = schedule('often', h);":          `f.js:2:33: "often" is no schedule`,
		"export const handler = schedule(process.env.WHEN, h);": "f.js:2:33: the schedule can't be read",
		"export const handler = schedule();":                    "is called without a schedule",
	} {
		if _, err := Read([]byte(helper+src), "f.js"); weir.ErrorCode(err) != weir.Broken || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
	got, err := Read([]byte(helper+"export const handler = wrap(schedule('@daily', h));"), "f.js")
	if err != nil || got.Schedule != "" || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "f.js: nothing calls the function by a schedule") {
		t.Errorf("%+v %v", got, err)
	}
}

// TestBombs: constants that are made of each other end, and soon.
func TestBombs(t *testing.T) {
	var doubled, spread strings.Builder
	doubled.WriteString("const a0 = '';\n")
	spread.WriteString("const a0 = {};\n")
	for i := range 30 {
		last, next := "a"+string(rune('0'+i)), "a"+string(rune('0'+i+1))
		if i >= 9 {
			last, next = "b"+strings.Repeat("x", i), "b"+strings.Repeat("x", i+1)
		}
		if i == 9 {
			last = "a9"
		}
		doubled.WriteString("const " + next + " = " + last + " + " + last + ";\n")
		spread.WriteString("const " + next + " = {..." + last + ", ..." + last + "};\n")
	}
	end := "b" + strings.Repeat("x", 30)
	for _, src := range []string{doubled.String() + "export const config = { path: " + end + " };", spread.String() + "export const config = " + end + ";"} {
		if _, err := Read([]byte(handler+src), "f.mjs"); err == nil {
			t.Error("it is read")
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"export const config = { path: ['/a'], method: 'GET' };", "const c = `x${c}`; export { c as config };",
		"exports.config = {};exports.default=1", "export default { config: { ...x } }", "export const config = { schedule: '@daily', rateLimit: { windowSize: 1, windowLimit: 2 } };",
		"import { schedule } from '@netlify/functions';\nexport const handler = schedule('@daily', 1);", "export const [config] = [];"} {
		f.Add(handler + s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		c, err := Read([]byte(src), "f.mts")
		if err != nil && weir.ErrorCode(err) != weir.Broken {
			t.Error(err)
		}
		if err == nil && c.Form != weir.FormV2 && (c.Paths != nil || c.Methods != nil) {
			t.Errorf("%+v", c)
		}
	})
}
