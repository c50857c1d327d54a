package sandbox

// What is tried at a zygote's gate, and by one child on another.

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// gateAttacks are those of testdata/zygote.c, with what each must answer.
var gateAttacks = map[string]string{
	// a zygote that forks without leave, or more often, or otherwise than it has leave for
	"zygote-fork": "EACCES", "zygote-fork-to-parent": "EACCES", "zygote-fork3": "ENOSYS", "zygote-other-fork": "EACCES",
	"zygote-fork-twice": "EACCES", "zygote-exec": "EPERM",
	// calls to the gate from who is not in that state
	"zygote-born": "EPERM", "zygote-confined": "EPERM", "zygote-confine": "ENOSYS", "zygote-nonsense": "EPERM",
	"zygote-park-by-thread": "EPERM", "early-confined": "EPERM", "early-confine": "ENOSYS", "early-born-twice": "EPERM",
	"early-confined-without-domain": "EPERM", "early-confine-in-other": "ENOSYS",
	"child-born": "EPERM", "child-confined": "EPERM", "child-confine": "ENOSYS", "child-park": "EPERM", "child-born-by-thread": "EPERM",
	"child-fork": "EACCES",
	// other processes
	"zygote-kill-gate": "EPERM", "zygote-memory-of-gate": "ENOENT", "child-kill-gate": "EPERM", "child-kill-zygote": "EPERM",
	"child-kill-sibling": "EPERM", "child-priority-of-zygote": "EPERM", "child-scheduling-of-zygote": "EPERM",
	"child-limits-of-zygote": "EPERM", "child-trace-zygote": "EPERM", "child-proc-of-other": "ENOENT",
}

// asChild are the attacks of testdata/probe.c that answer otherwise to a child of a zygote: there are
// other processes, and what it writes to is a pipe.
var asChild = map[string]string{"kill-other": "EPERM", "prlimit-other": "EPERM", "watch-twice": "ok",
	"descriptor": "ok"} // its channel

// TestNativeZygote: a zygote of native code gets no more out of the gate than it gives, and a child is held
// by every wall that a program by itself is.
func TestNativeZygote(t *testing.T) {
	z := compiled(t, "zygote", "-O1", "testdata/zygote.c", "-lpthread")
	s := &Spec{Name: "native", Argv: []string{z}, Programs: []string{z}, Write: []string{"/tmp/**"}, Zygote: 8}
	p := startZygote(t, s)
	fork(t, p)
	c := fork(t, p)
	c.conn.Close()
	if exit := c.Wait(); exit.Code != 0 {
		t.Errorf("the child ended with %+v", exit)
	}
	out, err := io.ReadAll(c.out)
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	p.Wait()
	p.done.Wait()
	answers := result{out: p.out.String() + string(out)}.answers()
	want := maps.Clone(attacks)
	maps.Copy(want, gateAttacks)
	maps.Copy(want, asChild)
	for name, answer := range answers {
		if w, ok := want[name]; !ok || !slices.Contains(strings.Split(w, "|"), answer) {
			t.Errorf("%s: %s, want %s", name, answer, w)
		}
	}
	for name := range want {
		if _, ok := answers[name]; !ok {
			t.Errorf("%s was not tried", name)
		}
	}
	var told []string
	for a := range c.Attempts() {
		told = append(told, a.Syscall)
	}
	for _, name := range []string{"clone", "fork gate", "ptrace", "mount", "socket(AF_UNIX)"} {
		if !slices.Contains(told, name) {
			t.Errorf("%s is not among the attempts %q", name, told)
		}
	}
	if !slices.Contains(p.attempts, "execve") {
		t.Errorf("execve is not among the zygote's attempts %q", p.attempts)
	}
}

// TestAddonAgain: JavaScript that gets hold of the addon makes nothing of it.
func TestAddonAgain(t *testing.T) {
	try := func(what string) string {
		return `(() => { try { return String(` + what + `) } catch (e) { return e.message } })()`
	}
	load := try(`(() => { const m = { exports: {} }; process.dlopen(m, '/opt/weir/fork.node'); return m.exports.fork; })()`)
	p := startZygote(t, zygoteSpec(t, load))
	c := fork(t, p)
	c.expect(t, "return first", `"loaded already"`)
	c.expect(t, "return "+load, `"loaded already"`)
	c.expect(t, "return "+try("addon.exports.fork()"), `"there is one zygote only"`)
	c.expect(t, "return "+try("process._linkedBinding('fork')"), `"No such binding was linked: fork"`)
	c.expect(t, "return Object.keys(require.cache).filter((f) => f.endsWith('.node'))", `[]`)
	c.expect(t, "return require('child_process').spawnSync('/bin/true').error.code", `"EACCES"`)
}

// unusable are ways to leave something behind that children would share, and what is said of it.
var unusable = map[string]struct{ first, why string }{
	"server":    {"require('net').createServer().listen(7000)", "a socket"},
	"client":    {"require('net').connect(80, '192.0.2.1').on('error', () => {})", "a socket"},
	"watch":     {"require('fs').watch('/tmp')", "watched"},
	"file":      {"require('fs').openSync('/etc/hosts')", "left open while it was loaded: /etc/hosts"},
	"tmp":       {"require('fs').writeFileSync('/tmp/x', 'x')", "/tmp"},
	"tmp gone":  {"require('fs').openSync('/tmp/x', 'w'), require('fs').unlinkSync('/tmp/x')", "left open"},
	"directory": {"process.chdir('/tmp')", "working directory"},
	"request":   {"require('crypto').pbkdf2('a', 'b', 1e9, 32, 'sha256', () => {})", "still going on"},
}

// TestUnusableZygote: what a function leaves behind when it is loaded is found from outside, and the
// zygote ends.
func TestUnusableZygote(t *testing.T) {
	for name, c := range unusable {
		t.Run(name, func(t *testing.T) {
			p := tryZygote(t, zygoteSpec(t, c.first+", 0"))
			if err := p.WaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %q", err, c.why)
			}
			p.Wait()
			if _, err := tryFork(t, p); err == nil {
				t.Error("it was forked")
			}
		})
	}
}

// TestSiblings: children find each other neither on the network nor among processes, files and descriptors.
func TestSiblings(t *testing.T) {
	p := startZygote(t, zygoteSpec(t, ""))
	victim, thief := fork(t, p), fork(t, p)
	const serve = `const http = require('http'), dgram = require('dgram');
		for (const [host, port] of [['127.0.0.1', 7001], ['::', 7002], ['0.0.0.0', 7003]]) {
			await new Promise((r) => http.createServer((q, a) => a.end('secret')).listen(port, host, r)); }
		globalThis.heard = 0; const u = dgram.createSocket('udp4'); u.on('message', () => heard++); await new Promise((r) => u.bind(7004, r));
		require('fs').writeFileSync('/tmp/secret', 'secret'); return process.pid`
	pid := victim.do(t, serve)
	const get = `const get = (url) => new Promise((r) => require('http').get(url, { agent: false }, (a) => a.on('data', (d) => r(String(d)))).on('error', (e) => r(e.code)));`
	const tell = `await new Promise((r) => { const u = require('dgram').createSocket('udp4'); u.send('x', 7004, '127.0.0.1', () => u.close(r)); });`
	for _, url := range []string{"http://127.0.0.1:7001", "http://[::1]:7002", "http://127.0.0.1:7003", "http://127.9.9.9:7003"} {
		victim.expect(t, get+"return get('"+url+"')", `"secret"`)
		thief.expect(t, get+"return get('"+url+"')", `"ECONNREFUSED"`)
	}
	thief.do(t, tell)
	victim.expect(t, tell+"for (let i = 0; i < 50 && heard === 0; i++) await new Promise(setImmediate); return heard", `1`)
	thief.expect(t, "const fs = require('fs'); const all = []; for (let i = 0; i < 100; i++) if (i !== process.pid) try { fs.statSync('/.proc/' + i); all.push(i); } catch {} return all", `[]`)
	thief.expect(t, "return require('fs').readdirSync('/.proc').filter((n) => /^\\d+$/.test(n) && +n !== process.pid)", `[]`)
	thief.expect(t, "return require('fs').readFileSync('/.proc/"+pid+"/attr/secret')", `{"error":"EPERM"}`)
	thief.expect(t, "return require('fs').chmodSync('/.proc/"+pid+"/attr', 0)", `{"error":"EPERM"}`)
	thief.expect(t, "return process.kill("+pid+", 9)", `{"error":"EPERM"}`)
	thief.expect(t, "return process.kill(-1, 9)", `true`) // which hits nobody: each is refused, and kill(2) does not say so
	thief.expect(t, "return require('os').setPriority("+pid+", 19)", `{"error":"ERR_SYSTEM_ERROR"}`)
	thief.expect(t, "process.on('SIGUSR2', () => {}); process.kill(0, 'SIGUSR2'); return 1", `1`)
	// Nothing of what libuv had open in the zygote is left that another process has, too.
	thief.expect(t, "const fs = require('fs'); let n = 0; for (const f of fs.readdirSync('/proc/self/fd')) if (f > 4) try { fs.writeSync(+f, 'x'.repeat(64)); n++; } catch {} return n >= 0", `true`)
	victim.expect(t, "return await new Promise((r) => require('zlib').gzip('x', (e, b) => r(b.length > 0)))", `true`)
	victim.expect(t, "return require('fs').readFileSync('/tmp/secret', 'utf8')", `"secret"`)
}

// TestIdentityOfChildren: each child's connections and questions arrive at that child's own listeners.
func TestIdentityOfChildren(t *testing.T) {
	p := startZygote(t, zygoteSpec(t, ""))
	for range 3 { // slots are used again
		a, b := fork(t, p), fork(t, p)
		for _, c := range []*forked{a, b} {
			go func() {
				for _, l := range c.TCP() {
					go func() {
						for {
							conn, err := l.Accept()
							if err != nil {
								return
							}
							io.WriteString(conn, c.name())
							conn.Close()
						}
					}()
				}
			}()
			const dial = "return new Promise((r) => require('net').connect(7999, '%').on('data', (d) => r(String(d))).on('error', (e) => r(e.code)))"
			c.expect(t, strings.ReplaceAll(dial, "%", "192.0.2.7"), `"`+c.name()+`"`)
			c.expect(t, strings.ReplaceAll(dial, "%", "2001:db8::7"), `"`+c.name()+`"`)
			c.do(t, "require('dgram').createSocket('udp4').send('"+c.name()+"', 53, '198.18.0.1'); return 0")
			buf := make([]byte, 100)
			n, _, err := c.DNS()[0].ReadFrom(buf)
			if err != nil || string(buf[:n]) != c.name() {
				t.Errorf("%q %v", buf[:n], err)
			}
			if launcher(t, Options{}).mode.udpRecords {
				port := 9000 + c.serial
				c.do(t, fmt.Sprintf("require('dgram').createSocket('udp4').on('error', () => {}).send('x', %d, '203.0.113.9', () => {}); return 0", port))
				if to := <-c.RefusedDatagrams(); to.Port() != uint16(port) {
					t.Errorf("a refused datagram to %v, want port %d", to, port)
				}
			}
			before, err := c.TmpChanged()
			c.do(t, "require('fs').writeFileSync('/tmp/x', 'x'); return 0")
			if after, err2 := c.TmpChanged(); err != nil || err2 != nil || !after.After(before) {
				t.Errorf("/tmp changed at %v, then at %v (%v, %v)", before, after, err, err2)
			}
		}
		for _, c := range []*forked{a, b} {
			c.Kill()
			c.Wait()
		}
	}
}

// TestOutputOfChildren: what a child prints arrives in its own output only.
func TestOutputOfChildren(t *testing.T) {
	p := startZygote(t, zygoteSpec(t, "console.log('loading')"))
	a, b := fork(t, p), fork(t, p)
	a.do(t, "console.log('a'); return 0")
	b.do(t, "console.error('b'); return 0")
	for _, c := range []struct {
		*forked
		want string
	}{{a, "a\n"}, {b, "b\n"}} {
		if line, err := bufio.NewReader(c.out).ReadString('\n'); line != c.want {
			t.Errorf("%q %v, want %q", line, err, c.want)
		}
	}
	p.Kill()
	p.Wait()
	if p.done.Wait(); p.out.String() != "loading\n" {
		t.Errorf("the zygote printed %q", p.out.String())
	}
}

func (c *forked) name() string { return "child " + strings.Repeat("i", int(c.serial)) }

// TestLateArrival: what a child that has ended had on its way is not taken for its successor's in the slot.
func TestLateArrival(t *testing.T) {
	var x exchange[string]
	old := x.open(walls.MarkOf(1, 1))
	old.Close()
	now := x.open(walls.MarkOf(1, 2))
	if x.put(walls.MarkOf(1, 1), "late") {
		t.Error("it arrived")
	}
	if !x.put(walls.MarkOf(1, 2), "own") {
		t.Error("the successor's own did not")
	}
	if got, err := now.take(); got != "own" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}
