package sandbox

// A zygote: a program that is forked, by itself, for each new process that is wanted. Its sandbox's first
// process stays as the gate that grants each fork (see package walls); this is the supervisor's end.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

// zygote is what a Process has besides, if its program is one.
type zygote struct {
	process *Process
	name    string
	limits  weir.Limits
	cgroups *cgroups
	ctl     *net.UnixConn
	board   *switchboard
	ready   chan struct{} // closed when it can be forked, or never will

	mu       sync.Mutex
	why      error          // it can't be forked
	children map[int]*Child // by slot, from 1 to slots
	slots    int
	serial   uint32 // of the last child
}

func newZygote(p *Process, s *Spec, c *cgroups) *zygote {
	return &zygote{process: p, name: s.Name, limits: s.Limits.WithDefaults(), cgroups: c, slots: s.Zygote,
		ctl: p.first.ctl, board: newSwitchboard(&p.received), ready: make(chan struct{}),
		children: map[int]*Child{}}
}

// serve begins to follow the gate.
func (z *zygote) serve(p *Process) {
	p.outlets = *z.board.open(walls.MarkOf(0, 0))
	z.board.serve()
	p.watchers.Go(func() {
		z.follow()
		z.abandon()
		p.outlets.close()
		close(p.attempts.out)
		z.ctl.Close()
	})
}

// unsuited says why a Spec can't have a zygote, "" if it can: its children would not be apart enough.
func (s *Spec) unsuited() string {
	switch {
	case len(s.Files) != 1:
		return "a zygote has one channel"
	case len(s.Exec) > 0:
		return "it may start programs"
	case len(s.Addons) > 0:
		return "it may load native libraries"
	case len(s.UDPPorts) > 0 || s.UDPAll:
		return "it may send datagrams"
	}
	if slices.ContainsFunc(s.Programs, func(p string) bool { return within(p, tmpTarget) }) {
		return "a program lies in /tmp" // which is each child's own
	}
	for _, w := range s.Write {
		if within(strings.TrimSuffix(w, "/**"), tmpTarget) && w != tmpTarget+"/**" {
			return "it may write a part of /tmp only"
		}
	}
	return ""
}

// WaitReady waits until the zygote can be forked: it has called the gate. An error says why it can't and
// never will; the sandbox is to be ended then.
func (p *Process) WaitReady(ctx context.Context) error {
	if p.zygote == nil {
		return errors.New("the program is no zygote")
	}
	select {
	case <-p.zygote.ready:
		p.zygote.mu.Lock()
		defer p.zygote.mu.Unlock()
		return p.zygote.why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Fork makes a child of the zygote, which must be ready: a process with a /tmp and a network of its own,
// held by the same walls and, on its own, by the same limits. channel becomes its descriptor 3 in place
// of the zygote's, stdout and stderr its output; they stay the caller's to close. It returns when the
// child runs. An error is a *weir.Error: Unavailable when all slots are taken or the zygote is gone,
// Crashed when the child did not come to be, TimedOut when ctx ends first.
func (p *Process) Fork(ctx context.Context, channel, stdout, stderr *os.File) (*Child, error) {
	z := p.zygote
	if z == nil {
		return nil, &weir.Error{Code: weir.Invalid, Message: "the program is no zygote"}
	}
	group, err := z.cgroups.create(z.limits)
	if err != nil {
		return nil, &weir.Error{Code: weir.NoWall, Message: "the cgroup of a child of " + z.name + " can't be made", Err: err}
	}
	c, err := z.reserve(group)
	if err != nil {
		group.remove()
		return nil, err
	}
	if err := z.send(walls.Command{Slot: c.slot, Generation: c.serial}, channel, stdout, stderr); err != nil {
		z.failed(c, err.Error())
	}
	select {
	case <-c.born:
	case <-ctx.Done():
		z.send(walls.Command{Slot: c.slot, Kill: true})
		go func() { // the slot is free again when the gate says so
			<-c.born
			c.Kill()
		}()
		return nil, &weir.Error{Code: weir.TimedOut, Message: "a child of " + z.name + " can't be started", Err: ctx.Err()}
	}
	if c.failure != "" {
		return nil, &weir.Error{Code: weir.Crashed, Message: "a child of " + z.name + " can't be started", Err: errors.New(c.failure)}
	}
	return c, nil
}

// reserve takes a free slot.
func (z *zygote) reserve(g *group) (*Child, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.why != nil {
		return nil, &weir.Error{Code: weir.Unavailable, Message: "the zygote of " + z.name + " can't be forked", Err: z.why}
	}
	for slot := 1; slot <= z.slots; slot++ {
		if z.children[slot] == nil {
			z.serial++
			c := newChild(z, slot, z.serial, g)
			z.children[slot] = c
			return c, nil
		}
	}
	return nil, &weir.Error{Code: weir.Unavailable, Message: fmt.Sprintf("%s has %d children already", z.name, z.slots)}
}

// send tells the gate what is wanted.
func (z *zygote) send(c walls.Command, files ...*os.File) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return err
		}
		// The descriptor stays open while the caller holds the file.
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return err
		}
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err = z.ctl.WriteMsgUnix(b, oob, nil)
	return err
}

// follow takes what the gate tells until it is gone.
func (z *zygote) follow() {
	b, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	for {
		n, on, _, _, err := z.ctl.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			break
		}
		fds := descriptors(oob[:on])
		var e walls.Event
		if json.Unmarshal(b[:n], &e) == nil {
			fds = z.heard(e, fds)
		}
		closeAll(fds)
	}
	z.ended(errors.New("the zygote has ended"))
}

// heard acts on one event. It gives back the descriptors that nobody took.
func (z *zygote) heard(e walls.Event, fds []int) []int {
	z.mu.Lock()
	c := z.children[e.Slot]
	z.mu.Unlock()
	switch {
	case e.Kind == walls.Ready:
		close(z.ready)
	case e.Kind == walls.Unusable:
		z.ended(errors.New(e.Text))
	case e.Kind == walls.Gone:
		z.ended(errors.New("the zygote ended: " + exitOf(unix.WaitStatus(e.Status)).String()))
	case e.Kind == walls.Refused && e.Slot == 0:
		z.process.attempts.record(e.Text, z.process.first.pid)
	case c == nil:
	case e.Kind == walls.Born && len(fds) == 1:
		if err := c.start(fds[0]); err != nil {
			c.failure = err.Error()
			z.send(walls.Command{Slot: c.slot, Kill: true})
		}
		close(c.born)
		return nil
	case e.Kind == walls.Failed:
		z.failed(c, e.Text)
	case e.Kind == walls.Ended:
		z.left(c, unix.WaitStatus(e.Status), e.CPU)
	case e.Kind == walls.Refused:
		c.attempts.record(e.Text, c.pid)
	}
	return fds
}

// refusedDatagram hands on where a child's datagram was sent to. It tells whether there is such a child.
func (z *zygote) refusedDatagram(mark uint32, to netip.AddrPort) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, c := range z.children {
		if walls.MarkOf(c.slot, c.serial) == mark {
			select {
			case c.refused <- to:
			default:
			}
			return true
		}
	}
	return false
}

// ended notes that the zygote can't be forked any more. Its children, if the gate is gone, are gone too.
func (z *zygote) ended(why error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.why == nil {
		z.why = why
	}
	select {
	case <-z.ready:
	default:
		close(z.ready)
	}
}

// abandon ends the account of children that went with the gate.
func (z *zygote) abandon() {
	z.mu.Lock()
	var left []*Child
	for _, c := range z.children {
		left = append(left, c)
	}
	z.mu.Unlock()
	for _, c := range left {
		z.left(c, unix.WaitStatus(unix.SIGKILL), 0)
	}
}

// failed ends a child that did not come to be.
func (z *zygote) failed(c *Child, why string) {
	c.failure = why
	z.left(c, 0, 0)
}

// left ends the account of a child and frees its slot.
func (z *zygote) left(c *Child, ws unix.WaitStatus, ticks int64) {
	z.mu.Lock()
	known := z.children[c.slot] == c
	if known {
		delete(z.children, c.slot)
	}
	z.mu.Unlock()
	if !known {
		return
	}
	select {
	case <-c.born:
	default: // it ended before it ran
		if c.failure == "" {
			c.failure = "it ended at once: " + exitOf(ws).String()
		}
		close(c.born)
	}
	c.finish(ws, ticks)
}

// pidOf gives the number of a pidfd's process as this process counts (proc_pid_fdinfo(5)).
func pidOf(pidfd int) (int, error) {
	b, err := os.ReadFile(filepath.Join("/proc/self/fdinfo", strconv.Itoa(pidfd)))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(v))
			if err == nil && pid <= 0 {
				err = errors.New("the process has ended")
			}
			return pid, err
		}
	}
	return 0, errors.New("the kernel does not say which process a pidfd is")
}
