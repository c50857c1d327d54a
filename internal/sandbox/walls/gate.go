package walls

// The gate of a zygote: which process may fork, when, and what each child is given. It is asked by the
// kernel (seccomp_unotify(2)), so that nothing in the memory of the zygote, where the function's code has
// been, gives the right to fork; and it only ever looks at who calls and at arguments that are values.
//
// A fork, step by step. The supervisor wants a child in a slot. The zygote waits in the call park; the
// gate answers it, once, and lets the one clone(2) through that follows. The child, before it runs any
// JavaScript, says that it is born, and gets a /tmp; confines itself, so that it reaches no sibling; and
// says that it is confined, and only then gets its channel and its output.

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// GateCall is the number of a system call that no kernel has. Its first argument says what is meant.
const GateCall = 1001

// The calls to the gate.
const (
	callPark     = 1 // zygote: its last child or 0, errno of the last fork, libuv requests in flight
	callBorn     = 2 // child: its first call
	callConfined = 3 // child: the last one before JavaScript
)

// orderFork answers park: fork. Any other answer is the number of a child that has ended, to be waited for.
const orderFork = 1

// forkFlags are those of fork(3) of glibc and musl. What they also point at is the caller's own memory.
const forkFlags = unix.CLONE_CHILD_CLEARTID | unix.CLONE_CHILD_SETTID | uint64(unix.SIGCHLD)

// stage is how far a child has come.
type stage int

const (
	unused   stage = iota
	wanted         // by the supervisor
	granted        // the zygote was told to fork
	forked         // the kernel was told to let it
	born           // the child has called, and has a /tmp
	scoped         // it was let to confine itself
	confined       // it has its channel and runs
)

type slot struct {
	stage      stage
	mark       uint32
	pid, pidfd int
	files      []int // channel, output, errors, until it has them
	recorded   tokens
}

type gate struct {
	*raiser
	listener         Listener
	zygote, zygoteFD int
	slots            []slot // 0 stands for the zygote
	parked           bool
	park             uint64 // the call to answer
	told             bool   // the supervisor knows that the zygote is ready
	dead             []int  // children that the zygote has not waited for
}

// serve works until the supervisor or the zygote is gone, with which everything here ends.
func (g *gate) serve() {
	debug.SetGCPercent(100) // this process lives on
	for {
		polled := []unix.PollFd{
			{Fd: int32(g.ctl.fd), Events: unix.POLLIN},
			{Fd: int32(g.zygoteFD), Events: unix.POLLIN},
			{Fd: int32(g.listener), Events: unix.POLLIN},
		}
		running := g.running()
		for _, s := range running {
			polled = append(polled, unix.PollFd{Fd: int32(g.slots[s].pidfd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
			unix.Exit(125)
		}
		for i, s := range running {
			if polled[3+i].Revents != 0 {
				g.ended(s)
			}
		}
		if polled[2].Revents&unix.POLLIN != 0 {
			if n, ok, _ := g.listener.Next(); ok {
				g.answer(n)
			}
		}
		if polled[1].Revents != 0 {
			g.gone()
		}
		if polled[0].Revents != 0 && !g.command() {
			unix.Exit(0)
		}
		g.order()
	}
}

// running are the slots whose process is known.
func (g *gate) running() []int {
	var out []int
	for s := 1; s < len(g.slots); s++ {
		if g.slots[s].pid != 0 {
			out = append(out, s)
		}
	}
	return out
}

// order answers the zygote that waits. Forks go one after the other.
func (g *gate) order() {
	if !g.parked || slices.ContainsFunc(g.slots[1:], func(s slot) bool { return s.stage == granted || s.stage == forked }) {
		return
	}
	next := slices.IndexFunc(g.slots, func(s slot) bool { return s.stage == wanted })
	switch {
	case next > 0 && g.listener.Answer(g.park, orderFork):
		g.parked, g.slots[next].stage = false, granted
	case next < 0 && len(g.dead) > 0 && g.listener.Answer(g.park, int64(g.dead[0])):
		g.parked, g.dead = false, g.dead[1:]
	}
}

// answer decides about a call.
func (g *gate) answer(n Notification) {
	var ok bool
	switch n.Nr {
	case unix.SYS_CLONE:
		ok = g.mayFork(&n)
	case unix.SYS_SOCKET:
		if internetSocket(n.Args) {
			g.socket(&n)
			return
		}
	case unix.SYS_LANDLOCK_RESTRICT_SELF:
		ok = g.mayConfine(&n)
	case GateCall:
		if g.gateCall(&n) {
			return
		}
	}
	if ok {
		g.listener.Proceed(n.ID)
		return
	}
	name, errno := Refusal(int(n.Nr), n.Args)
	g.listener.Refuse(n.ID, errno)
	g.record(name, int(n.Pid))
}

// mayFork tells whether this is the one fork that was granted.
func (g *gate) mayFork(n *Notification) bool {
	s := g.find(granted)
	if s < 0 || int(n.Pid) != g.zygote || n.Args[0] != forkFlags {
		return false
	}
	g.slots[s].stage = forked
	return true
}

// mayConfine lets a child that was just born take on its domain.
func (g *gate) mayConfine(n *Notification) bool {
	s := g.slotOf(int(n.Pid))
	if s < 1 || g.slots[s].stage != born || n.Args[0] != ScopeFD || n.Args[1] != 0 {
		return false
	}
	g.slots[s].stage = scoped
	return true
}

// gateCall carries out a call to the gate. It tells whether it answered.
func (g *gate) gateCall(n *Notification) bool {
	pid := int(n.Pid)
	switch n.Args[0] {
	case callPark:
		if pid != g.zygote {
			return false
		}
		g.parks(n)
		return true
	case callBorn:
		return g.birth(n)
	case callConfined:
		s := g.slotOf(pid)
		if s < 1 || g.slots[s].stage != scoped || g.slots[s].pid != pid {
			return false
		}
		g.release(s, n)
		return true
	}
	return false
}

// parks takes the zygote's word that it waits, and looks at it before the first fork.
func (g *gate) parks(n *Notification) {
	g.parked, g.park = true, n.ID
	child, errno, requests := int(n.Args[1]), unix.Errno(n.Args[2]), int(n.Args[3])
	if s := max(g.find(granted), g.find(forked)); s > 0 && errno != 0 {
		g.fail(s, "fork: "+errno.Error())
	}
	if s := g.find(forked); s > 0 && g.slots[s].pid == 0 {
		g.adopt(s, child) // it may end without a call
	}
	if g.told {
		return
	}
	g.told = true
	if why := g.audit(requests); why != "" {
		g.say(Event{Kind: Unusable, Text: why}, nil)
		unix.Exit(0)
	}
	g.say(Event{Kind: Ready}, nil)
}

// adopt takes a process that the zygote has forked for the child in a slot.
func (g *gate) adopt(s, pid int) bool {
	st, err := statusOf(pid)
	if err != nil || st.process != pid || st.parent != g.zygote || g.slotOf(pid) >= 0 || slices.Contains(g.dead, pid) {
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	g.slots[s].pid, g.slots[s].pidfd = pid, fd
	return true
}

// birth takes in a child: a process that was not there before, whose parent is the zygote, while a fork
// is under way.
func (g *gate) birth(n *Notification) bool {
	pid := int(n.Pid)
	s := g.find(forked)
	if s < 0 || g.slots[s].pid == 0 && !g.adopt(s, pid) || g.slots[s].pid != pid {
		return false
	}
	g.slots[s].stage = born
	if err := g.tmpOf(pid); err != nil {
		g.listener.Refuse(n.ID, unix.EPERM) // it ends by itself
		return true
	}
	g.listener.Answer(n.ID, int64(s))
	return true
}

// release gives a child its channel and its output, and lets it run.
func (g *gate) release(s int, n *Notification) {
	sl := &g.slots[s]
	for i, at := range []int{ChannelFD, 1, 2} {
		if errno := g.listener.inject(n.ID, sl.files[i], at, at == ChannelFD); errno != 0 {
			g.listener.Refuse(n.ID, unix.EPERM)
			return
		}
	}
	closeFiles(sl)
	sl.stage = confined
	g.say(Event{Kind: Born, Slot: s}, []int{sl.pidfd}) // before it can run, and end
	g.listener.Answer(n.ID, int64(s))
}

// socket makes a socket for a process, with the mark that says whose it is.
func (g *gate) socket(n *Notification) {
	s := g.slotOf(int(n.Pid))
	if s < 0 {
		g.listener.Refuse(n.ID, unix.EACCES)
		return
	}
	kind := int(uint32(n.Args[1]))
	fd, err := unix.Socket(int(uint32(n.Args[0])), kind|unix.SOCK_CLOEXEC, int(uint32(n.Args[2])))
	if err == nil {
		defer unix.Close(fd)
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(g.slots[s].mark))
	}
	if err != nil {
		g.listener.Refuse(n.ID, err.(unix.Errno))
		return
	}
	if errno := g.listener.give(n.ID, fd, kind&unix.SOCK_CLOEXEC != 0); errno != 0 {
		g.listener.Refuse(n.ID, unix.EMFILE)
	}
}

// find gives the slot of that stage, -1 if there is none.
func (g *gate) find(st stage) int {
	return slices.IndexFunc(g.slots, func(s slot) bool { return s.stage == st })
}

// slotOf gives the slot of a thread, 0 for the zygote's, -1 if it is nobody's yet. The thread waits for an
// answer, so its number is not another's.
func (g *gate) slotOf(tid int) int {
	process := tid
	if tid != g.zygote && !slices.ContainsFunc(g.slots, func(s slot) bool { return s.pid == tid }) {
		st, err := statusOf(tid)
		if err != nil {
			return -1
		}
		process = st.process
	}
	if process == g.zygote {
		return 0
	}
	for s := 1; s < len(g.slots); s++ {
		if g.slots[s].pid == process {
			return s
		}
	}
	return -1
}

// ended takes leave of a child. It is a zombie until the zygote waits for it.
func (g *gate) ended(s int) {
	e := Event{Kind: Ended, Slot: s}
	if st, err := zombieOf(g.slots[s].pid); err == nil {
		e.Status, e.CPU = st.status, st.ticks
	}
	g.dead = append(g.dead, g.slots[s].pid)
	unix.Close(g.slots[s].pidfd)
	g.clear(s)
	g.say(e, nil)
}

// fail gives up a child that did not come to be.
func (g *gate) fail(s int, why string) {
	g.clear(s)
	g.say(Event{Kind: Failed, Slot: s, Text: why}, nil)
}

func (g *gate) clear(s int) {
	closeFiles(&g.slots[s])
	g.slots[s] = slot{}
}

func closeFiles(s *slot) {
	for _, fd := range s.files {
		unix.Close(fd)
	}
	s.files = nil
}

// gone reports the end of the zygote, and ends everything.
func (g *gate) gone() {
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(g.zygote, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	g.say(Event{Kind: Gone, Status: int(ws)}, nil)
	unix.Exit(0)
}

// status is what /proc says of a thread.
type status struct{ process, parent int }

func statusOf(tid int) (status, error) {
	b, err := os.ReadFile(fmt.Sprintf("%s/%d/status", realProc, tid))
	if err != nil {
		return status{}, err
	}
	var st status
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name { // the program's own name, in the first line, can't hold a line feed (proc_pid_status(5))
		case "Tgid":
			st.process, err = strconv.Atoi(value)
		case "PPid":
			st.parent, err = strconv.Atoi(value)
		}
		if err != nil {
			return status{}, err
		}
	}
	return st, nil
}

// zombie is what is left of a process that has ended.
type zombie struct {
	status int   // as wait(2) gives it
	ticks  int64 // hundredths of a second of CPU
}

func zombieOf(pid int) (zombie, error) {
	b, err := os.ReadFile(fmt.Sprintf("%s/%d/stat", realProc, pid))
	if err != nil {
		return zombie{}, err
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	const utime, stime, exit = 11, 12, 49 // proc_pid_stat(5), from the state on
	if len(f) <= exit {
		return zombie{}, fmt.Errorf("%s/%d/stat can't be read", realProc, pid)
	}
	var z zombie
	user, err1 := strconv.ParseInt(f[utime], 10, 64)
	system, err2 := strconv.ParseInt(f[stime], 10, 64)
	z.status, err = strconv.Atoi(f[exit])
	if err1 != nil || err2 != nil || err != nil {
		return zombie{}, fmt.Errorf("%s/%d/stat can't be read", realProc, pid)
	}
	z.ticks = user + system
	return z, nil
}
