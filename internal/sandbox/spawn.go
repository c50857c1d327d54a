package sandbox

// Creating the first process, in its namespaces.

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
)

// creator runs functions on one operating system thread that lives as long as this process. The
// kernel ends a sandbox when the thread that created it ends, not when the process does; Go's
// other threads may end at any time.
var creator = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// onCreator runs f there and waits for it.
func onCreator(f func()) {
	done := make(chan struct{})
	creator() <- func() { defer close(done); f() }
	<-done
}

// inside is the user and group in every sandbox.
const inside = 1000

// namespaces are all that a sandbox has of its own.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// needed are the capabilities, within its own user namespace only, with which the first process
// raises the walls. It gives them up before it becomes the program.
var needed = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_RAW, unix.CAP_SETPCAP,
	unix.CAP_SYS_RESOURCE}

// first is a running first process that waits for its configuration.
type first struct {
	pid int
	fd  *os.File      // pidfd: names the process even when its number is used again
	ctl *net.UnixConn // closes when it becomes the program
}

// spawn creates the first process. files follow standard error and the control socket. group is
// a descriptor of the cgroup (v2) to create it in, or -1.
func spawn(id identity, stdout, stderr *os.File, files []*os.File, group int) (*first, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	ours := os.NewFile(uintptr(pair[0]), "control")
	defer ours.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	if stdout == nil {
		stdout = null
	}
	if stderr == nil {
		stderr = null
	}
	all := append([]*os.File{null, stdout, stderr, theirs}, files...)
	path, image, err := initImage()
	if err != nil {
		return nil, err
	}
	if image != nil {
		path = fmt.Sprintf("/proc/self/fd/%d", len(all))
		all = append(all, image)
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Env: []string{"GOMAXPROCS=1", "GOGC=off"},
		Sys: id.attributes(&pidfd, group),
	}
	for _, f := range all {
		attr.Files = append(attr.Files, f.Fd())
	}
	var pid int
	onCreator(func() { pid, _, err = syscall.StartProcess(path, []string{walls.InitName}, attr) })
	runtime.KeepAlive(all)
	if err != nil {
		return nil, err
	}
	return newFirst(pid, pidfd, ours)
}

func newFirst(pid, pidfd int, ours *os.File) (*first, error) {
	f := &first{pid: pid}
	if pidfd < 0 {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return nil, errors.New("the kernel gave no pidfd")
	}
	// Non-blocking, so that waiting takes no thread.
	if err := unix.SetNonblock(pidfd, true); err != nil {
		return nil, err
	}
	f.fd = os.NewFile(uintptr(pidfd), "pidfd")
	c, err := net.FileConn(ours)
	if err != nil {
		f.kill()
		f.wait()
		return nil, err
	}
	f.ctl = c.(*net.UnixConn)
	return f, nil
}

// attributes says what the process is to be created with.
func (id identity) attributes(pidfd *int, group int) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Cloneflags: namespaces,
		Pdeathsig:  syscall.SIGKILL,
		// kill(2) and setpriority(2) find a process group by its members, whatever namespace the caller
		// is in: the supervisor must not be one of them.
		Setsid:      true,
		PidFD:       pidfd,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: inside, HostID: id.uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: inside, HostID: id.gid, Size: 1}},
		AmbientCaps: needed,
	}
	if id.reserved {
		// Root's supplementary groups are dropped with its uid. An ordinary user's can't be.
		a.GidMappingsEnableSetgroups = true
		a.Credential = &syscall.Credential{Uid: inside, Gid: inside}
	}
	if group >= 0 {
		a.UseCgroupFD, a.CgroupFD = true, group
	}
	return a
}

// kill ends the process and with it, as it is pid 1 of its namespace, every other in the sandbox.
func (f *first) kill() {
	raw, err := f.fd.SyscallConn()
	if err != nil {
		return // waited for already
	}
	raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
}

// wait reaps the process. It must be called once.
func (f *first) wait() (unix.WaitStatus, unix.Rusage) {
	var ws unix.WaitStatus
	var ru unix.Rusage
	reap := func(options int) bool {
		for {
			pid, err := unix.Wait4(f.pid, &ws, options, &ru)
			if err != unix.EINTR {
				return pid == f.pid || err != nil
			}
		}
	}
	raw, err := f.fd.SyscallConn()
	if err == nil {
		// A pidfd becomes readable when its process ends (pidfd_open(2)).
		err = raw.Read(func(uintptr) bool { return reap(unix.WNOHANG) })
	}
	if err != nil {
		reap(0)
	}
	f.fd.Close()
	return ws, ru
}
