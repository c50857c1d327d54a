package walls

// The first process of a sandbox whose program is a zygote: a process that has loaded a function and is
// forked for each new instance of it. The first process raises the walls that all share, starts a second
// one, which raises those of a process and becomes the program, and then stays as the gate.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"
)

// What the zygote finds, besides standard input, output and error.
const (
	ChannelFD = ControlFD     // its channel; in a child, the child's
	ScopeFD   = ControlFD + 1 // the ruleset in which a child confines itself
)

// ownTmp is what /tmp leads to in a zygote's sandbox: a directory in each process's own part of /proc,
// which no other can enter. The gate mounts the process's private /tmp on it (tmpOf), and the kernel
// unmounts that when the process ends. What the directory is for, attributes of other security modules,
// nobody misses.
const ownTmp = realProc + "/self/" + tmpMount

const tmpMount = "attr"

// TmpOf gives where the /tmp of a process lies, as its sandbox numbers processes.
func TmpOf(pid int) string { return path.Join(realProc, fmt.Sprint(pid), tmpMount) }

// tmpOf gives a process its private /tmp.
func (r *raiser) tmpOf(pid int) error {
	var flags uintptr
	if len(r.cfg.TmpWritable) == 0 {
		flags = unix.MS_RDONLY
	}
	return r.mountTmp(TmpOf(pid), flags)
}

// tryTmp finds out for a probe whether that can be had.
func (r *raiser) tryTmp() *Failure {
	if !r.cfg.Probe || r.cfg.Slots == 0 || !r.cfg.Procfs {
		return nil
	}
	if err := r.tmpOf(os.Getpid()); err != nil {
		return failure(Forking, "mounting a private /tmp in /proc", err)
	}
	return nil
}

// becomeGate starts the zygote and serves as its gate. It returns if there is no zygote.
func (r *raiser) becomeGate() *Failure {
	g := &gate{raiser: r, slots: make([]slot, r.cfg.Slots+1)}
	g.slots[0].mark = MarkOf(0, 0)
	inner, f := r.startInner()
	if f != nil {
		return f
	}
	g.zygote, g.zygoteFD = inner.pid, inner.pidfd
	if err := r.tmpOf(inner.pid); err != nil {
		return failure(Forking, "mounting a private /tmp in /proc", err)
	}
	cfg := *r.cfg
	cfg.Inner, cfg.Files, cfg.Binds, cfg.Content = true, ScopeFD-ControlFD+1, r.cfg.writeBinds(), nil
	if err := Send(inner.ctl, &cfg); err != nil {
		return failure(Program, "configuring the zygote", err)
	}
	if f := g.admit(inner.ctl); f != nil {
		return f
	}
	unix.Close(inner.ctl)
	r.report.Done = true
	if err := r.ctl.report(&r.report, nil); err != nil {
		unix.Exit(125) // the supervisor is gone
	}
	g.serve()
	return nil
}

// writeBinds are those that Landlock has a rule for.
func (c *Config) writeBinds() []Bind {
	var out []Bind
	for _, b := range c.Binds {
		if b.Write {
			out = append(out, b)
		}
	}
	return out
}

// inner is the process that becomes the zygote.
type inner struct{ pid, pidfd, ctl int }

// startInner executes this program once more. It gets the program's descriptors, which this process then
// closes, but for output: that of a zygote that is forked goes to each child's own.
func (r *raiser) startInner() (inner, *Failure) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return inner{}, failure(Program, "socketpair", err)
	}
	in := inner{ctl: pair[0], pidfd: -1}
	attr := &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=1", "GOGC=off"},
		Files: []uintptr{0, 1, 2, uintptr(pair[1]), ChannelFD, 0}, // the last holds the place of ScopeFD
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, PidFD: &in.pidfd},
	}
	in.pid, _, err = syscall.StartProcess("/proc/self/exe", []string{InitName}, attr)
	unix.Close(pair[1])
	unix.Close(ChannelFD)
	if err == nil && in.pidfd < 0 {
		err = errors.New("the kernel gave no pidfd")
	}
	if err != nil {
		return inner{}, failure(Program, "starting the zygote's process", err)
	}
	return in, nil
}

// admit follows that process until it is executing the program, which it may do once: its end of the
// socket closes then.
func (g *gate) admit(ctl int) *Failure {
	for {
		polled := []unix.PollFd{{Fd: int32(ctl), Events: unix.POLLIN}, {Fd: -1}}
		if g.listener != 0 {
			polled[1] = unix.PollFd{Fd: int32(g.listener), Events: unix.POLLIN}
		}
		if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
			return failure(Program, "waiting for the zygote", err)
		}
		if polled[0].Revents != 0 {
			f, err := g.hear(ctl)
			if f != nil || err == io.EOF {
				return f
			}
			if err != nil {
				return failure(Program, "starting the zygote", err)
			}
			continue
		}
		if polled[1].Revents != 0 {
			if n, ok, _ := g.listener.Next(); ok && n.Nr == unix.SYS_EXECVE && int(n.Pid) == g.zygote {
				g.listener.Proceed(n.ID)
			} else if ok {
				g.listener.Refuse(n.ID, unix.EPERM)
			}
		}
	}
}

// hear takes one report of that process. The error is io.EOF when it has become the program.
func (g *gate) hear(ctl int) (*Failure, error) {
	b, oob := make([]byte, maxReport), make([]byte, unix.CmsgSpace(4))
	n, on, _, _, err := unix.Recvmsg(ctl, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		if g.listener == 0 {
			return nil, errors.New("its process ended before the walls stood")
		}
		return nil, io.EOF
	}
	fds := rights(oob[:on])
	report, err := ParseReport(b[:n], len(fds))
	switch {
	case err != nil:
		return nil, err
	case len(report.Failures) > 0:
		return &report.Failures[0], nil
	case len(fds) == 1 && report.FDs[0] == FDRecords:
		g.listener = Listener(fds[0])
	}
	g.report.Landlock = max(g.report.Landlock, report.Landlock)
	return nil, nil
}

// rights gives the descriptors that a message brought.
func rights(oob []byte) []int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil
	}
	return fds
}
