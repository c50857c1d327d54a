package sandbox

// What a machine can do, in words: the state of each wall, the error of one that is missing, and
// how to get it.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/sandbox/walls"
	"github.com/weir-run/weir/internal/weir"
)

// survey collects what the probes found.
type survey struct {
	cgroups  *cgroups
	report   *walls.Report // of the last probe, nil if it didn't come that far
	failures map[string]walls.Failure
}

func (s *survey) add(f walls.Failure) {
	if _, ok := s.failures[f.Wall]; !ok {
		s.failures[f.Wall] = f
	}
}

// refusal carries the walls' states in the error of NewLauncher.
type refusal struct {
	walls []Wall
	cause walls.Failure
}

func (r *refusal) Error() string { return r.cause.What + ": " + r.cause.Text }

// required are the walls without which nothing runs, in the order in which they are named, and
// what holds there.
var required = []struct {
	name   string
	detail string
	of     []string // the walls of the first process that make it up
}{
	{walls.Namespaces, "its own user, process, mount, network, IPC and host name space", []string{walls.Namespaces}},
	{walls.Capture, "every TCP port and all DNS (AnyIP, nftables TPROXY)", []string{walls.Network}},
	{walls.Mounts, "a read-only root that holds only what was granted", []string{walls.Mounts, walls.Program, walls.Grants}},
	{walls.Landlock, "", []string{walls.Landlock}},
	{walls.Seccomp, "an allowlist of system calls; no capabilities, no_new_privs", []string{walls.Seccomp, walls.Privileges, walls.Resources}},
}

// walls gives the state of each wall.
func (s *survey) walls() []Wall {
	var out []Wall
	for _, r := range required {
		w := Wall{Name: r.name, State: InForce, Detail: r.detail}
		for _, part := range r.of {
			if f, ok := s.failures[part]; ok {
				w.State, w.Detail, w.Remedy = Missing, f.What+": "+f.Text, remedy(f)
			}
		}
		switch {
		case s.report == nil && w.State == InForce:
			w.State, w.Detail = Missing, "not tried"
		case w.State == Missing:
		case r.name == walls.Capture:
			s.fallback(&w, walls.Capture, "only DNS, ports 80 and 443 and those that rules name are caught; others are refused without a record, in monitor mode, too")
		case r.name == walls.Landlock:
			w.Detail = fmt.Sprintf("ABI %d", s.report.Landlock)
		}
		out = append(out, w)
	}
	if s.report != nil {
		procfs := Wall{Name: walls.Procfs, State: InForce, Detail: "each sandbox sees itself and its children"}
		s.fallback(&procfs, walls.Procfs, "functions run without /proc/self; process.memoryUsage() fails there")
		records := Wall{Name: walls.Records, State: InForce, Detail: "refused system calls are recorded"}
		s.fallback(&records, walls.Records, "system calls are refused, but not recorded; a function with native libraries can outlive Weir if Weir is killed")
		sysctls := Wall{Name: walls.Sysctls, State: InForce, Detail: "buffers of connections and watches of files are bounded"}
		s.fallback(&sysctls, walls.Sysctls, "files can't be watched, and only the host's tcp_rmem and tcp_wmem bound what connections hold")
		out = append(out, procfs, records, sysctls)
		if _, ok := s.failures[walls.Capture]; !ok {
			datagrams := Wall{Name: walls.UDPRecords, State: InForce, Detail: "refused datagrams are recorded"}
			s.fallback(&datagrams, walls.UDPRecords, "datagrams to ports that no udp rule names are refused, but not recorded")
			out = append(out, datagrams)
		}
		forking := Wall{Name: walls.Forking, State: InForce, Detail: "instances can be forked from a process that has loaded their function"}
		s.fallback(&forking, walls.Forking, "each instance is started by itself, which takes longer")
		for _, needed := range []string{walls.Capture, walls.Procfs, walls.Records} {
			s.fallback(&forking, needed, "each instance is started by itself, which takes longer")
		}
		out = append(out, forking)
	}
	return append(out, s.cgroups.walls()...)
}

// fallback changes w if the wall of that name has failed.
func (s *survey) fallback(w *Wall, name, detail string) {
	if f, ok := s.failures[name]; ok {
		w.State = Fallback
		w.Detail = fmt.Sprintf("%s (%s: %s)", detail, f.What, f.Text)
		w.Remedy = remedy(f)
	}
}

// refusal gives the error if a required wall is missing. The first failure counts.
func (s *survey) refusal(all []Wall) error {
	for _, r := range required {
		for _, part := range r.of {
			if f, ok := s.failures[part]; ok {
				return &weir.Error{Code: weir.NoWall, Message: r.name + " can't be raised on this machine",
					Remedy: remedy(f), Err: &refusal{walls: all, cause: f}}
			}
		}
	}
	return nil
}

// asFailure gives the failure in an error of a probe; any other error is the namespaces'.
func asFailure(err error) walls.Failure {
	var f *walls.Failure
	if errors.As(err, &f) {
		return *f
	}
	return walls.Failure{Wall: walls.Namespaces, What: "starting a first process", Text: err.Error()}
}

// explain makes the user's error of a failed start.
func explain(name string, err error) error {
	var known *weir.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &weir.Error{Code: weir.TimedOut, Message: "sandbox " + name + " can't be started", Err: err}
	}
	var f *walls.Failure
	if !errors.As(err, &f) {
		return &weir.Error{Code: weir.NoWall, Message: "sandbox " + name + " can't be started", Err: err}
	}
	e := &weir.Error{Code: weir.NoWall, Message: fmt.Sprintf("sandbox %s can't be started: %s: %s", name, f.Wall, f.What),
		Err: errors.New(f.Text), Remedy: remedy(*f)}
	if f.Wall == walls.Grants || f.Wall == walls.Program {
		e.Code = weir.Invalid
	}
	return e
}

func errnoOf(err error) int {
	var errno unix.Errno
	errors.As(err, &errno)
	return int(errno)
}

// remedy says what to do about a failure, from what this machine's settings are.
func remedy(f walls.Failure) string {
	errno := unix.Errno(f.Errno)
	denied := errno == unix.EPERM || errno == unix.EACCES
	switch f.Wall {
	case walls.Namespaces, walls.Mounts, walls.Network, walls.Privileges:
		if f.Wall != walls.Namespaces && !denied {
			return ""
		}
		return namespaceRemedy()
	case walls.Capture:
		return "load nf_tables and nft_tproxy (modprobe nft_tproxy nft_reject_inet), or use a kernel that has them"
	case walls.Procfs:
		return "in a container, don't mask /proc (docker run --security-opt systempaths=unconfined)"
	case walls.Landlock:
		if errno == unix.EOPNOTSUPP {
			return "add landlock to the kernel's lsm= parameter and reboot"
		}
		if errno == unix.ENOSYS {
			return "use Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK; in a container, allow the landlock calls"
		}
	case walls.Seccomp:
		return "use a kernel with CONFIG_SECCOMP_FILTER; in a container, allow the seccomp call"
	case walls.Records:
		return "use Linux 5.9 or later, and no outer sandbox that listens to system calls itself"
	case walls.UDPRecords:
		return "load nft_log, nft_limit and nfnetlink_log, or use a kernel that has them"
	case walls.Forking:
		return "use Linux 6.12 or later with Landlock, nft_socket and a writable /proc/sys; all else works without"
	case walls.Sysctls:
		return "mount /proc/sys writable (docker run --security-opt systempaths=unconfined)"
	case walls.Grants, walls.Program:
		if denied {
			return "let the user that functions run as read it (chmod o+r) and reach it (chmod o+x on each directory above)"
		}
	}
	return ""
}

// namespaceRemedy looks at what commonly forbids user namespaces.
func namespaceRemedy() string {
	var out []string
	for _, s := range []struct{ file, bad, remedy string }{
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"},
		{"/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give weir an AppArmor profile with userns"},
	} {
		if b, err := os.ReadFile(s.file); err == nil && string(bytes.TrimSpace(b)) == s.bad {
			out = append(out, s.remedy)
		}
	}
	if len(out) == 0 {
		return "allow user namespaces: in a container, docker run --security-opt seccomp=unconfined " +
			"--security-opt apparmor=unconfined --security-opt systempaths=unconfined; else see user_namespaces(7)"
	}
	return strings.Join(out, "; ")
}
