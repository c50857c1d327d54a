package sandbox

// Ways out of a sandbox, each of which must be blocked, with the error that says by what.

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attacks are the names of testdata/probe.c and what each must answer; "|" separates what
// different kernels say. An attack that is not here fails the test.
var attacks = map[string]string{
	// sockets that no network namespace or capture holds
	"socket-unix": "EAFNOSUPPORT", "socket-unix-dgram": "EAFNOSUPPORT", "socket-packet": "EAFNOSUPPORT",
	"socket-vsock": "EAFNOSUPPORT", "socket-alg": "EAFNOSUPPORT", "socket-xdp": "EAFNOSUPPORT",
	"socket-raw": "EPROTONOSUPPORT", "socket-raw6": "EPROTONOSUPPORT", "socket-ping": "EPROTONOSUPPORT",
	"socket-sctp": "EPROTONOSUPPORT", "socket-mptcp": "EPROTONOSUPPORT", "socket-udplite": "EPROTONOSUPPORT",
	"socket-netfilter": "EPROTONOSUPPORT", "socket-uevent": "EPROTONOSUPPORT", "socketpair-tipc": "EAFNOSUPPORT",
	"socketpair-dgram": "EPROTONOSUPPORT", "socketpair-raw": "EPROTONOSUPPORT", "socketpair-seqpacket": "ok", "route-add": "EPERM",
	"netlink-route": "ok", "socketpair-unix": "ok",
	"udp": "EPERM", "udp-quic": "EPERM", "udp-multicast": "EPERM|ENETUNREACH", "udp-broadcast": "EPERM|ENETUNREACH",
	"udp6": "EPERM|EACCES", "udp-loopback": "ok", "udp-in-one": "EPERM", "bind-named": "ok",
	"bind-dns": "EACCES", "bind-capture": "EACCES", "transparent": "EPERM", "mark": "EPERM",
	// code and processes
	"fork": "EACCES", "vfork": "EACCES", "clone": "EACCES", "clone-newuser": "EPERM",
	"clone-thread-newnet": "EPERM", "clone-high-bits": "EPERM", "clone3": "ENOSYS",
	"execveat": "EPERM", "memfd": "EPERM", "exec-shell": "EPERM", "exec-loader-lib": "EPERM",
	"ptrace": "EPERM", "process_vm_readv": "EPERM", "process_vm_writev": "EPERM",
	"pidfd_open": "ENOSYS", "pidfd_getfd": "EPERM", "kcmp": "EPERM", "kill-other": "ESRCH",
	"tgkill-other": "ESRCH", "queue-other": "ENOSYS", "pidfd_send_signal": "ENOSYS|EPERM", "process_madvise": "EPERM|ENOSYS",
	"memory-of-other": "ENOENT", "memory-of-1": "ENOENT", "memory-of-real-1": "EACCES|EROFS|ENOENT",
	"setuid": "EPERM", "setgroups": "EPERM", "capset": "EPERM", "fifo-scheduling": "EPERM",
	"affinity": "EPERM", "prlimit-other": "EPERM", "core": "EPERM", "nofile": "EPERM",
	"priority-of-group": "EPERM", "priority-of-user": "EPERM", "read-implies-exec": "EPERM", "pdeathsig": "EPERM", "ptracer": "EPERM", "ambient": "EPERM",
	"syscall-dispatch": "EPERM", "subreaper": "EPERM", "seccomp": "EPERM", "seccomp-prctl": "EPERM",
	// the kernel
	"mount": "EPERM", "remount": "EPERM", "umount": "EPERM", "pivot_root": "EPERM", "chroot": "EPERM",
	"fsopen": "EPERM", "open_tree": "EPERM", "move_mount": "EPERM", "mount_setattr": "EPERM", "statmount": "ENOSYS",
	"listmount": "ENOSYS", "open_tree_attr": "ENOSYS", "memfd_secret": "ENOSYS|EPERM",
	"unshare-user": "EPERM", "unshare-net": "EPERM", "setns": "EPERM",
	"io_uring_setup": "ENOSYS", "io_uring_enter": "ENOSYS", "io_uring_register": "ENOSYS",
	"bpf": "EPERM", "perf": "EPERM", "userfaultfd": "EPERM", "keyctl": "EPERM", "add_key": "EPERM", "request_key": "EPERM",
	"open_by_handle": "EPERM", "name_to_handle": "EPERM", "fanotify": "EPERM", "mknod": "EPERM",
	"tiocsti": "ENOTTY", "tioclinux": "ENOTTY", "shm": "EPERM", "msg": "EPERM", "mq": "EPERM",
	"reboot": "EPERM", "module": "EPERM", "settime": "EPERM", "sethostname": "EPERM", "syslog": "EPERM",
	"quotactl": "EPERM", "modify_ldt": "EPERM", "landlock": "ENOSYS",
	// files
	"shadow": "ENOENT", "environ-of-1": "ENOENT", "own-memory": "EROFS|EACCES", "oom-score": "EROFS|EACCES",
	"proc-sys": "ENOENT", "proc-sysrq": "ENOENT", "real-proc-sys": "ENOENT", "kcore": "ENOENT", "sysfs": "ENOENT",
	"cgroup-write": "ENOENT", "host-root": "ENOENT", "host-cwd": "ENOENT",
	"write-root": "EROFS|EACCES", "write-etc": "EROFS|EACCES", "write-program": "EROFS|EACCES|ETXTBSY",
	"chmod-program": "EROFS", "chmod-null": "EROFS", "truncate-program": "EROFS|EACCES|ETXTBSY",
	"link-program": "EXDEV|EROFS|EACCES", "rename-etc": "EROFS|EACCES",
	"device-mem": "ENOENT", "device-tty": "ENOENT", "ptmx": "ENOENT", "descriptor": "EBADF",
	"tmp-write": "ok", "tmp-exec": "EPERM", "setuid-open": "EPERM", "setgid-chmod": "EPERM", "openat2": "ENOSYS",
	"lease": "EPERM", "dnotify": "EPERM", "watch": "ok", "watch-twice": "EMFILE", "zero": "ENOENT", "tmp-map-exec": "EPERM|EACCES", "tmp-race": "EROFS|EACCES|ENOENT",
}

func TestAttacks(t *testing.T) {
	s := probeSpec(t)
	s.Write = []string{"/tmp/**"}
	// A descriptor such as this process's own parent might have left open must not arrive.
	leak, err := unix.Dup(0) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	got := run(t, launcher(t, Options{}), s)
	if got.exit.Code != 0 {
		t.Fatalf("the probe ended with %+v:\n%s", got.exit, got.out)
	}
	answers := got.answers()
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		want, ok := attacks[name]
		if !ok {
			t.Errorf("%s: %s, and no expectation", name, answers[name])
		} else if !slices.Contains(strings.Split(want, "|"), answers[name]) {
			t.Errorf("%s: %s, want %s", name, answers[name], want)
		}
	}
	for name := range attacks {
		if _, ok := answers[name]; !ok {
			t.Errorf("%s was not tried", name)
		}
	}
	for _, want := range []string{"fork", "vfork", "clone", "clone(CLONE_NEW…)", "ptrace", "mount", "unshare", "setns",
		"bpf", "memfd_create", "execve", "process_vm_readv", "pidfd_getfd", "keyctl", "execveat", "userfaultfd",
		"perf_event_open", "seccomp", "socket(AF_UNIX)", "socket(AF_VSOCK)", "socket(AF_PACKET)",
		"socket(AF_NETLINK, protocol 12)", "socketpair(AF_UNIX, type 2)", "socket(AF_INET, type 3, protocol 1)"} {
		if !got.attempted(want) {
			t.Errorf("%s is not among the attempts %q", want, got.attempts)
		}
	}
}

// TestUnixSocketsByPair: a socket that is made together with its peer can't talk to a named one of the host's, where
// a grant shows one. (Datagram sockets can be sent from and connected elsewhere, those of streams can't.)
func TestUnixSocketsByPair(t *testing.T) {
	bundle := filepath.Join(outsideTmp(t), "bundle")
	writeTo(t, bundle+"/index.js", "")
	listen := map[string]int{"sock": unix.SOCK_DGRAM, "stream": unix.SOCK_STREAM}
	var dgram int
	for name, typ := range listen {
		fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		path := filepath.Join(bundle, name)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
		if typ == unix.SOCK_DGRAM {
			dgram = fd
		} else if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
	}
	s := probeSpec(t, "pair-dgram-to-host", "pair-raw-to-host", "pair-stream-to-host")
	s.Bundle = bundle
	for name, answer := range run(t, launcher(t, Options{}), s).answers() {
		if answer == "ok" {
			t.Errorf("%s went through", name)
		}
	}
	if n, _, err := unix.Recvfrom(dgram, make([]byte, 16), 0); err != unix.EAGAIN {
		t.Errorf("the host's socket received %d bytes (%v)", n, err)
	}
}

// TestForeignCalls: system calls of another binary interface end the program.
func TestForeignCalls(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("only amd64 has other binary interfaces")
	}
	for _, name := range []string{"x32", "i386"} {
		if got := run(t, launcher(t, Options{}), probeSpec(t, name)); got.exit.Signal != "SIGSYS" {
			t.Errorf("%s: %+v %s, want SIGSYS", name, got.exit, got.out)
		}
	}
}

// alone are the attacks that the supervisor answers itself and, without it, other walls do.
var alone = map[string]string{"exec-shell": "ENOENT", "exec-loader-lib": "EACCES", "tmp-exec": "EACCES"}

// TestSameAnswersWithoutRecords: the filter alone gives the errors that the supervisor gives.
func TestSameAnswersWithoutRecords(t *testing.T) {
	l := launcherWith(t, func(m *mode) { m.records = false })
	s := probeSpec(t)
	s.Write = []string{"/tmp/**"}
	got := run(t, l, s)
	answers := got.answers()
	for name, want := range attacks {
		want = cmp.Or(alone[name], want)
		if !slices.Contains(strings.Split(want, "|"), answers[name]) {
			t.Errorf("%s: %s, want %s", name, answers[name], want)
		}
	}
	if len(got.attempts) > 0 {
		t.Errorf("attempts %q", got.attempts)
	}
}

// TestLoaderIsNoWayIn: the dynamic loader can be executed, but it can't map a program that lies in
// /tmp.
func TestLoaderIsNoWayIn(t *testing.T) {
	s := probeSpec(t, "loader")
	s.Write, s.Exec = []string{"/tmp/**"}, s.Programs
	got := run(t, launcher(t, Options{}), s)
	if got.answers()["loader"] == "ok" || !strings.Contains(got.out, "/tmp/self") || strings.Contains(got.out, "core ") {
		t.Errorf("%+v\n%s", got.exit, got.out)
	}
}

// TestReopenedOutput: a file of the host that is the program's standard output can't be opened
// again by way of /proc, to read it or to write elsewhere in it.
func TestReopenedOutput(t *testing.T) {
	log := filepath.Join(public(t), "log")
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := probeSpec(t, "reopen-stdout")
	s.Stdout = f
	run(t, launcher(t, Options{}), s)
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(b)); got != "reopen-stdout EACCES" {
		t.Errorf("%q, want EACCES", got)
	}
}

// TestChildHasTheSameWalls: what may fork can't shed anything by it.
func TestChildHasTheSameWalls(t *testing.T) {
	s := probeSpec(t, "fork-exec")
	s.Exec = []string{probe(t)}
	a := run(t, launcher(t, Options{}), s).answers()
	if a["fork-exec"] != "ok" || a["setns"] != "EPERM" || a["socket-unix"] != "EAFNOSUPPORT" || a["memfd"] != "EPERM" {
		t.Errorf("%v", a)
	}
}

// TestOnlyChildrenExecute: the program itself is never executed again, or it would not die with its
// supervisor any more; its children execute what they may.
func TestOnlyChildrenExecute(t *testing.T) {
	s := probeSpec(t, "exec-from-thread", "child-exec-shell", "child-exec-tmp", "child-exec-library", "fork-exec")
	s.Exec, s.Write = s.Programs, []string{"/tmp/**"}
	got := run(t, launcher(t, Options{}), s)
	a := got.answers()
	if a["exec-from-thread"] != "EPERM" || a["fork-exec"] != "ok" || a["tmp-write"] != "" {
		t.Errorf("%v", a)
	}
	if a["child-exec-shell"] != "ENOENT" || a["child-exec-tmp"] != "EACCES" || a["child-exec-library"] != "EACCES" {
		t.Errorf("children: %v", a)
	}
	if !slices.Equal(got.attempts, []string{"execve", "memfd_create", "setns"}) {
		t.Errorf("attempts %q", got.attempts)
	}
}

// TestSupervisorsGroup: a signal or a priority for the program's process group must not be one for the
// supervisor, which on an older kernel and as an ordinary user nothing else would prevent.
func TestSupervisorsGroup(t *testing.T) {
	p := start(t, launcher(t, Options{}), nodeSpec(t, forever))
	theirs, err := unix.Getpgid(p.Pid())
	if err != nil {
		t.Fatal(err)
	}
	if ours := unix.Getpgrp(); theirs == ours {
		t.Error("the program is in the supervisor's process group")
	}
	session, err := unix.Getsid(p.Pid())
	if ours, _ := unix.Getsid(0); err != nil || session == ours {
		t.Errorf("the program is in the supervisor's session (%v)", err)
	}
}

// TestPassedDescriptor: a descriptor that the program sends over its channel gets nowhere when the
// channel is only read.
func TestPassedDescriptor(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "channel"), os.NewFile(uintptr(pair[1]), "channel")
	defer ours.Close()
	s := probeSpec(t, "pass")
	s.Files = []*os.File{theirs}
	run(t, launcher(t, Options{}), s)
	theirs.Close()
	count := func() int {
		e, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(e)
	}
	before := count()
	b := make([]byte, 16)
	if n, err := ours.Read(b); string(b[:n]) != "passed" {
		t.Errorf("%q %v", b[:n], err)
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors became %d", before, after)
	}
}

// TestFloodOfRefusedCalls: records are dropped, not piled up, and the program is slowed down.
func TestFloodOfRefusedCalls(t *testing.T) {
	s := probeSpec(t, "flood")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.Stdout = w
	defer w.Close()
	p, err := launcher(t, Options{}).Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	p.Wait() // nobody takes the attempts
	n := uint64(0)
	for range p.Attempts() {
		n++
	}
	if n != attemptBuffer || p.Dropped() != 1000-attemptBuffer {
		t.Errorf("%d attempts kept, %d dropped", n, p.Dropped())
	}
}

// TestNodeStartsWithoutAttempts: what Node does by itself must not look like an attack.
func TestNodeStartsWithoutAttempts(t *testing.T) {
	s := nodeSpec(t, `
		require('dns').lookup('localhost', () => {
			require('os').networkInterfaces();
			new (require('worker_threads').Worker)('1', { eval: true });
			require('fs').watch('/tmp').close();
			process.title = 'x'; process.memoryUsage(); require('os').cpus();
			WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])).then(() => console.log('done'));
		});`)
	got := run(t, launcher(t, Options{}), s)
	if len(got.attempts) > 0 || got.out != "done\n" {
		t.Errorf("attempts %q\n%s", got.attempts, got.out)
	}
}
