package sandbox

// Limits: a function can't use more than it was given, and its end says so.

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-run/weir/internal/weir"
)

const limited = 256 << 20

// both runs a test with cgroups, where this user has them, and without.
func both(t *testing.T, test func(t *testing.T, l *Launcher, cgroups bool)) {
	t.Run("cgroups", func(t *testing.T) {
		l := launcher(t, Options{})
		if !l.cgroups.has(memoryController) {
			t.Skip("no cgroup can be had by this user")
		}
		test(t, l, true)
	})
	t.Run("rlimits", func(t *testing.T) { test(t, launcher(t, Options{NoCgroups: true}), false) })
}

func TestMemory(t *testing.T) {
	both(t, func(t *testing.T, l *Launcher, cgroups bool) {
		s := nodeSpec(t, `const all = [];
			for (let i = 0; i < 70; i++) { all.push(Buffer.alloc(10 << 20, 1)); fs.writeSync(1, (process.memoryUsage().rss >> 20) + ' ') }
			fs.writeSync(1, 'survived');`)
		s.Limits.Memory = limited
		got := run(t, l, s)
		if strings.Contains(got.out, "survived") || got.exit == (Exit{}) {
			t.Errorf("%+v %s", got.exit, got.out)
		}
		for _, f := range strings.Fields(got.out) {
			var mb int
			if n, _ := fmt.Sscan(f, &mb); n == 1 && mb > 400 {
				t.Errorf("it used %d MB", mb)
			}
		}
		if cgroups && (got.exit.Cause != "memory" || got.exit.Signal != "SIGKILL") {
			t.Errorf("%+v", got.exit)
		}
	})
}

// TestSharedMemory counts too, or there is none, as no rlimit bounds it.
func TestSharedMemory(t *testing.T) {
	both(t, func(t *testing.T, l *Launcher, cgroups bool) {
		s := probeSpec(t, "shared-memory")
		s.Limits.Memory = limited
		if got := run(t, l, s); cgroups && got.exit.Cause != "memory" || !cgroups && got.answers()["shared-memory"] != "EPERM" {
			t.Errorf("%+v %s", got.exit, got.out)
		}
	})
}

// TestBuffersAreBounded: what the kernel holds for a connection that nobody reads is no memory of the
// function's, so it must be little.
func TestBuffersAreBounded(t *testing.T) {
	s := nodeSpec(t, `const net = require('net'), chunk = Buffer.alloc(1 << 20);
		const server = net.createServer({ pauseOnConnect: true }, () => {}).listen(0, '127.0.0.1', () => {
			const c = net.connect(server.address().port, '127.0.0.1', () => {
				let sent = 0, full = 0;
				const fill = () => {
					try { for (;;) { sent += fs.writeSync(c._handle.fd, chunk); full = 0; } } catch (e) { if (e.code !== 'EAGAIN') throw e; }
					if (full++ < 20) return setImmediate(fill); // the receiver's half moves on meanwhile
					console.log(sent); process.exit();
				};
				fill();
			});
		});`)
	var sent int
	if got := run(t, launcher(t, Options{}), s); true {
		fmt.Sscan(got.out, &sent)
		if sent == 0 || sent > 1<<20 {
			t.Errorf("one connection took %d bytes: %+v %s", sent, got.exit, got.out)
		}
	}
}

func TestMemoryIsLookedAtInTime(t *testing.T) {
	for left, want := range map[int64]time.Duration{0: memoryOften, 1 << 20: memoryOften, memoryGrowth / 8: time.Second / 8, 8 << 30: memorySeldom} {
		if got := memoryWait(left); got != want {
			t.Errorf("%d bytes left: %s, want %s", left, got, want)
		}
	}
}

// TestMemoryWithinTheLimit: what a function of that size needs is there.
func TestMemoryWithinTheLimit(t *testing.T) {
	both(t, func(t *testing.T, l *Launcher, _ bool) {
		s := nodeSpec(t, `const heap = [], off = [];
			for (let i = 0; i < 40; i++) heap.push(new Array(131072).fill(i));
			for (let i = 0; i < 10; i++) off.push(Buffer.alloc(10 << 20, 1));
			const { Worker } = require('worker_threads');
			new Worker("require('zlib').gzipSync(Buffer.alloc(1 << 20))", { eval: true }).on('exit', () => console.log('fine'));`)
		s.Limits.Memory = limited
		if got := run(t, l, s); got.out != "fine\n" {
			t.Errorf("%+v %s", got.exit, got.out)
		}
	})
}

func TestForkBomb(t *testing.T) {
	both(t, func(t *testing.T, l *Launcher, _ bool) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		s := probeSpec(t, "fork-bomb")
		s.Exec, s.Files, s.Limits = s.Programs, []*os.File{w}, weir.Limits{Processes: 20}
		p := start(t, l, s)
		w.Close()
		// Every process writes a byte when it can't fork any more.
		n, b := 0, make([]byte, 4096)
		for {
			r.SetReadDeadline(time.Now().Add(time.Second))
			m, err := r.Read(b)
			n += m
			if err != nil {
				break
			}
		}
		if max := 20 + ownThreads; n == 0 || n > max {
			t.Errorf("%d processes, want at most %d", n, max)
		}
		p.Kill()
		p.Wait()
	})
}

func TestDescriptorsRunOut(t *testing.T) {
	s := nodeSpec(t, `let n = 0; try { for (;;) { fs.openSync('/etc/hosts'); n++ } } catch (e) { console.log(e.code, n < 128, n > 64) }`)
	s.Limits.Files = 128
	if got := run(t, launcher(t, Options{}), s); got.out != "EMFILE true true\n" {
		t.Errorf("%+v %s", got.exit, got.out)
	}
}

func TestThreadsRunOut(t *testing.T) {
	s := nodeSpec(t, `const { Worker } = require('worker_threads'); let up = 0, failed = 0;
		for (let i = 0; i < 100; i++) new Worker('setInterval(() => {}, 1000)', { eval: true })
			.on('online', () => { up++ }).on('error', (e) => { if (failed++ === 0) { console.log(e.code, up < 60); process.exit() } });`)
	s.Limits.Processes = 8
	got := run(t, launcher(t, Options{}), s)
	if got.exit == (Exit{}) && !strings.HasPrefix(got.out, "ERR_WORKER_INIT_FAILED true") {
		t.Errorf("%+v %s", got.exit, got.out)
	}
}

// TestCPU: half a core gives about half of the time.
func TestCPU(t *testing.T) {
	l := launcher(t, Options{})
	if !l.cgroups.has(cpuController) {
		t.Skip("no cgroup can be had by this user; whole processors are not tested")
	}
	s := nodeSpec(t, "const end = Date.now() + 2000; while (Date.now() < end); console.log(process.cpuUsage().user + process.cpuUsage().system)")
	s.Limits.CPU = 0.25
	var micros int
	if got := run(t, l, s); true {
		fmt.Sscan(got.out, &micros)
		if micros == 0 || micros > 900_000 {
			t.Errorf("%d µs of CPU in 2 s: %+v %s", micros, got.exit, got.out)
		}
	}
}

func TestPinned(t *testing.T) {
	s := nodeSpec(t, "console.log(require('os').availableParallelism?.() ?? 1)")
	s.Limits.CPU = 1
	if got := run(t, launcher(t, Options{NoCgroups: true}), s); got.out != "1\n" {
		t.Errorf("%s", got.out)
	}
}
