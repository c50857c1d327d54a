package instance

// The shim in a zygote: what a function can be forked, and what its children are to it.

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	"github.com/weir-run/weir/internal/weir"
)

// addonFile builds the addon, once.
var addonFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "weir-addon-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "fork.node")
	if text, err := exec.Command("cc", "-O2", "-std=gnu11", "-fPIC", "-shared", "-o", out, "../sandbox/zygote/addon/fork.c").CombinedOutput(); err != nil {
		return nil, errors.Join(err, errors.New(string(text)))
	}
	return os.ReadFile(out)
})

func mustAddon(t testing.TB) []byte {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("there is no C compiler (cc) to build the addon with")
	}
	addon, err := addonFile()
	if err != nil {
		t.Fatal(err)
	}
	return addon
}

// brood is a zygote that has loaded a function.
type brood struct {
	*sandbox.Process
	request runtime.LoadRequest
	out     *bytes.Buffer
	printed sync.WaitGroup
}

// load starts a zygote for a function. The error is that of loading it.
func load(t testing.TB, source string) (*brood, error) {
	t.Helper()
	addon := mustAddon(t)
	dir, err := os.MkdirTemp("/var/tmp", "weir-zygote-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, "f.js"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	node, err := findNode()
	if err != nil {
		t.Fatal(err)
	}
	launcher, err := sandbox.NewLauncher(sandbox.Options{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { launcher.Close() })
	limits := weir.Limits{}.WithDefaults()
	content := runtime.Content()
	content[runtime.CertPath] = nil
	n := &brood{out: &bytes.Buffer{}, request: runtime.LoadRequest{Limits: limits, Node: node, Words: runtime.Words{Mark: "zygotes"},
		Bundle: weir.Bundle{Function: "f", Dir: dir, Entry: "f.js", Export: "handler"}}}
	stdout := n.collect(t, n.out)
	defer stdout.Close()
	n.Process, err = startZygote(t.Context(), launcher, sandbox.Spec{Name: "f", Env: runtime.Environ(), Stdout: stdout, Stderr: stdout,
		Programs: []string{node.Path}, Bundle: dir, Content: content, Write: []string{"/tmp/**"}, Reserve: runtime.Reserve(node, limits), Limits: limits},
		addon, n.request)
	if weir.ErrorCode(err) == weir.NoWall {
		t.Skip(err)
	}
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { n.Kill(); n.Wait() })
	return n, nil
}

// collect makes a pipe whose end is read into b.
func (n *brood) collect(t testing.TB, b *bytes.Buffer) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	n.printed.Go(func() { io.Copy(b, r); r.Close() })
	return w
}

// kid is a child that has taken its request to load.
type kid struct {
	*sandbox.Child
	conn *runtime.Conn
	out  *bytes.Buffer
}

func (n *brood) fork(t testing.TB) *kid {
	t.Helper()
	k := &kid{out: &bytes.Buffer{}}
	stdout := n.collect(t, k.out)
	defer stdout.Close()
	var err error
	if k.Child, k.conn, err = fork(t.Context(), n.Process, stdout, stdout, n.request, runtime.ConnOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Kill(); k.Wait(); k.conn.Close() })
	return k
}

func (k *kid) call(t testing.TB, event string) string {
	t.Helper()
	res, _, err := k.conn.Invoke(weir.Invocation{ID: "1", Function: "f", Event: []byte(event)}, time.Now().Add(20*time.Second), func() {})
	if err != nil {
		t.Fatal(err)
	}
	if res.Error != nil {
		t.Fatal(res.Error)
	}
	return string(res.Payload)
}

func mustLoad(t testing.TB, source string) *brood {
	t.Helper()
	n, err := load(t, source)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForkingIsTried: weir doctor says what really works, and why if it doesn't.
func TestForkingIsTried(t *testing.T) {
	addon := mustAddon(t)
	l, err := sandbox.NewLauncher(sandbox.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node, err := findNode()
	if err != nil {
		t.Fatal(err)
	}
	if w := forking(t.Context(), l, node, nil); w.State != sandbox.Fallback || !strings.Contains(w.Detail, "addon") || w.Remedy == "" {
		t.Errorf("without an addon: %+v", w)
	}
	if w := forking(t.Context(), l, node, []byte("no addon")); w.State != sandbox.Fallback || w.Remedy == "" {
		t.Errorf("with a broken one: %+v", w)
	}
	if w := forking(t.Context(), l, node, addon); w.State != sandbox.InForce && forkable(l) {
		t.Errorf("%+v", w)
	}
	bare, err := sandbox.NewLauncher(sandbox.Options{StateDir: t.TempDir(), AnyPorts: true})
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if w := forking(t.Context(), bare, node, addon); w.State != sandbox.Fallback {
		t.Errorf("without nftables: %+v", w)
	}
}

// forkable tells what the walls' own look at the machine found.
func forkable(l *sandbox.Launcher) bool {
	for _, w := range l.Walls() {
		if w.Name == sandbox.Zygote {
			return w.State == sandbox.InForce
		}
	}
	return false
}

// TestForkedFunction: what runs once is what stands outside of the handler; all else is each child's.
func TestForkedFunction(t *testing.T) {
	n := mustLoad(t, `
		const loaded = { times: 0 };
		loaded.times++;
		exports.handler = async (e) => [e.n, ++loaded.times, process.argv.length, process.env.AWS_LAMBDA_FUNCTION_NAME, require('fs').readlinkSync('/proc/self') === '/.proc/self'];`)
	a, b := n.fork(t), n.fork(t)
	for _, want := range []string{`[1,2,2,"f",true]`, `[1,3,2,"f",true]`} {
		for _, k := range []*kid{a, b} {
			if got := k.call(t, `{"n":1}`); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
}

// TestWordsOfChild: a child knows its own egress's refusals by the mark that its own request names.
func TestWordsOfChild(t *testing.T) {
	n := mustLoad(t, `exports.handler = () => new Promise((r) => require('http').createServer((q, a) => a.writeHead(403, { 'weir-denied': q.url.slice(1) + ' {"detail":"no"}' }).end())
		.listen(0, '127.0.0.1', async function () {
			const get = (mark) => new Promise((r) => require('http').get({ port: this.address().port, host: '127.0.0.1', path: '/' + mark, agent: false }, () => r('answered')).on('error', (e) => r(e.code)));
			r([await get('zygotes'), await get('childs')]);
		}));`)
	n.request.Words.Mark = "childs"
	if got := n.fork(t).call(t, "1"); got != `["answered","EWEIR"]` {
		t.Errorf("%s", got)
	}
}

// TestSecretOfChild: what ran before a child had its secret sees neither that nor the channel.
func TestSecretOfChild(t *testing.T) {
	n := mustLoad(t, `
		const saw = new Set();
		const look = (name, x) => {
			if (x === null || typeof x !== 'object') return;
			if (typeof (x[0] ?? x).sendText === 'function') saw.add(name + ' channel');
			if (x instanceof Uint8Array && x.length > 28 && x[0] === 1) saw.add(name + ' frame');
			if (x.length === 16) saw.add(name + ' secret');
		};
		const trap = (object, name) => {
			const original = object[name];
			object[name] = function (a, b) {
				look(String(name), this);
				look(String(name), a);
				return Reflect.apply(original, this, arguments);
			};
		};
		trap(Object, 'assign');
		trap(require('fs'), 'readSync');
		trap(Buffer.prototype, 'subarray');
		trap(Buffer.prototype, 'utf8Slice');
		trap(Array.prototype, Symbol.iterator);
		for (const p of [Object.prototype, Array.prototype]) {
			Object.defineProperty(p, 'then', { configurable: true, get() { look('then', this); } });
		}
		const { on } = process, { readSync } = require('fs'), zygote = process.pid;
		process.on = function (...args) {
			if (process.pid !== zygote) try {
				readSync(3, Buffer.alloc(28));
				saw.add('it in the channel');
			} catch {}
			return Reflect.apply(on, this, args);
		};
		exports.handler = async () => [...saw];`)
	if got := n.fork(t).call(t, "1"); got != `[]` {
		t.Errorf("it saw %s", got)
	}
}

// TestNothingRandomIsShared: siblings draw different numbers, whichever way the function got at the source.
func TestNothingRandomIsShared(t *testing.T) {
	n := mustLoad(t, `
		const crypto = require('crypto');
		const { random } = Math;
		const { randomInt, randomUUID } = crypto;
		const web = globalThis.crypto;
		random(); randomInt(10); randomUUID(); web.randomUUID();
		const sources = {
			random, math: () => Math.random(), int: () => randomInt(2 ** 40), uuid: () => randomUUID(), web: () => web.randomUUID(),
			bytes: () => crypto.randomBytes(8).toString('hex'), values: () => web.getRandomValues(new Uint32Array(2)).join(),
			unbuffered: () => randomUUID({ disableEntropyCache: true }), pid: () => process.pid,
		};
		exports.handler = async (e) => sources[e]();`)
	a, b := n.fork(t), n.fork(t)
	for _, source := range []string{"random", "math", "int", "uuid", "web", "bytes", "values", "unbuffered", "pid"} {
		if x, y := a.call(t, `"`+source+`"`), b.call(t, `"`+source+`"`); x == y {
			t.Errorf("%s: both got %s", source, x)
		}
	}
	if x := a.call(t, `"random"`); !regexp.MustCompile(`^0\.\d+|^\d(\.\d+)?e-\d+$`).MatchString(x) {
		t.Errorf("Math.random gives %s", x)
	}
}

// TestNotForkable: a function that leaves something running when it is loaded is told apart, and why.
func TestNotForkable(t *testing.T) {
	for name, c := range map[string]struct{ source, why string }{
		"timeout":  {"setTimeout(() => {}, 1e6)", "a timer"},
		"unref":    {"setInterval(() => {}, 1e6).unref()", "a timer"},
		"server":   {"require('net').createServer().listen(7000)", "a socket"},
		"client":   {"require('net').connect(7001, '192.0.2.1').on('error', () => {})", "a socket"},
		"datagram": {"require('dgram').createSocket('udp4').bind(7002)", "a socket"},
		"watch":    {"require('fs').watch('/tmp').unref()", "a watched file"},
		"worker":   {"new (require('worker_threads').Worker)('setInterval(() => {}, 1e6)', { eval: true }).unref()", "a worker"},
		"request":  {"require('crypto').pbkdf2('a', 'b', 1e9, 32, 'sha256', () => {})", "an operation"},
		"file":     {"require('fs').openSync('/etc/hosts')", "/etc/hosts"},
		"tmp":      {"require('fs').writeFileSync('/tmp/x', 'x')", "/tmp"},
		"ids":      {"require('crypto').randomFillSync(new Uint8Array(256))", "a stock of random bytes"},
		"ids late": {"require('crypto').randomFill(Buffer.alloc(2048), () => {})", "a stock of random bytes"},
		"ids web":  {"crypto.getRandomValues(new Uint8Array(256))", "a stock of random bytes"},
		"ids new":  {"const { randomBytes } = require('crypto'); randomBytes(4096)", "a stock of random bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.source+"; exports.handler = async () => 1")
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
		})
	}
}

// TestForkable: what has come to its end when the function is loaded, or is anew in each child, is no reason.
func TestForkable(t *testing.T) {
	for name, source := range map[string]string{
		"settled":  "setTimeout(() => {}, 20); require('zlib').gzip('x', () => {}); require('fs').promises.readFile('/etc/hosts')",
		"key":      "require('crypto').randomBytes(64); crypto.getRandomValues(new Uint8Array(16)); require('crypto').randomFillSync(Buffer.alloc(100), 0, 32)",
		"signal":   "process.on('SIGTERM', () => {})",
		"printing": "console.log('loading'); console.error('loading')",
		"agents":   "new (require('http').Agent)({ keepAlive: true }); require('https'); globalThis.fetch; new AbortController()",
		"compiled": "WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := mustLoad(t, source+"; exports.handler = async () => new Promise((r) => require('zlib').gzip('x', (e, b) => r(b.length > 0)))")
			if got := n.fork(t).call(t, "1"); got != "true" {
				t.Errorf("%s", got)
			}
		})
	}
}

// TestEndOfForkedFunction: a child ends as any instance does, at once and with its status.
func TestEndOfForkedFunction(t *testing.T) {
	n := mustLoad(t, `
		process.on('exit', (code) => console.log('bye', code));
		exports.handler = async (e) => eval(e);`)
	for code, want := range map[string]sandbox.Exit{
		"process.exit(5)":                      {Code: 5},
		"process.exitCode = 6; process.exit()": {Code: 6},
		"setImmediate(() => { throw new Error('x') }); new Promise(() => {})":                                                  {Code: 1},
		"process.removeAllListeners('uncaughtException'); setImmediate(() => { throw new Error('x') }); new Promise(() => {})": {Code: 1},
		"process.abort()": {Code: -1, Signal: "SIGABRT"},
	} {
		k := n.fork(t)
		k.conn.Invoke(weir.Invocation{ID: "1", Function: "f", Event: []byte(`"` + code + `"`)}, time.Now().Add(20*time.Second), func() {})
		if exit := k.Wait(); exit != want {
			t.Errorf("%s: %+v, want %+v", code, exit, want)
		}
	}
	if got := n.fork(t).call(t, `"1"`); got != "1" {
		t.Errorf("the next child says %s", got)
	}
}

// torture is much of what Node.js can do, all of which must work in a child.
const torture = `
	const { promisify } = require('util');
	const all = {
		gzip: async () => (await promisify(require('zlib').gzip)('x'.repeat(1e5))).length < 1000,
		hash: async () => (await promisify(require('crypto').pbkdf2)('a', 'b', 1000, 32, 'sha256')).length === 32,
		lookup: async () => (await require('dns').promises.lookup('localhost')).address === '127.0.0.1',
		http: () => new Promise((r, j) => { const s = require('http').createServer((q, a) => a.end('hey')).listen(0, '127.0.0.1', () => require('http').get({ port: s.address().port, host: '127.0.0.1', agent: false }, (a) => a.on('data', (d) => { s.close(); r(String(d) === 'hey'); })).on('error', j)); }),
		fetch: () => new Promise((r, j) => { const s = require('http').createServer((q, a) => a.end('hey')).listen(0, '127.0.0.1', async () => { try { const t = await (await fetch('http://127.0.0.1:' + s.address().port)).text(); s.closeAllConnections(); s.close(); r(t === 'hey'); } catch (e) { j(e); } }); }),
		garbage: async () => { let kept = []; for (let i = 0; i < 1e6; i++) { kept.push({ i, s: 'x' + i }); if (kept.length > 1e5) kept = []; } return true; },
		jit: async () => { let x = 0; for (let i = 0; i < 2e7; i++) x = (x * 31 + i) | 0; return x !== 1; },
		wasm: async () => typeof (await WebAssembly.instantiate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))).instance === 'object',
		import: async () => Object.keys(await import('node:path')).length > 0,
		subtle: async () => (await globalThis.crypto.subtle.digest('SHA-256', new Uint8Array(3))).byteLength === 32,
		worker: () => new Promise((r, j) => new (require('worker_threads').Worker)("require('worker_threads').parentPort.postMessage(7)", { eval: true }).on('message', (m) => r(m === 7)).on('error', j)),
		signal: () => new Promise((r) => { process.once('SIGUSR2', () => r(true)); process.kill(process.pid, 'SIGUSR2'); }),
		watch: () => new Promise((r) => { const fs = require('fs'); const w = fs.watch('/tmp', () => { w.close(); r(true); }); fs.writeFileSync('/tmp/x', 'x'); }),
		spawn: async () => require('child_process').spawnSync('/bin/true').error.code === 'EACCES',
		files: async () => { const fs = require('fs').promises; await fs.writeFile('/tmp/y', 'y'); return String(await fs.readFile('/tmp/y')) === 'y'; },
		timers: async () => { await require('timers/promises').setTimeout(5); return true; },
	};
	exports.handler = async () => {
		const failed = [];
		for (const [name, f] of Object.entries(all)) {
			const late = new Promise((r) => setTimeout(r, 10_000, 'never').unref());
			const got = await Promise.race([f().catch(String), late]);
			if (got !== true) failed.push(name + ': ' + got);
		}
		return failed;
	};`

// TestChildCanDoAll runs it twice over, in two children.
func TestChildCanDoAll(t *testing.T) {
	n := mustLoad(t, torture)
	for range 2 {
		k := n.fork(t)
		for range 2 {
			if got := k.call(t, "1"); got != "[]" {
				t.Errorf("%s", got)
			}
		}
	}
}

// TestEmptyLoopOfChild: a callback's answer is given, and an answer that will never come is given up, when
// nothing is left to wait for, though V8 has left work for threads that a child doesn't have.
func TestEmptyLoopOfChild(t *testing.T) {
	n := mustLoad(t, `
		let kept = [];
		exports.handler = (e, c, done) => {
			if (e === 'never at once') return new Promise(() => {});
			for (let i = 0; i < 1e6; i++) { kept.push({ i, s: 'x' + i }); if (kept.length > 1e5) kept = []; }
			if (e === 'late') setTimeout(() => done(null, e), 20);
			if (e === 'first') { setTimeout(() => { e = 'last'; }, 20); done(null, { toJSON: () => e }); }
			if (e === 'never') return new Promise(() => {});
		};`)
	k := n.fork(t)
	for range 3 {
		for event, want := range map[string]string{`"late"`: `"late"`, `"first"`: `"last"`, `"never"`: `null`} {
			if got := k.call(t, event); got != want {
				t.Errorf("%s gave %s, want %s", event, got, want)
			}
		}
	}
	for range 50 { // one right after the other: the loop has nothing to do when it next waits
		if got := k.call(t, `"never at once"`); got != "null" {
			t.Errorf("never at once gave %s", got)
		}
	}
}
