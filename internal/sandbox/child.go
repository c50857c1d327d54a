package sandbox

// One child of a zygote, from its birth to its end.

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// Child is a process that was forked from a zygote. Its methods may be called from many goroutines at
// once.
type Child struct {
	zygote   *zygote
	slot     int
	serial   uint32 // names it among all that were in the slot
	group    *group
	outlets  *outlets
	attempts *attempts
	refused  chan netip.AddrPort
	born     chan struct{} // closed when it runs, or failed to
	failure  string        // why it did
	pid      int
	pidfd    *os.File

	ended      chan struct{}
	done       chan struct{}
	exit       Exit
	used       Usage
	overMemory atomic.Bool
}

func newChild(z *zygote, slot int, serial uint32, g *group) *Child {
	return &Child{
		zygote:   z,
		slot:     slot,
		serial:   serial,
		group:    g,
		outlets:  z.board.open(walls.MarkOf(slot, serial)),
		attempts: &attempts{out: make(chan Attempt, attemptBuffer)},
		refused:  make(chan netip.AddrPort, attemptBuffer),
		born:     make(chan struct{}),
		ended:    make(chan struct{}),
		done:     make(chan struct{}),
	}
}

// start takes a child whose process is there, before it has been given anything to do.
func (c *Child) start(pidfd int) error {
	unix.CloseOnExec(pidfd)
	c.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	pid, err := pidOf(pidfd)
	if err != nil {
		return err
	}
	c.pid, c.attempts.program = pid, pid
	if err := c.group.move(pid); err != nil {
		return fmt.Errorf("moving it into its cgroup: %w", err)
	}
	if !c.zygote.cgroups.has(memoryController) {
		go watchMemory(c.ended, c.zygote.limits.Memory, func() int64 { return memoryOf(pid) }, func() {
			c.overMemory.Store(true)
			c.Kill()
		})
	}
	return nil
}

// finish takes leave of it.
func (c *Child) finish(ws unix.WaitStatus, ticks int64) {
	close(c.ended)
	c.exit = exitOf(ws)
	if ws.Signaled() && ws.Signal() == unix.SIGKILL && (c.group.outOfMemory() || c.overMemory.Load()) {
		c.exit.Cause = "memory"
	}
	c.used = Usage{CPU: time.Duration(ticks) * clockTick}
	c.outlets.close()
	close(c.attempts.out)
	close(c.refused) // nobody finds it any more: see left
	if c.pidfd != nil {
		c.pidfd.Close()
	}
	c.group.remove()
	close(c.done)
}

// TCP and the methods that follow are those of a Process, for this child alone.

func (c *Child) TCP() []net.Listener { return c.outlets.tcp }

func (c *Child) DNS() []net.PacketConn { return c.outlets.dns }

// UDP gives nothing: what may send datagrams has no zygote.
func (c *Child) UDP() []*Datagrams { return nil }

func (c *Child) RefusedDatagrams() <-chan netip.AddrPort { return c.refused }

func (c *Child) Attempts() <-chan Attempt { return c.attempts.out }

func (c *Child) Dropped() uint64 { return c.attempts.dropped.Load() }

func (c *Child) Pid() int { return c.pid }

// Kill ends this child, no other. It may be called at any time.
func (c *Child) Kill() {
	if c.pidfd == nil {
		return
	}
	raw, err := c.pidfd.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
}

func (c *Child) Wait() Exit {
	<-c.done
	return c.exit
}

func (c *Child) Usage() (Usage, error) {
	select {
	case <-c.done:
		return c.used, nil
	default:
	}
	u, err := usageOf(c.pid)
	if err != nil {
		select {
		case <-c.done:
			return c.used, nil
		default:
			return Usage{}, err
		}
	}
	if m, ok := c.group.memory(); ok {
		u.Memory = m // what the zygote had before is the zygote's
	} else if m, err := privateMemory(c.pid); err == nil {
		u.Memory = m
	}
	return u, nil
}

// TmpChanged says when something in this child's /tmp was made, renamed or removed last.
func (c *Child) TmpChanged() (time.Time, error) {
	inside, err := innerPid(c.pid)
	if err != nil {
		return time.Time{}, err
	}
	st, err := os.Stat(fmt.Sprintf("/proc/%d/root%s", c.pid, walls.TmpOf(inside)))
	if err != nil {
		return time.Time{}, err
	}
	return st.ModTime(), nil
}

// innerPid gives the number that a process has in its own namespace (proc_pid_status(5)).
func innerPid(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if numbers, ok := strings.CutPrefix(line, "NStgid:"); ok {
			all := strings.Fields(numbers)
			return strconv.Atoi(all[len(all)-1])
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no NStgid", pid)
}

// Libraries gives nothing: what may load native libraries has no zygote.
func (c *Child) Libraries() ([]string, error) { return nil, nil }
