package walls

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// decide runs the filter on a call, as the kernel would.
func decide(t testing.TB, vm *bpf.VM, arch uint32, nr int, args [6]uint64) uint32 {
	t.Helper()
	// The virtual machine loads big-endian words; the kernel, its own.
	b := binary.BigEndian.AppendUint32(nil, uint32(nr))
	b = binary.BigEndian.AppendUint32(b, arch)
	b = binary.BigEndian.AppendUint64(b, 0) // instruction pointer
	for _, a := range args {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
		b = binary.BigEndian.AppendUint32(b, uint32(a>>32))
	}
	v, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(v)
}

func newVM(t testing.TB, l latitude) *bpf.VM {
	t.Helper()
	raw, err := filter(l)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) > 4096 { // BPF_MAXINSNS
		t.Fatalf("%d instructions are too many", len(raw))
	}
	insns, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("the filter can't be read back")
	}
	vm, err := bpf.NewVM(insns)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func TestFilterVerdicts(t *testing.T) {
	no := func(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
	const allow, kill = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS
	thread := uint64(unix.CLONE_VM | unix.CLONE_SIGHAND | unix.CLONE_THREAD)
	for _, c := range []struct {
		name       string
		nr         int
		args       [6]uint64
		bare, fork uint32
	}{
		{"read", unix.SYS_READ, [6]uint64{}, allow, allow},
		{"unknown", 999, [6]uint64{}, no(unix.ENOSYS), no(unix.ENOSYS)},
		{"negative", -1, [6]uint64{}, kill, kill},
		{"x32", x32Bit, [6]uint64{}, kill, kill},
		{"clone3", unix.SYS_CLONE3, [6]uint64{}, no(unix.ENOSYS), no(unix.ENOSYS)},
		{"thread", unix.SYS_CLONE, [6]uint64{thread}, allow, allow},
		{"process", unix.SYS_CLONE, [6]uint64{uint64(unix.SIGCHLD)}, no(unix.EACCES), allow},
		{"vfork", unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_VFORK}, no(unix.EACCES), allow},
		{"thread in a namespace", unix.SYS_CLONE, [6]uint64{thread | unix.CLONE_NEWNET}, no(unix.EPERM), no(unix.EPERM)},
		{"namespace in the upper half", unix.SYS_CLONE, [6]uint64{thread | 1<<40}, no(unix.EPERM), no(unix.EPERM)},
		{"tcp", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0}, allow, allow},
		{"udp6", unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, allow, allow},
		{"raw", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP}, no(unix.EPROTONOSUPPORT), no(unix.EPROTONOSUPPORT)},
		{"unix", unix.SYS_SOCKET, [6]uint64{unix.AF_UNIX, unix.SOCK_STREAM}, no(unix.EAFNOSUPPORT), no(unix.EAFNOSUPPORT)},
		{"vsock, dirty upper half", unix.SYS_SOCKET, [6]uint64{unix.AF_VSOCK | 2<<32, unix.SOCK_STREAM}, no(unix.EAFNOSUPPORT), no(unix.EAFNOSUPPORT)},
		{"tiocsti", unix.SYS_IOCTL, [6]uint64{0, unix.TIOCSTI}, no(unix.ENOTTY), no(unix.ENOTTY)},
		{"tiocsti, dirty upper half", unix.SYS_IOCTL, [6]uint64{0, unix.TIOCSTI | 0x5421<<32}, no(unix.ENOTTY), no(unix.ENOTTY)},
		{"personality", unix.SYS_PERSONALITY, [6]uint64{0xffffffff}, allow, allow},
		{"execve", unix.SYS_EXECVE, [6]uint64{}, allow, allow},
		{"priority of a thread", unix.SYS_SETPRIORITY, [6]uint64{unix.PRIO_PROCESS}, allow, allow},
		{"priority of a group", unix.SYS_SETPRIORITY, [6]uint64{unix.PRIO_PGRP}, no(unix.EPERM), no(unix.EPERM)},
		{"priority of a user", unix.SYS_SETPRIORITY, [6]uint64{unix.PRIO_USER}, no(unix.EPERM), no(unix.EPERM)},
		{"lock", unix.SYS_FCNTL, [6]uint64{3, unix.F_SETLK}, allow, allow},
		{"lease", unix.SYS_FCNTL, [6]uint64{3, unix.F_SETLEASE}, no(unix.EPERM), no(unix.EPERM)},
		{"notify", unix.SYS_FCNTL, [6]uint64{3, unix.F_NOTIFY}, no(unix.EPERM), no(unix.EPERM)},
		{"keep-alive", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.SOL_SOCKET, unix.SO_KEEPALIVE}, allow, allow},
		{"no delay", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.IPPROTO_TCP, unix.SO_SNDBUF}, allow, allow},
		{"large buffer", unix.SYS_SETSOCKOPT, [6]uint64{3, unix.SOL_SOCKET, unix.SO_SNDBUF}, no(0), no(0)},
		{"mode", unix.SYS_FCHMODAT, [6]uint64{0, 0, 0o777}, allow, allow},
		{"setuid", unix.SYS_FCHMODAT, [6]uint64{0, 0, 0o4755}, no(unix.EPERM), no(unix.EPERM)},
		{"setgid", unix.SYS_FCHMOD, [6]uint64{3, 0o2755}, no(unix.EPERM), no(unix.EPERM)},
		{"open, mode not meant", unix.SYS_OPENAT, [6]uint64{0, 0, unix.O_WRONLY | unix.O_DIRECTORY, 0o7777}, allow, allow},
		{"create setuid", unix.SYS_OPENAT, [6]uint64{0, 0, unix.O_WRONLY | unix.O_CREAT, 0o4755}, no(unix.EPERM), no(unix.EPERM)},
		{"create nameless setuid", unix.SYS_OPENAT, [6]uint64{0, 0, unix.O_WRONLY | unix.O_TMPFILE, 0o4755}, no(unix.EPERM), no(unix.EPERM)},
		{"openat2", unix.SYS_OPENAT2, [6]uint64{}, no(unix.ENOSYS), no(unix.ENOSYS)},
		{"private memory", unix.SYS_MMAP, [6]uint64{0, 0, 0, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS}, allow, allow},
		{"shared file", unix.SYS_MMAP, [6]uint64{0, 0, 0, unix.MAP_SHARED}, allow, allow},
		{"shared memory", unix.SYS_MMAP, [6]uint64{0, 0, 0, unix.MAP_SHARED_VALIDATE | unix.MAP_ANONYMOUS}, no(unix.EPERM), no(unix.EPERM)},
		{"watch", unix.SYS_INOTIFY_INIT1, [6]uint64{}, no(unix.EMFILE), no(unix.EMFILE)},
	} {
		for _, fork := range []bool{false, true} {
			want := c.bare
			if fork {
				want = c.fork
			}
			if got := decide(t, newVM(t, latitude{fork: fork}), auditArch, c.nr, c.args); got != want {
				t.Errorf("%s, fork %t: %#x, want %#x", c.name, fork, got, want)
			}
		}
	}
	for nr, args := range map[int][6]uint64{unix.SYS_INOTIFY_INIT1: {}, unix.SYS_MMAP: {3: unix.MAP_SHARED | unix.MAP_ANONYMOUS}} {
		if got := decide(t, newVM(t, latitude{shared: true, inotify: true}), auditArch, nr, args); got != allow {
			t.Errorf("call %d, bounded otherwise: %#x", nr, got)
		}
	}
	if got := decide(t, newVM(t, latitude{fork: true, records: true}), unix.AUDIT_ARCH_I386, unix.SYS_READ, [6]uint64{}); got != kill {
		t.Errorf("another architecture: %#x", got)
	}
}

// FuzzSameAnswer: whether the supervisor answers or the filter does, the error is the same, and
// what is allowed is the same.
func FuzzSameAnswer(f *testing.F) {
	for _, c := range recorded {
		f.Add(c.nr, uint64(0), uint64(0), uint64(0), true)
	}
	f.Add(unix.SYS_SOCKET, uint64(unix.AF_INET), uint64(unix.SOCK_RAW), uint64(1), false)
	f.Add(unix.SYS_CLONE, uint64(unix.CLONE_NEWUSER), uint64(0), uint64(0), false)
	plain := map[bool]*bpf.VM{false: newVM(f, latitude{}), true: newVM(f, latitude{fork: true})}
	with := map[bool]*bpf.VM{false: newVM(f, latitude{records: true}), true: newVM(f, latitude{fork: true, records: true})}
	f.Fuzz(func(t *testing.T, nr int, a, b, c uint64, fork bool) {
		if nr == unix.SYS_EXECVE {
			return // the supervisor decides by who calls, which the filter can't
		}
		args := [6]uint64{a, b, c}
		want := decide(t, plain[fork], auditArch, nr, args)
		got := decide(t, with[fork], auditArch, nr, args)
		if got == unix.SECCOMP_RET_USER_NOTIF {
			_, errno := Refusal(int(int32(nr)), args)
			got = unix.SECCOMP_RET_ERRNO | uint32(errno)
		}
		if got != want {
			t.Errorf("call %d %v: %#x with records, %#x without", nr, args, got, want)
		}
	})
}

// TestTablesDoNotContradict: a call stands in one table only.
func TestTablesDoNotContradict(t *testing.T) {
	seen := map[int]string{}
	add := func(table string, nr int) {
		if other, ok := seen[nr]; ok {
			t.Errorf("call %d stands in %s and %s", nr, other, table)
		}
		seen[nr] = table
	}
	for _, nr := range append(append([]int{}, allowed...), allowedHere...) {
		add("allowed", nr)
	}
	for _, nr := range append(append([]int{}, refused...), refusedHere...) {
		add("refused", nr)
	}
	for _, c := range append(append([]call{}, recorded...), recordedHere...) {
		add("recorded", c.nr)
	}
}

func TestConfigTravels(t *testing.T) {
	c := &Config{Hostname: "x", Argv: []string{"/a", "b"}, Env: []string{}, Loopback: []uint16{1},
		Binds:   []Bind{{Source: "/s", Target: "/t", Write: true}},
		Content: []File{{Path: "/one", Data: []byte(strings.Repeat("x", 300<<10))}, {Path: "/empty", Data: []byte{}}, {Path: "/two", Data: []byte("y")}}}
	fd, err := c.memory()
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "config")
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the sealed configuration was written")
	}
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	got, err := parseConfig(b)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%+v %v", got, err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Add([]byte("\x29\x00\x00\x00\x00\x00\x00\x00{\"Content\":[{\"Path\":\"/a\",\"Size\":1}]}   x"))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			return
		}
		for _, file := range c.Content {
			if len(file.Data) != file.Size {
				t.Errorf("%+v", file)
			}
		}
	})
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"FDs":["tcp"]}`), 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if r, err := ParseReport(b, n); err == nil && len(r.FDs) != n {
			t.Errorf("%+v", r)
		}
	})
}

// TestLinksSince: what has become a link after it was judged is not bound, nor what lies behind one.
func TestLinksSince(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"link", "link/passwd"} {
		b := Bind{Source: filepath.Join(dir, path), NoLinks: true}
		if fd, err := b.open(); err != unix.ELOOP {
			unix.Close(fd)
			t.Errorf("%s: %v", path, err)
		}
	}
}

// FuzzParseRefused: what a program sends is in these messages.
func FuzzParseRefused(f *testing.F) {
	v4 := append([]byte{0x46, 12: 10, 16: 203, 17: 0, 18: 113, 19: 9, 23: 0}, 0, 1, 0x1f, 0xbd)
	v6 := append([]byte{0x60, 6: 17, 39: 1}, 0, 1, 0x1f, 0xbd)
	f.Add(v4, "203.0.113.9:8125")
	f.Add(v6, "[::1]:8125")
	f.Add([]byte{0x4f}, "")
	f.Fuzz(func(t *testing.T, packet []byte, want string) {
		attr := nl.NewRtAttr(nfulaPayload, packet).Serialize()
		m := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+nl.SizeofNfgenmsg+len(attr)))
		m = binary.NativeEndian.AppendUint16(m, nfulnlPacket)
		m = append(append(m, make([]byte, unix.SizeofNlMsghdr-6+nl.SizeofNfgenmsg)...), attr...)
		ParseRefused(packet)
		got := ParseRefused(m)
		if len(got) > 1 || len(got) == 1 && !got[0].To.IsValid() {
			t.Error(got)
		}
		if want == "203.0.113.9:8125" || want == "[::1]:8125" {
			if bytes.Equal(packet, v4) || bytes.Equal(packet, v6) {
				if len(got) != 1 || got[0].To.String() != want {
					t.Errorf("%v, want %s", got, want)
				}
			}
		}
	})
}

// TestFilterOfZygote: what makes a child or a socket waits for the gate's word; threads don't.
func TestFilterOfZygote(t *testing.T) {
	vm := newVM(t, latitude{records: true, zygote: true})
	const allow, ask = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_USER_NOTIF
	const never = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	for _, c := range []struct {
		name string
		nr   int
		args [6]uint64
		want uint32
	}{
		{"fork", unix.SYS_CLONE, [6]uint64{forkFlags}, ask},
		{"thread", unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_SIGHAND | unix.CLONE_THREAD}, allow},
		{"gate", GateCall, [6]uint64{}, ask},
		{"confine", unix.SYS_LANDLOCK_RESTRICT_SELF, [6]uint64{}, ask},
		{"tcp", unix.SYS_SOCKET, [6]uint64{unix.AF_INET, unix.SOCK_STREAM}, ask},
		{"udp6", unix.SYS_SOCKET, [6]uint64{unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP}, ask},
		{"routes", unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, allow},
		{"own priority", unix.SYS_SETPRIORITY, [6]uint64{unix.PRIO_PROCESS}, allow},
		{"another's priority", unix.SYS_SETPRIORITY, [6]uint64{unix.PRIO_PROCESS, 7}, never},
		{"own scheduling", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{0, unix.SCHED_BATCH}, allow},
		{"another's scheduling", unix.SYS_SCHED_SETSCHEDULER, [6]uint64{7, unix.SCHED_BATCH}, never},
	} {
		if got := decide(t, vm, auditArch, c.nr, c.args); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}
