package walls

// The system call filter: an allowlist. A call that stands in no table of syscalls.go answers
// ENOSYS, as a kernel without it would, so that libraries fall back. Refused calls that only an
// attack makes are handed to the supervisor, which answers with the same error and records them.

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (seccomp(2)). Of an argument only the lower half is looked at
// where the kernel takes an int; see wideArgument for the others.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16
)

const x32Bit = 0x40000000 // __X32_SYSCALL_BIT

type body = []bpf.Instruction

var (
	allow = body{bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}}
	kill  = bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}
)

func refuse(e unix.Errno) bpf.RetConstant {
	return bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(e)}
}

func argument(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offArgs + 8*n, Size: 4} }

// wideArgument is the upper half of a 64-bit argument.
func wideArgument(n uint32) bpf.Instruction { return bpf.LoadAbsolute{Off: offArgs + 8*n + 4, Size: 4} }

// latitude says in what the filters of sandboxes differ.
type latitude struct {
	fork    bool // child processes may be started
	records bool // the supervisor answers refused calls of interest, and decides about execve
	shared  bool // anonymous memory may be shared: a cgroup bounds it
	inotify bool // files may be watched: a sysctl bounds that
	zygote  bool // a gate grants forks and makes sockets; with records
}

// notable makes the refusal of a call that is worth a record.
func (l latitude) notable(e unix.Errno) bpf.RetConstant {
	if l.records {
		return bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}
	}
	return refuse(e)
}

// filter assembles the program.
func filter(l latitude) ([]bpf.RawInstruction, error) {
	table := verdicts(l)
	p := body{
		bpf.LoadAbsolute{Off: offArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		kill, // i386 calls on amd64
		bpf.LoadAbsolute{Off: offNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: x32Bit, SkipTrue: 1},
		kill,
	}
	p = append(p, search(ranges(table, body{refuse(unix.ENOSYS)}))...)
	return bpf.Assemble(p)
}

// span is a range of call numbers with one verdict, up to the next span.
type span struct {
	from uint32
	then body
}

// ranges joins neighbours with the same simple verdict.
func ranges(table map[int]body, other body) []span {
	numbers := make([]int, 0, len(table))
	for nr := range table {
		numbers = append(numbers, nr)
	}
	slices.Sort(numbers)
	out := []span{{0, other}}
	add := func(nr int, b body) {
		last := &out[len(out)-1]
		switch {
		case len(b) == 1 && len(last.then) == 1 && b[0] == last.then[0]:
		case last.from == uint32(nr):
			last.then = b
		default:
			out = append(out, span{uint32(nr), b})
		}
	}
	for i, nr := range numbers {
		add(nr, table[nr])
		if i+1 == len(numbers) || numbers[i+1] != nr+1 {
			add(nr+1, other)
		}
	}
	return out
}

// search compiles the spans, sorted, to a binary search: about seven comparisons a call.
func search(spans []span) body {
	if len(spans) == 1 {
		return spans[0].then
	}
	mid := len(spans) / 2
	below, above := search(spans[:mid]), search(spans[mid:])
	p := body{
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: spans[mid].from, SkipFalse: 1},
		bpf.Jump{Skip: uint32(len(below))},
	}
	return append(append(p, below...), above...)
}

// verdicts gives what becomes of each call.
func verdicts(l latitude) map[int]body {
	t := map[int]body{}
	for _, nr := range slices.Concat(allowed, allowedHere) {
		t[nr] = allow
	}
	for _, nr := range slices.Concat(refused, refusedHere) {
		t[nr] = body{refuse(unix.EPERM)}
	}
	for _, c := range slices.Concat(recorded, recordedHere) {
		t[c.nr] = body{l.notable(c.errno)}
	}
	for nr := range forksHere {
		t[nr] = allow
		if !l.fork {
			t[nr] = body{l.notable(forkErrno)}
		}
	}
	argumentRules(t, l)
	for nr, mode := range modeHere {
		t[nr] = noSetID(mode)
	}
	if l.records {
		t[unix.SYS_EXECVE] = body{bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}}
	}
	if !l.inotify {
		for _, nr := range inotifyHere {
			t[nr] = body{refuse(unix.EMFILE)}
		}
	}
	return t
}

// argumentRules are for the calls that are allowed with some arguments only.
func argumentRules(t map[int]body, l latitude) {
	t[unix.SYS_CLONE] = cloneBody(l)
	t[unix.SYS_SOCKET] = socketBody(l)
	t[unix.SYS_SOCKETPAIR] = socketpairBody(l.notable)
	t[unix.SYS_IOCTL] = onlyValues(1, ioctls, refuse(unix.ENOTTY))
	t[unix.SYS_PRCTL] = onlyValues(0, prctls, refuse(unix.EPERM))
	t[unix.SYS_PRLIMIT64] = onlyValues(0, []uint32{0}, refuse(unix.EPERM))           // its own limits only
	t[unix.SYS_PERSONALITY] = onlyValues(0, []uint32{1<<32 - 1}, refuse(unix.EPERM)) // asking only
	t[unix.SYS_SCHED_SETSCHEDULER] = onlyValues(1, []uint32{unix.SCHED_NORMAL, unix.SCHED_BATCH, unix.SCHED_IDLE}, refuse(unix.EPERM))
	t[unix.SYS_SETPRIORITY] = onlyValues(0, []uint32{unix.PRIO_PROCESS}, refuse(unix.EPERM))
	t[unix.SYS_FCNTL] = notValues(1, []uint32{unix.F_SETLEASE, unix.F_NOTIFY}, refuse(unix.EPERM)) // they would hold up the host's processes
	t[unix.SYS_SETSOCKOPT] = setsockoptBody()
	if !l.shared {
		t[unix.SYS_MMAP] = mmapBody()
	}
	if l.zygote {
		zygoteRules(t)
	}
}

// zygoteRules hand the gate the calls by which children come into being, and keep each child's hands off
// the priority of others, which are of the same user.
func zygoteRules(t map[int]body) {
	ask := body{bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF}}
	t[GateCall], t[unix.SYS_LANDLOCK_RESTRICT_SELF] = ask, ask
	ownPriority := onlyValues(1, []uint32{0}, refuse(unix.EPERM))
	t[unix.SYS_SETPRIORITY] = append(body{argument(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PRIO_PROCESS, SkipTrue: 1}, refuse(unix.EPERM)}, ownPriority...)
	t[unix.SYS_SCHED_SETSCHEDULER] = append(body{argument(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1}, refuse(unix.EPERM)}, t[unix.SYS_SCHED_SETSCHEDULER]...)
}

// onlyValues allows a call whose argument n, an int, is one of the values.
func onlyValues(n uint32, values []uint32, otherwise bpf.Instruction) body {
	p := body{argument(n)}
	for _, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, allow[0])
	}
	return append(p, otherwise)
}

// notValues allows a call unless its argument n, an int, is one of the values.
func notValues(n uint32, values []uint32, otherwise bpf.Instruction) body {
	p := body{argument(n)}
	for _, v := range values {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: v, SkipTrue: 1}, otherwise)
	}
	return append(p, allow[0])
}

// setsockoptBody answers that a socket's buffer was resized and leaves it as it is, as a kernel does
// whose maximum is its default. Only a cgroup of version 2 counts large buffers; one rule holds for all.
func setsockoptBody() body {
	p := body{argument(1), bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOL_SOCKET, SkipTrue: 1}, allow[0]}
	return append(p, notValues(2, []uint32{unix.SO_SNDBUF, unix.SO_RCVBUF}, refuse(0))...)
}

// mmapBody refuses anonymous memory that is shared: no rlimit counts it, and after
// madvise(MADV_DONTNEED) nothing shows whose it is.
func mmapBody() body {
	const both = unix.MAP_SHARED | unix.MAP_ANONYMOUS
	return body{
		argument(3),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: both},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: both, SkipTrue: 1},
		refuse(unix.EPERM),
		allow[0],
	}
}

// modeArgument says which arguments of a call are the mode of a file and, if it has any, the flags
// that say whether the mode counts. Index -1: it has none.
type modeArgument struct{ mode, flags int }

// noSetID allows a call unless it makes a setuid or setgid file: in a directory of the host that a
// function may write, it would be one of the host's.
func noSetID(m modeArgument) body {
	p := body{
		argument(uint32(m.mode)),
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.S_ISUID | unix.S_ISGID, SkipTrue: 1},
		allow[0],
	}
	if m.flags >= 0 {
		p = append(p,
			argument(uint32(m.flags)),
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY, SkipTrue: 1},
			allow[0])
	}
	return append(p, refuse(unix.EPERM))
}

// newNamespaces are the flags of clone(2) that make namespaces, all within its lower 32 bits.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// cloneBody allows threads, and processes if l says so, but no namespaces.
func cloneBody(l latitude) body {
	p := body{
		wideArgument(0),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 2},
		argument(0),
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: newNamespaces, SkipFalse: 1},
		l.notable(unix.EPERM),
	}
	if !l.fork {
		p = append(p, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: unix.CLONE_THREAD, SkipTrue: 1}, l.notable(forkErrno))
	}
	return append(p, allow[0])
}

// socketBody allows TCP and UDP over IP, and asking the kernel for interfaces and addresses
// (netlink ROUTE). Unix sockets, vsock (which no namespace confines), raw, packet, MPTCP, SCTP
// and everything else are refused.
func socketBody(l latitude) body {
	notable, internet := l.notable, allow[0]
	if l.zygote {
		internet = bpf.RetConstant{Val: unix.SECCOMP_RET_USER_NOTIF} // the gate makes it, see there
	}
	return body{
		argument(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 7},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: 1},
		notable(unix.EAFNOSUPPORT),
		argument(2),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.NETLINK_ROUTE, SkipTrue: 1},
		notable(unix.EPROTONOSUPPORT),
		allow[0],
		// IP: the type, without its flags, then the protocol.
		argument(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_DGRAM, SkipTrue: 1},
		notable(unix.EPROTONOSUPPORT),
		argument(2),
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		internet,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 1},
		notable(unix.EPROTONOSUPPORT),
		internet,
	}
}

// internetSocket tells whether socketBody would let a socket be.
func internetSocket(args [6]uint64) bool {
	family, kind, protocol := uint32(args[0]), uint32(args[1])&0xf, uint32(args[2])
	return (family == unix.AF_INET || family == unix.AF_INET6) &&
		(kind == unix.SOCK_STREAM || kind == unix.SOCK_DGRAM) &&
		(protocol == 0 || protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP)
}

// socketpairBody allows pairs of unix sockets that stay with each other. One for datagrams, of which raw is another
// name, could be sent from or connected to a named socket of the host's (unix(7)).
func socketpairBody(notable func(unix.Errno) bpf.RetConstant) body {
	return body{
		argument(0),
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_UNIX, SkipTrue: 1},
		refuse(unix.EAFNOSUPPORT),
		argument(1),
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_STREAM, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SOCK_SEQPACKET, SkipTrue: 1},
		notable(unix.EPROTONOSUPPORT),
		allow[0],
	}
}

// Refusal gives the name of a call that the filter handed to the supervisor, with the telling
// argument, and the error to answer with: the same that the filter gives by itself.
func Refusal(nr int, args [6]uint64) (name string, errno unix.Errno) {
	for _, c := range slices.Concat(recorded, recordedHere) {
		if c.nr == nr {
			return c.name, c.errno
		}
	}
	if name, ok := forksHere[nr]; ok {
		return name, forkErrno
	}
	switch nr {
	case unix.SYS_EXECVE:
		return "execve", unix.EPERM
	case GateCall:
		return "fork gate", unix.EPERM
	case unix.SYS_LANDLOCK_RESTRICT_SELF: // what it answers in a sandbox without a gate
		return "landlock_restrict_self", unix.ENOSYS
	case unix.SYS_CLONE:
		if args[0]&newNamespaces != 0 || args[0]>>32 != 0 {
			return "clone(CLONE_NEW…)", unix.EPERM
		}
		return "clone", forkErrno
	case unix.SYS_SOCKETPAIR:
		return fmt.Sprintf("socketpair(AF_UNIX, type %d)", args[1]&0xf), unix.EPROTONOSUPPORT
	case unix.SYS_SOCKET:
		switch family := uint32(args[0]); family {
		case unix.AF_INET, unix.AF_INET6:
			return fmt.Sprintf("socket(AF_INET, type %d, protocol %d)", args[1]&0xf, uint32(args[2])), unix.EPROTONOSUPPORT
		case unix.AF_NETLINK:
			return fmt.Sprintf("socket(AF_NETLINK, protocol %d)", uint32(args[2])), unix.EPROTONOSUPPORT
		default:
			return "socket(" + familyName(family) + ")", unix.EAFNOSUPPORT
		}
	}
	return fmt.Sprintf("system call %d", nr), unix.EPERM
}

func familyName(f uint32) string {
	names := map[uint32]string{unix.AF_UNIX: "AF_UNIX", unix.AF_PACKET: "AF_PACKET", unix.AF_VSOCK: "AF_VSOCK",
		unix.AF_ALG: "AF_ALG", unix.AF_BLUETOOTH: "AF_BLUETOOTH", unix.AF_XDP: "AF_XDP", unix.AF_CAN: "AF_CAN"}
	if n, ok := names[f]; ok {
		return n
	}
	return fmt.Sprintf("family %d", f)
}

// seccomp installs the filter on this thread, and hands the supervisor the descriptor at which
// refused calls arrive.
func (r *raiser) seccomp() *Failure {
	l := latitude{fork: r.cfg.Fork, records: r.cfg.Records, shared: r.cfg.Data == 0, inotify: r.cfg.Sysctls,
		zygote: r.cfg.zygote()}
	listener, err := install(l)
	if err != nil && r.cfg.Records && r.cfg.Probe {
		// Records may be what's missing, not the filter.
		r.failed(failure(Records, "user notification", err))
		l.records = false
		listener, err = install(l)
	}
	if err != nil {
		wall := Seccomp
		if r.cfg.Records {
			wall = Records
		}
		return failure(wall, "installing the filter", err)
	}
	if listener < 0 {
		return nil
	}
	defer unix.Close(listener)
	if err := r.ctl.report(&Report{FDs: []string{FDRecords}}, []int{listener}); err != nil {
		return failure(Records, "handing over the descriptor", err)
	}
	return nil
}

// install gives the listener, or -1 without records.
func install(l latitude) (listener int, err error) {
	raw, err := filter(l)
	if err != nil {
		return -1, err
	}
	insns := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		insns[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(insns)), Filter: &insns[0]}
	var flags uintptr
	if l.records {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	if !l.records {
		return -1, nil
	}
	return int(fd), nil
}
