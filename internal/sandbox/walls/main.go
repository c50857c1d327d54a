package walls

// The order in which walls are raised, and the step from the first process to the program.

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Main raises the walls and becomes the program; it never returns. It must run before anything
// else in the process.
//
// Threads. The Go runtime has several; capabilities, no_new_privs, Landlock, seccomp and the
// parent-death signal belong to one thread each. All of them are set on this one, which is locked
// and which calls execve: the kernel then ends every other thread, and the program starts from
// this thread's credentials alone. No other thread runs anything but the Go runtime until then.
func Main() {
	runtime.LockOSThread()
	ctl, err := openControl()
	if err != nil {
		fmt.Fprintln(os.Stderr, InitName+": "+err.Error())
		unix.Exit(2)
	}
	cfg, err := ctl.config()
	if err != nil {
		stop(ctl, failure(Program, "configuration", err))
	}
	r := &raiser{ctl: ctl, cfg: cfg}
	r.raise()
	if cfg.Probe {
		r.report.Done = true
		ctl.report(&r.report, nil)
		unix.Exit(0)
	}
	if cfg.zygote() && !cfg.Inner {
		stop(ctl, r.becomeGate())
	}
	stop(ctl, r.become())
}

// stop reports why there will be no program.
func stop(ctl *control, f *Failure) {
	// If even that can't be said, the supervisor sees the process end.
	ctl.report(&Report{Failures: []Failure{*f}}, nil)
	unix.Exit(125)
}

type raiser struct {
	ctl     *control
	cfg     *Config
	report  Report
	program program
}

// raise goes through the walls. A failure ends the process, but for a probe, which goes on to
// find all that is missing.
func (r *raiser) raise() {
	shared := []func() *Failure{r.begin, r.network, r.sysctls, r.mounts, r.tryTmp}
	own := []func() *Failure{r.prepare, r.limits, r.privileges, r.landlock, r.seccomp}
	steps := slices.Concat(shared, own)
	switch {
	case r.cfg.Inner:
		steps = slices.Concat([]func() *Failure{r.arrange}, own)
	case r.cfg.zygote():
		steps = shared
	}
	for _, step := range steps {
		if f := step(); f != nil {
			r.failed(f)
		}
	}
}

func (r *raiser) failed(f *Failure) {
	if !r.cfg.Probe {
		stop(r.ctl, f)
	}
	r.report.Failures = append(r.report.Failures, *f)
}

// arrange puts the descriptors where the program expects them.
func (r *raiser) arrange() *Failure {
	if err := r.ctl.arrange(r.cfg.Files); err != nil {
		return failure(Program, "descriptors", err)
	}
	return nil
}

// begin makes this process hard to reach from outside and bound to its supervisor's life.
func (r *raiser) begin() *Failure {
	if f := r.arrange(); f != nil {
		return f
	}
	// The kernel clears the signal for every thread but the first, so it is set again here: this
	// thread becomes the program. If the supervisor died before this line, reports fail.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return failure(Privileges, "parent-death signal", err)
	}
	// When memory runs out on the whole machine, a function goes before anything else. Below, the
	// program can't write this file: Landlock.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("800"), 0); err != nil {
		return failure(Resources, "oom_score_adj", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return failure(Privileges, "dumpable", err)
	}
	if err := unix.Sethostname([]byte(r.cfg.Hostname)); err != nil {
		return failure(Namespaces, "hostname", err)
	}
	unix.Umask(0o022)
	return nil
}

// program is a command line in the form of execve(2), made before memory is limited.
type program struct {
	path       *byte
	argv, envv []*byte
}

func (r *raiser) prepare() *Failure {
	if r.cfg.Probe {
		return nil
	}
	var err error
	p := &r.program
	if p.path, err = unix.BytePtrFromString(r.cfg.Argv[0]); err != nil {
		return failure(Program, "path", err)
	}
	if p.argv, err = pointers(r.cfg.Argv); err != nil {
		return failure(Program, "arguments", err)
	}
	if p.envv, err = pointers(r.cfg.Env); err != nil {
		return failure(Program, "environment", err)
	}
	return nil
}

// pointers gives the null-terminated array that execve(2) wants.
func pointers(ss []string) ([]*byte, error) {
	out := make([]*byte, 0, len(ss)+1)
	for _, s := range ss {
		p, err := unix.BytePtrFromString(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return append(out, nil), nil
}

// become executes the program. It returns only if that fails.
func (r *raiser) become() *Failure {
	if err := seal(r.cfg.Files); err != nil {
		return failure(Privileges, "descriptors", err)
	}
	r.report.Done = true
	if err := r.ctl.report(&r.report, nil); err != nil {
		unix.Exit(125) // the supervisor is gone
	}
	// From here on nothing may allocate: the limit counts the Go runtime's memory too.
	if r.cfg.Data != 0 {
		l := unix.Rlimit{Cur: r.cfg.Data, Max: r.cfg.Data}
		_, _, errno := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA, uintptr(unsafe.Pointer(&l)), 0, 0, 0)
		if errno != 0 {
			return failure(Resources, "RLIMIT_DATA", errno)
		}
	}
	p := &r.program
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(p.path)),
		uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.envv[0])))
	return failure(Program, "executing "+r.cfg.Argv[0], errno)
}
