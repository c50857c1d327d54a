package instance

// A process with Node.js and the shim in its sandbox, before and after it knows its function.

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"reflect"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/egress"
	"github.com/weir-run/weir/internal/runtime"
	"github.com/weir-run/weir/internal/sandbox"
	forkaddon "github.com/weir-run/weir/internal/sandbox/zygote"
)

// process has no function until an instance makes it its own, which none gives back.
type process struct {
	proc    program
	egress  *egress.Sandbox
	channel *os.File // our end, until the instance dials
	logs    *logs
	task    *task   // what it sees as /var/task, nil if that is a bundle itself
	zygote  *zygote // that it was forked from, nil: none

	dead   atomic.Bool // the process ended or the channel is spoilt
	exit   atomic.Pointer[sandbox.Exit]
	exited chan struct{}
}

// program is what runs: a *sandbox.Process, or a *sandbox.Child of one.
type program interface {
	TCP() []net.Listener
	DNS() []net.PacketConn
	UDP() []*sandbox.Datagrams
	RefusedDatagrams() <-chan netip.AddrPort
	Attempts() <-chan sandbox.Attempt
	Dropped() uint64
	Usage() (sandbox.Usage, error)
	TmpChanged() (time.Time, error)
	Libraries() ([]string, error)
	Kill()
	Wait() sandbox.Exit
}

// profile is all of a sandbox that must be known before it starts. Functions with equal profiles can take
// over each other's blanks.
type profile struct {
	spec   sandbox.Spec // without what every process has of its own
	ownTLS bool
}

// equal compares all of two profiles, so that nothing can be forgotten.
func (pr *profile) equal(other *profile) bool { return reflect.DeepEqual(pr, other) }

// startProcess starts a sandbox of this profile, and waits for neither Node nor the shim. code is put into it,
// if it is known already.
func (f *Fleet) startProcess(ctx context.Context, pr *profile, code *runtime.Code) (p *process, err error) {
	p = &process{exited: make(chan struct{})}
	if p.egress, err = f.o.Egress.Sandbox(pr.ownTLS); err != nil {
		return nil, fmt.Errorf("making the sandbox's CA: %w", err)
	}
	ours, theirs, err := socketpair()
	if err != nil {
		p.egress.Close()
		return nil, err
	}
	defer theirs.Close()
	if p.logs, err = newLogs(); err != nil {
		p.egress.Close()
		ours.Close()
		return nil, err
	}
	s := pr.spec
	s.Files, s.Stdout, s.Stderr = []*os.File{theirs}, p.logs.stdout, p.logs.stderr
	s.Content = maps.Clone(runtime.Content())
	s.Content[runtime.CertPath] = p.egress.CertFile()
	if s.Zygote > 0 {
		s.Content[forkaddon.Path] = f.addon
	}
	if code != nil {
		s.Content[runtime.CodePath] = code.Data
	}
	proc, err := f.o.Launcher.Start(ctx, &s)
	p.logs.started()
	if err != nil {
		p.egress.Close()
		ours.Close()
		return nil, err
	}
	p.proc, p.channel = proc, ours
	go p.reap()
	return p, nil
}

// reap waits for the process, so that its end is known at once and leaves no zombie.
func (p *process) reap() {
	exit := p.proc.Wait()
	p.exit.Store(&exit)
	p.dead.Store(true)
	close(p.exited)
}

// end kills the process and frees what it held. It returns when nothing of it is left. It must be called
// once.
func (p *process) end() {
	p.dead.Store(true)
	p.proc.Kill()
	<-p.exited
	p.abandon()
	p.task.remove()
}

// abandon frees what the supervisor held for a process that has ended, or never was.
func (p *process) abandon() {
	if p.channel != nil {
		p.channel.Close()
	}
	p.egress.Close()
	if p.logs != nil {
		p.logs.close()
	}
	if p.zygote != nil {
		p.zygote.release()
	}
}

// datagrams gives the sockets for datagrams as the egress sees them.
func (p *process) datagrams() []egress.Datagrams {
	var list []egress.Datagrams
	for _, d := range p.proc.UDP() {
		list = append(list, d)
	}
	return list
}

// socketpair makes the channel: our end and the one that becomes fd 3 of the program.
func socketpair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "channel"), os.NewFile(uintptr(fds[1]), "channel"), nil
}
