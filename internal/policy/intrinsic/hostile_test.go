package intrinsic

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

// hostile are scripts that try to take time, memory or the process. Each must be an error.
var hostile = map[string]string{
	"repeat":           `'x'.repeat(2**30)`,
	"pad":              `'x'.padEnd(2**30, 'xyz')`,
	"doubling":         `let s = 'x'; for (;;) s += s`,
	"template":         "let s = 'x'; for (;;) s = `${s}${s}`",
	"concat":           `let a = [1]; for (;;) a = a.concat(a)`,
	"fill":             `new Array(1e9).fill(0)`,
	"array from":       `Array.from({ length: 1e9 })`,
	"push":             `const a = []; for (;;) a.push(a.length + 'x')`,
	"array loop":       `while (1) []`,
	"typed array":      `new Uint8Array(2**31 - 1).fill(1)`,
	"many buffers":     `const a = []; for (;;) a.push(new ArrayBuffer(1 << 26))`,
	"map":              `const m = new Map(); for (let i = 0; ; i++) m.set({}, 'x' + i)`,
	"symbols":          `const a = []; for (let i = 0; ; i++) a.push(Symbol.for('x' + i))`,
	"recursion":        `(function f() { f() })()`,
	"callee":           `(function () { arguments.callee() })()`,
	"value of":         `const o = { valueOf() { return +this } }; +o`,
	"to primitive":     `const o = { [Symbol.toPrimitive]() { return ` + "`${this}`" + ` } }; ` + "`${o}`",
	"getter":           `const o = { get a() { return this.a } }; o.a`,
	"proxy":            `const p = new Proxy({}, { get(t, k, r) { return r[k] } }); p.x`,
	"proxy prototype":  `let p = {}; for (let i = 0; i < 1e7; i++) p = new Proxy(p, {}); p.x`,
	"proxy keys":       `Object.keys(new Proxy({}, { ownKeys() { for (;;); } }))`,
	"prototype chain":  `let p = null; for (let i = 0; ; i++) p = Object.create(p); p.x`,
	"has instance":     `({}) instanceof { [Symbol.hasInstance]() { for (;;); } }`,
	"species":          `class A extends Array { static get [Symbol.species]() { for (;;); } } new A(3).map(x => x)`,
	"regexp":           `/^(?=(a+)+$)(a|a?)+$/.test('a'.repeat(64) + 'b')`,
	"regexp replace":   `'a'.repeat(1e6).replace(/(?<=(a|aa)+)b?/g, x => 'y'.repeat(1e3))`,
	"regexp nesting":   `new RegExp('('.repeat(1e6))`,
	"split":            `'x'.repeat(1e8).split('')`,
	"nesting":          strings.Repeat("(", 500000),
	"array nesting":    strings.Repeat("[", 500000),
	"block nesting":    strings.Repeat("{", 500000),
	"template nesting": strings.Repeat("`${", 200000),
	"unary":            "x = " + strings.Repeat("!", 900000) + "1",
	"sum":              "x = 1" + strings.Repeat("+1", 450000) + "; for (;;);",
	"member chain":     "x" + strings.Repeat(".a", 450000),
	"arrows":           strings.Repeat("a=>", 300000) + "a",
	"if else":          strings.Repeat("if(0);else ", 80000) + "for (;;);",
	"classes":          strings.Repeat("class A{a=", 90000),
	"json":             `JSON.parse('['.repeat(1e6))`,
	"stringify":        `const o = {}; o.toJSON = () => ({ o }); JSON.stringify(o)`,
	"join":             `const a = []; a.length = 1e8; a.join('xxxxxxxxxx').length; a.join('xxxxxxxxxx' + a.join('y'))`,
	"sort":             `new Array(1e7).fill(0).map(Math.random).sort(() => { for (;;); })`,
	"finally":          `for (;;) { try { for (;;); } finally { continue } }`,
	"promise":          `const f = () => Promise.resolve().then(f); f()`,
	"thenable":         `Promise.resolve({ then() { for (;;); } })`,
	"await":            `(async () => { for (;;) await null })()`,
	"generator":        `function* g() { for (;;) yield* g() } [...g()]`,
	"endless iterator": `const [...a] = { [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) }`,
	"spread":           `Math.max(...new Array(1e8))`,
	"eval":             `eval('for (;;);')`,
	"new function":     `new Function('for (;;);')()`,
	"constructor":      `while (true) { ({}).constructor.constructor('return 1')() }`,
	"bigint":           `for (let n = 2n; ; n *= n) ;`,
	"bigint power":     `2n ** 99999999999n`,
	"bigint shift":     `1n << 99999999999n`,
	"bigint text":      `(2n ** 10000000n).toString()`,
	"date":             `for (;;) new Date().toString()`,
	"thrown toString":  `throw Object.assign(new Error('x'), { toString() { for (;;); } })`,
	"thrown throws":    `throw Object.assign(new Error('x'), { toString() { throw this } })`,
	"thrown message":   `throw Object.defineProperty(new Error('x'), 'message', { get() { for (;;); } })`,
	"thrown proxy":     `throw new Proxy(new Error('x'), { get() { for (;;); }, getPrototypeOf() { for (;;); } })`,
	"thrown null":      `throw null`,
	"thrown text":      `throw '\x1b[2J' + 'x'.repeat(1e6)`,
	"stack trace":      `Error.prepareStackTrace = () => { for (;;); }; null.x`,
	"toString":         `policy.outboundHttp.allowGet({ toString() { for (;;); } })`,
	"export":           `const o = []; o.push(o); policy.outboundHttp.allowGet(o)`,
	"export proxy":     `policy.outboundHttp.allowGet(new Proxy({}, { get() { for (;;); }, ownKeys() { for (;;); } }))`,
	"export getter":    `policy.outboundHttp.allowGet({ get a() { for (;;); } })`,
	"export symbol":    `policy.outboundHttp.allowGet(Symbol('https://a.example/'))`,
	"export array":     `policy.outboundHttp.allowGet(['https://a.example/'])`,
	"long text":        `policy.outboundHttp.allowGet('https://a.example/' + 'x'.repeat(1e6))`,
	"rules":            `for (;;) policy.outboundHttp.allowGet('https://a.example/' + 'x'.repeat(1000))`,
	"caught rules":     `for (;;) try { policy.outboundHttp.allowGet('https://a.example/') } catch { }`,
	"bad rules":        `for (let i = 0; i < 4000; i++) policy.outboundHttp.allowGet('nonsense' + i)`,
	"conflicts":        `for (let i = 0; i < 2000; i++) policy.outboundHttp.allowGet('https://*-' + i + '.a.example/'), policy.outboundNet.allowTcp('x-' + i + '.a.example', 443)`,
	"problems":         `for (;;) policy.outboundNet.allowUdp('a', 1, 2)`,
	"warnings":         `for (let i = 0; ; i++) policy.outboundNet.allowTcp('/x' + i)`,
	"variables":        `for (let i = 0; ; i++) process.env['X' + i] = 'x'.repeat(1e6) + i`,
	"asked variables":  `for (let i = 0; ; i++) process.env['X' + i]`,
	"variable":         `process.env.X = { toString() { for (;;); } }`,
	"names":            `for (let i = 0; ; i++) policy.process['allow' + 'X'.repeat(i)]`,
	"own policy":       `policy.configurePolicies`,
	"again":            `module.exports = new I().configurePolicies(() => { for (;;); })`,
}

// A hostile file must cost a bounded time and never the process that loads it, and what is said of it
// must fit in a log.
func TestHostile(t *testing.T) {
	was := maxTime
	t.Cleanup(func() { maxTime = was })
	maxTime = 300 * time.Millisecond
	for name, src := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := load(t, before+src+after)
			var e *weir.Error
			if !errors.As(err, &e) || e.Code != weir.Invalid {
				t.Fatalf("got %v, want an invalid weir.Error", err)
			}
			if d := time.Since(start); d > startTime+5*time.Second {
				t.Errorf("took %v", d)
			}
			if text := err.Error(); len(text) > 64<<10 || strings.ContainsAny(text, "\x1b\x00\r") {
				t.Errorf("said in %d bytes: %.100q", len(text), text)
			}
			t.Log(time.Since(start).Round(time.Millisecond), strings.SplitN(fmt.Sprint(err), "\n", 2)[0])
		})
	}
}

// What a script does to its own world changes no rule: the policy is what was asked for, no more.
func TestTricksChangeNoRule(t *testing.T) {
	const ask = "policy.outboundHttp.allowGet('https://a.example/x');"
	const want = "http GET https://a.example/x;"
	for name, src := range map[string]string{
		"plain":            ask,
		"prototypes":       `Object.prototype.Pattern = 'GET https://evil.example/'; Array.prototype.push = () => {}; String.prototype.replace = () => 'evil';` + ask,
		"numbers":          `Object.prototype[0] = 'https://evil.example/'; Array.prototype[0] = 'https://evil.example/';` + ask,
		"setters":          `Object.defineProperty(Object.prototype, 'Kind', { set() { throw 1 }, get() { return 9 } });` + ask,
		"json":             `Object.prototype.toJSON = () => ({ Rules: [] }); JSON.stringify = () => '{}';` + ask,
		"function call":    `Function.prototype.call = Function.prototype.apply = () => 'https://evil.example/';` + ask,
		"string object":    `String.prototype.toString = () => 'https://evil.example/'; String.prototype.valueOf = () => 'https://evil.example/';` + ask,
		"globals":          `globalThis.Object = globalThis.String = globalThis.RegExp = null;` + ask,
		"proxied policy":   `policy = new Proxy(policy, { get: (t, k) => t[k] });` + ask,
		"inherited policy": `policy = Object.create(policy);` + ask,
		"replaced method":  `policy.outboundHttp.allowPost = policy.outboundHttp.allowGet; const g = policy.outboundHttp.allowGet; g.call(null, 'https://a.example/x');`,
		"other receiver":   `policy.outboundHttp.allowGet.call(new Proxy({}, { get() { throw 1 } }), 'https://a.example/x')`,
		"reflect":          `Reflect.apply(policy.outboundHttp.allowGet, undefined, ['https://a.example/x'])`,
		"frozen":           `Object.freeze(policy.outboundHttp);` + ask,
		"own members":      `policy.outboundHttp2 = { allowGet() {} }; policy.fs = null; try { delete policy.fs } catch {} ` + ask,
		"symbols":          `policy[Symbol.toPrimitive]; policy[Symbol('x')] = 1; String(Object.getOwnPropertySymbols(policy).length);` + ask,
		"keys":             `for (const k in policy) String(k); Object.entries(policy).length;` + ask,
		"prototype swap":   `Object.setPrototypeOf(policy.outboundHttp, new Proxy({}, { get() { throw 1 } }));` + ask,
		"new target":       `class J extends I {} Reflect.construct(I, [], J); Reflect.construct(I, [], Array);` + ask,
		"no new":           `I();` + ask,
		"module":           `module.exports = null; exports = null; require('path').join = () => '/etc/passwd'; module.constructor = null;` + ask,
		"module cache":     `require.cache = { '@intrinsic/lambda': 1 }; require('@intrinsic/lambda').prototype = null;` + ask,
		"dirname":          `__dirname = '/etc'; __filename = '/etc/passwd';` + ask + `__dirname = '/var/task';`,
		"stack trace":      `Error.prepareStackTrace = () => 'fn.js:1:1'; Error.stackTraceLimit = 0; Error.captureStackTrace && Error.captureStackTrace({});` + ask,
		"long symbol":      `Object.prototype[Symbol.iterator] = function* () { yield 'https://evil.example/' };` + ask,
		"late":             `let done = false; Promise.resolve().then(() => { done = true });` + ask,
		"with":             "new Function('policy', \"with (policy) { outboundHttp.allowGet('https://a.example/x') }\")(policy)",
		"console":          `console.log({ toString() { throw 1 } }); console.error('\x1b[2J');` + ask,
		"weak":             `new WeakMap([[policy, 1]]);` + ask,
		"text escapes":     "policy.outboundHttp.allowGet('\\x68ttps://a.example/x')",
	} {
		t.Run(name, func(t *testing.T) {
			b, err := load(t, before+src+after)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range b.Policy.Rules {
				got += fmt.Sprintf("%s %s;", r.Kind, r.Pattern)
				if r.Pos.File != b.Policy.Source {
					t.Errorf("a rule is placed in %s", r.Pos.File)
				}
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if !strings.HasSuffix(b.HandlerFile, "/handler.js") || b.Policy.Addons || b.Policy.Mode != 0 || len(b.Warnings) > 0 {
				t.Errorf("%+v", b)
			}
		})
	}
}

// Nothing of the machine is in reach of the script, by whatever way it asks.
func TestNothingInReach(t *testing.T) {
	t.Setenv("WEIR_TEST_SECRET", "secret")
	t.Setenv("NODE_ENV", "secret")
	for _, src := range []string{
		`if (Object.keys(process.env).join() !== 'LAMBDA_TASK_ROOT' || process.env.WEIR_TEST_SECRET || process.env.NODE_ENV) throw new Error('environment')`,
		`if (Object.keys(process).join() !== 'env') throw new Error('process')`,
		`for (const n of ['setTimeout', 'setImmediate', 'queueMicrotask', 'fetch', 'Buffer', 'WebAssembly', 'global', 'XMLHttpRequest', 'Deno', 'Bun', 'importScripts', 'root', 'GLOBAL']) if (typeof globalThis[n] !== 'undefined') throw new Error(n)`,
		`const g = new Function('return this')(); if (g !== globalThis) throw new Error('another world')`,
		`const g = (0, eval)('this'); if (g.process !== process) throw new Error('another world')`,
		`for (const f of [require, policy.outboundHttp.allowGet, I]) if (f.constructor.constructor('return typeof process.binding')() !== 'undefined') throw new Error('binding')`,
		`for (const n of ['cache', 'main', 'resolve', 'extensions']) if (require[n] !== undefined) throw new Error(n)`,
		`for (const n of ['constructor', 'parent', 'children', 'paths', 'require', '_load']) if (module[n] !== undefined && n !== 'constructor') throw new Error(n)`,
		`if (module.constructor !== Object) throw new Error('constructor')`,
		`if (Object.keys(require('path')).some(n => typeof require('path')[n] === 'function' && /fs|open|read/.test(n))) throw new Error('path')`,
		`try { null.x } catch (e) { if (/home|root|go\/|\.go/.test(e.stack)) throw new Error('the stack tells ' + e.stack) }`,
	} {
		if _, err := load(t, before+src+after); err != nil {
			t.Errorf("%s: %v", src, err)
		}
	}
	for _, module := range []string{"fs", "child_process", "net", "http", "./other", "./fn.js", "/etc/passwd", "node:fs", "../../x", "", "path/posix", "module", "@intrinsic/lambda/x"} {
		if _, err := load(t, before+"try { require('"+module+"') } catch (e) {}"+after); err == nil || !strings.Contains(err.Error(), "can't load") {
			t.Errorf("require %q: %v", module, err)
		}
	}
	for _, src := range []string{"import('fs')", "import fs from 'fs'", "export default 1", "import.meta.url", "await 1"} {
		if _, err := load(t, "const I = require('@intrinsic/lambda');\n"+src+"\nnew I().setHandlerFile(`${__dirname}/handler.js`).run()"); err == nil {
			t.Errorf("%s was evaluated", src)
		}
	}
}
