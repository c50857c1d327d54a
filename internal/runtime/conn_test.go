package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/weir"
)

// process is Node with the shim, without any walls: the shim's files and the function's lie where
// a sandbox would have them only by way of TASKROOT, which the tests put in their place.
type process struct {
	*Conn
	cmd     *exec.Cmd
	form    weir.Form
	mu      sync.Mutex
	reports []Report
	out     bytes.Buffer
}

func start(t testing.TB, source string) (*process, error) {
	t.Helper()
	return startFile(t, "fn.js", source)
}

func startFile(t testing.TB, name, source string) (*process, error) {
	t.Helper()
	task := t.TempDir()
	if err := os.WriteFile(filepath.Join(task, name), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return startIn(t, task, name)
}

// startIn loads the function of that file in a bundle.
func startIn(t testing.TB, task, name string) (*process, error) {
	t.Helper()
	dir := t.TempDir()
	for path, b := range Content() {
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "theirs")
	node, err := FindNode(t.Context(), NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(node.Path, filepath.Join(dir, "main.cjs"))}
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(Environ(), "PATH="+os.Getenv("PATH"))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	p.Conn, err = Dial(os.NewFile(uintptr(fds[0]), "ours"), ConnOptions{OnReport: func(r Report) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reports = append(p.reports, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.Close()
		if t.Failed() {
			t.Logf("output: %s", p.out.String())
		}
	})
	p.form, err = p.load(LoadRequest{Node: node, Bundle: weir.Bundle{Function: "fn", Entry: name, Export: "handler"},
		Env: map[string]string{"KEY": "sk_1"}, Limits: weir.Limits{Response: 1 << 20, Memory: 128 << 20}}, time.Now().Add(10*time.Second), task)
	return p, err
}

func must(t *testing.T, source string) *process {
	t.Helper()
	p, err := start(t, source)
	if err != nil {
		t.Fatalf("load: %v\n%s", err, p.out.String())
	}
	return p
}

func (p *process) invoke(t *testing.T, event string) (weir.Result, error) {
	t.Helper()
	res, over, err := p.Invoke(weir.Invocation{ID: "id-1", Function: "fn", Event: json.RawMessage(event)}, time.Now().Add(5*time.Second), func() {})
	if !over && res.Stream == nil {
		t.Error("the invocation goes on")
	}
	return res, err
}

func TestHandlerStyles(t *testing.T) {
	for name, c := range map[string]struct{ source, want string }{
		"async":            {`exports.handler = async (e) => ({ got: e.x });`, `{"got":1}`},
		"callback":         {`exports.handler = (e, c, cb) => setTimeout(() => cb(null, e.x), 5);`, `1`},
		"callback at once": {`exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); cb(null, 'now'); };`, `"now"`},
		"callback waits":   {`let late = 0; exports.handler = (e, c, cb) => { const r = {}; cb(null, r); setTimeout(() => { r.late = true; }, 20); };`, `{"late":true}`},
		"done":             {`exports.handler = (e, c) => c.done(null, 'd');`, `"d"`},
		"succeed":          {`exports.handler = (e, c) => c.succeed('s');`, `"s"`},
		"fail":             {`exports.handler = (e, c) => c.fail(new TypeError('no'));`, `TypeError: no`},
		"callback error":   {`exports.handler = (e, c, cb) => cb(new RangeError('far'));`, `RangeError: far`},
		"sync throw":       {`exports.handler = () => { throw new Error('sync'); };`, `Error: sync`},
		"string thrown":    {`exports.handler = async () => { throw 'text'; };`, `string: text`},
		"nothing":          {`exports.handler = async () => {};`, `null`},
		"neither":          {`exports.handler = () => {};`, `null`},
		"never":            {`exports.handler = () => new Promise(() => {});`, `null`},
		"default object":   {`exports.default = { handler: async () => 'd' };`, `"d"`},
		"two answers":      {`exports.handler = (e, c, cb) => { c.callbackWaitsForEmptyEventLoop = false; cb(null, 1); cb(null, 2); c.done(null, 3); return Promise.resolve(4); };`, `1`},
		"circular":         {`exports.handler = async () => { const a = {}; a.a = a; return a; };`, `Runtime.MarshalError: `},
		"bigint":           {`exports.handler = async () => 1n;`, `Runtime.MarshalError: `},
		"throwing getter":  {`exports.handler = async () => ({ get body() { throw new Error('gotcha'); } });`, `Runtime.MarshalError: `},
		"unicode":          {`exports.handler = async () => 'ü\u2028\u{1f600}';`, "\"ü\u2028\U0001f600\""},
		"env":              {`exports.handler = async () => [process.env.KEY, process.env.LAMBDA_TASK_ROOT, require('fs').readFileSync('/proc/self/environ', 'latin1').includes('sk_1')];`, `["sk_1","/var/task",false]`},
		"context":          {`exports.handler = async (e, c) => [c.functionName, c.awsRequestId, c.memoryLimitInMB, typeof c.logStreamName, c.getRemainingTimeInMillis() > 3000];`, `["fn","id-1","128","string",true]`},
		"unhandled":        {`exports.handler = () => { Promise.reject(new Error('lost')); return new Promise((r) => setTimeout(r, 1000)); };`, `Runtime.UnhandledPromiseRejection: lost`},
		"thrown later":     {`exports.handler = () => { setTimeout(() => { throw new Error('late'); }); return new Promise((r) => setTimeout(r, 1000)); };`, `Error: late`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := must(t, c.source)
			r, err := p.invoke(t, `{"x":1}`)
			if err != nil {
				t.Fatal(err)
			}
			got := string(r.Payload)
			if r.Error != nil {
				got = r.Error.Type + ": " + r.Error.Message
			}
			if got != c.want && !(strings.HasSuffix(c.want, ": ") && strings.HasPrefix(got, c.want)) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLoadFailures(t *testing.T) {
	for name, c := range map[string]struct{ file, source, want string }{
		"throws":       {"fn.js", `throw new Error('not today');`, "Error: not today"},
		"syntax":       {"fn.js", `exports.handler = ((`, "Runtime.UserCodeSyntaxError: "},
		"no handler":   {"fn.js", `exports.handle = 1;`, "Runtime.HandlerNotFound: fn.js exports no handler"},
		"no function":  {"fn.js", `exports.handler = 1;`, "Runtime.HandlerNotFound: handler of fn.js is not a function"},
		"missing":      {"fn.js", `require('nowhere');`, "Runtime.ImportModuleError: "},
		"rejects":      {"fn.mjs", `await Promise.reject(new Error('top'));`, "Error: top"},
		"exits":        {"fn.js", `process.exit(3);`, "the process ended"},
		"throws later": {"fn.mjs", `setTimeout(() => { throw new Error('soon'); }, 5); await new Promise((r) => setTimeout(r, 2000));`, "Error: soon"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := startFile(t, c.file, c.source)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s…", err, c.want)
			}
		})
	}
}

func TestLoadTakesNoLongerThanItMay(t *testing.T) {
	p := must(t, `exports.handler = async () => { for (;;); };`)
	if _, _, err := p.Invoke(weir.Invocation{Event: json.RawMessage(`{}`)}, time.Now().Add(200*time.Millisecond), nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

// TestOldDeadlineIsNobodysElse: the deadline of an earlier request that passes in the meantime ends
// neither the next request nor the process.
func TestOldDeadlineIsNobodysElse(t *testing.T) {
	for name, wait := range map[string]int{"short": 0, "long": 50} {
		t.Run(name, func(t *testing.T) {
			p := must(t, `exports.handler = async (e) => new Promise((r) => setTimeout(r, e.wait, 'done'));`)
			p.armed = time.Now().Add(-time.Second)
			if err := p.conn.SetReadDeadline(p.armed); err != nil {
				t.Fatal(err)
			}
			if !p.Clean() {
				t.Error("the process would not be used again")
			}
			if r, err := p.invoke(t, fmt.Sprintf(`{"wait":%d}`, wait)); err != nil || string(r.Payload) != `"done"` {
				t.Errorf("got %s %v", r.Payload, err)
			}
		})
	}
}

func TestResultsAreBounded(t *testing.T) {
	p := must(t, `exports.handler = async (e) => (e.of ?? 'x').repeat(e.n);`)
	for _, event := range []string{`{"n":16000000}`, `{"n":2000000,"of":"ü"}`, `{"n":1000000,"of":"€"}`} {
		if _, err := p.invoke(t, event); weir.ErrorCode(err) != weir.TooLarge {
			t.Errorf("%s: got %v, want too large", event, err)
		}
		if !p.Clean() {
			t.Errorf("%s: the process is not clean", event)
		}
	}
	if r, err := p.invoke(t, `{"n":3}`); err != nil || string(r.Payload) != `"xxx"` {
		t.Errorf("the next one: %s %v", r.Payload, err)
	}
	if r, err := p.invoke(t, `{"n":2000000}`); err != nil || len(r.Payload) != 2000002 {
		t.Errorf("one below the limit: %d bytes, %v", len(r.Payload), err)
	}
}

// TestSpoiltChannel: whatever is written beside the shim's frames, no answer but the shim's counts,
// and the process is given no other invocation.
func TestSpoiltChannel(t *testing.T) {
	forge := `const fs = require('fs'); const j = Buffer.from('{"body":"forged"}');
const le = Buffer.alloc(12); le[0] = 3; le.writeUInt32LE(j.length, 8);
const frames = [j, Buffer.concat([Buffer.alloc(16), le, j]), Buffer.concat([le, j]), Buffer.alloc(100000, 7), Buffer.from('HTTP/1.1 200 OK\r\n\r\n')];
const forge = () => { for (const f of frames) for (let fd = 3; fd < 40; fd++) try { if (fs.fstatSync(fd).isSocket()) fs.writeSync(fd, f); } catch {} };
`
	for name, source := range map[string]string{
		"at import":        forge + `forge(); exports.handler = async () => 'mine';`,
		"in the handler":   forge + `exports.handler = async () => { forge(); return 'mine'; };`,
		"from a worker":    `const { Worker } = require('worker_threads'); exports.handler = async () => { await new Promise((r) => new Worker(` + "`require('fs').writeSync(3, 'garbage')`" + `, { eval: true }).on('exit', r)); return 'mine'; };`,
		"stolen by write":  `const fs = require('fs'); const w = fs.writeSync; fs.writeSync = (fd, b, ...a) => { try { w(3, b, ...a); } catch {} return w(fd, b, ...a); }; exports.handler = async () => { w(3, 'x'); return 'mine'; };`,
		"patched builtins": `Buffer.concat = Buffer.from = Buffer.alloc = () => { throw new Error('patched'); }; JSON.stringify = () => '"forged"'; JSON.parse = () => ({}); require('fs').writeSync(3, 'x'); exports.handler = async () => 'mine';`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := must(t, source)
			r, err := p.invoke(t, `{}`)
			if err != nil || string(r.Payload) != `"mine"` {
				t.Errorf("got %s %v, want its own answer", r.Payload, err)
			}
			if p.Clean() {
				t.Error("the spoilt process would be given another invocation")
			}
		})
	}
}

// TestSecretIsNotHandedOut: patched prototypes must not be given the frames, which begin with the
// secret.
func TestSecretIsNotHandedOut(t *testing.T) {
	const spy = `const seen = []; let busy = false;
const look = (v) => { if (busy || !ArrayBuffer.isView(v)) return; busy = true; try { seen.push(Buffer.from(v).toString('hex', 0, 64)); } finally { busy = false; } };
const patch = (o, k) => { const d = Object.getOwnPropertyDescriptor(o, k); if (!d) return; if (typeof d.value === 'function') o[k] = function (...a) { look(this); for (const x of a) look(x); return Reflect.apply(d.value, this, a); }; else if (d.get) Object.defineProperty(o, k, { ...d, get() { look(this); return Reflect.apply(d.get, this, []); } }); };
const net = require('net'), stream = require('stream'), events = require('events'), fs = require('fs');
const TA = Object.getPrototypeOf(Uint8Array.prototype);
for (const [o, ks] of [[net.Socket.prototype, ['write', '_write', '_writeGeneric', '_writev']], [stream.Writable.prototype, ['write']], [events.prototype, ['emit']], [fs, ['writeSync', 'write']], [Buffer, ['from', 'concat', 'alloc']], [Buffer.prototype, ['writeUInt32LE', 'copy', 'fill', 'utf8Write', 'utf8Slice', 'write']], [TA, ['byteLength', 'length', 'buffer', 'byteOffset', 'set', 'subarray']], [JSON, ['stringify']], [Reflect, ['apply']]]) for (const k of ks) if (o !== Reflect) patch(o, k);
try { const b = process.binding('fs'), o = b.writeBuffer; b.writeBuffer = function (fd, buf, ...r) { look(buf); return o.call(b, fd, buf, ...r); }; } catch {}
globalThis.Uint8Array = new Proxy(Uint8Array, { construct(t, a) { a.forEach(look); return Reflect.construct(t, a); } });
const told = () => seen.splice(0).join(' ') + ' ';
`
	for form, source := range map[string]string{
		"v1":     "exports.handler = async () => ({ body: told() });",
		"v2":     "exports.__esModule = true; exports.default = async () => new Response(told());",
		"pieces": "exports.__esModule = true; let n = 0; exports.default = async () => new Response(new ReadableStream({ pull(c) { if (n++ % 4 === 3) return c.close(); c.enqueue(Buffer.alloc(70000)); c.enqueue(told()); } }));",
		"stream": "exports.handler = awslambda.streamifyResponse(async (e, out) => { for (let i = 0; i < 4; i++) await new Promise((r) => out.write(told() + ' '.repeat(70000), r)); out.end(told()); });",
	} {
		t.Run(form, func(t *testing.T) {
			p := must(t, spy+source)
			for range 2 {
				a, _ := p.run(t, weir.Invocation{ID: "id", Function: "fn", Event: json.RawMessage(`{"rawUrl":"http://x/"}`)})
				if strings.Contains(a.Body, hexOf(p.scan.secret[:])) {
					t.Error("the function saw the secret")
				}
				if a.Body == "" {
					t.Error("nothing was answered")
				}
			}
		})
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestUnaskedBytesSpoilAnIdleProcess(t *testing.T) {
	p := must(t, `exports.handler = async () => { setTimeout(() => require('fs').writeSync(3, 'later'), 30); return 1; };`)
	if _, err := p.invoke(t, `{}`); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); p.Clean(); {
		if time.Now().After(deadline) {
			t.Fatal("unasked bytes were not noticed")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestReportFlood: a process that writes well-formed reports without end is not waited for, and is not
// used again.
func TestReportFlood(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer := os.NewFile(uintptr(fds[1]), "peer")
	defer peer.Close()
	c, err := Dial(os.NewFile(uintptr(fds[0]), "ours"), ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		report := append(append(c.scan.secret[:], outReport, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0), "{}"...)
		for flood := bytes.Repeat(report, 1000); ; {
			if _, err := peer.Write(flood); err != nil {
				return
			}
		}
	}()
	for deadline := time.Now().Add(5 * time.Second); c.Clean(); {
		if time.Now().After(deadline) {
			t.Fatal("the flooding process would be used again")
		}
	}
	c.Close()
}

func TestProcessesThatGo(t *testing.T) {
	for name, source := range map[string]string{
		"exit":     `exports.handler = async () => process.exit(0);`,
		"kill":     `exports.handler = async () => { process.kill(process.pid, 'SIGKILL'); await new Promise(() => setInterval(() => {}, 9)); };`,
		"close":    `exports.handler = async () => { require('fs').closeSync(3); await new Promise((r) => setTimeout(r, 200)); process.exit(); };`,
		"garbage":  `exports.handler = async () => { for (;;) try { require('fs').writeSync(3, Buffer.alloc(65536)); } catch (e) { if (e.code !== 'EAGAIN') process.exit(); } };`,
		"noanswer": `exports.handler = async () => { setTimeout(() => process.exit(), 50); await new Promise(() => setInterval(() => {}, 9)); };`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := must(t, source)
			if r, err := p.invoke(t, `{}`); err == nil {
				t.Errorf("got %s, want an error", r.Payload)
			}
			if p.Clean() {
				t.Error("the dead process would be given another invocation")
			}
		})
	}
}

func TestReports(t *testing.T) {
	p := must(t, `const fs = require('fs'), cp = require('child_process');
exports.handler = async () => {
  try { fs.readFileSync('/no/such/secret'); } catch {}
  await fs.promises.readFile('/no/such/token').catch(() => {});
  await new Promise((r) => fs.readdir('/no/such/dir', r));
  try { fs.writeFileSync('/no/such/out', 'x'); } catch {}
  await new Promise((r) => cp.spawn('/no/such/program').on('error', r));
  cp.spawnSync('/no/such/sync');
  try { fs.readFileSync('/var/task/missing'); } catch {}
  await new Promise((r) => setTimeout(r, 20));
  return [fs.readFile.name, fs.readFile.length, fs.readFileSync.name];
};`)
	r, err := p.invoke(t, `{}`)
	if err != nil || string(r.Payload) != `["readFile",3,"readFileSync"]` {
		t.Fatalf("got %s %v", r.Payload, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[string]bool{}
	for _, r := range p.reports {
		got[r.Kind+" "+r.Target] = true
	}
	for _, want := range []string{"read /no/such/secret", "read /no/such/token", "read /no/such/dir", "write /no/such/out", "exec /no/such/program", "exec /no/such/sync"} {
		if !got[want] {
			t.Errorf("no report of %q in %v", want, got)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("reports of what is no denial: %v", got)
	}
}

// TestErrorsAreBounded: hostile code replaces what the shim bounds errors with, so they are bounded
// outside, too.
func TestErrorsAreBounded(t *testing.T) {
	const big = `const slice = String.prototype.slice;
		String.prototype.slice = function (...a) { return a[1] === 16384 ? String(this) : slice.apply(this, a); };
		const e = new Error('m'.repeat(100000)); e.name = 'n'.repeat(20000); e.stack = ('y'.repeat(3000) + '\n').repeat(60);`
	check := func(when string, e *weir.FunctionError) {
		n := 0
		for _, l := range e.Trace {
			n += len(l)
		}
		if n == 0 || n > maxErrorTrace || len(e.Message) != maxErrorMessage || len(e.Type) != maxErrorType {
			t.Errorf("%s: a type of %d bytes, a message of %d and a trace of %d", when, len(e.Type), len(e.Message), n)
		}
	}
	res, err := must(t, "exports.handler = async () => { "+big+" throw e; };").invoke(t, "{}")
	if err != nil || res.Error == nil {
		t.Fatalf("%+v %v", res, err)
	}
	check("an invocation", res.Error)
	_, err = start(t, big+" throw e;")
	var failed *LoadError
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	check("the load", &failed.FunctionError)
}
