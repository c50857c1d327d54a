package walls

// Limits of resources and the giving up of every privilege.

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ownSysctls bound what the kernel holds on behalf of a sandbox and no memory limit counts. They
// belong to its network namespace (ip-sysctl.rst: minimum, default and maximum of a socket's buffer,
// in bytes; without them, a thousand connections hold more than a gigabyte) and to its user namespace
// (inotify(7); the host's own limit is for all sandboxes together and may be that of this user).
var ownSysctls = []struct{ file, value string }{
	{"/proc/sys/net/ipv4/tcp_rmem", "4096 131072 262144"},
	{"/proc/sys/net/ipv4/tcp_wmem", "4096 16384 131072"},
	{maxInotify, "1"},
	{"/proc/sys/user/max_inotify_watches", "1024"},
}

const maxInotify = "/proc/sys/user/max_inotify_instances"

// sysctls sets them, while the host's /proc is still there and so are the capabilities that it takes.
func (r *raiser) sysctls() *Failure {
	if !r.cfg.Sysctls {
		return nil
	}
	for _, s := range ownSysctls {
		if err := setSysctl(s.file, s.value); err != nil {
			return failure(Sysctls, "writing "+s.file, err)
		}
	}
	if r.cfg.Slots > 0 { // each child may watch files, as a program by itself may
		if err := setSysctl(maxInotify, fmt.Sprint(r.cfg.Slots)); err != nil {
			return failure(Sysctls, "writing "+maxInotify, err)
		}
	}
	return nil
}

// setSysctl writes a file of the kernel's; it creates none.
func setSysctl(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// limits sets the resource limits, but for RLIMIT_DATA, and the processors to run on.
func (r *raiser) limits() *Failure {
	if len(r.cfg.Pinned) > 0 {
		var set unix.CPUSet
		for _, cpu := range r.cfg.Pinned {
			set.Set(cpu)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return failure(Resources, "processors", err)
		}
	}
	for _, l := range r.cfg.Rlimits {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.Resource, &now); err != nil {
			return failure(Resources, fmt.Sprintf("rlimit %d", l.Resource), err)
		}
		v := min(l.Value, now.Max) // the host's own limit may be lower
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return failure(Resources, fmt.Sprintf("rlimit %d", l.Resource), err)
		}
	}
	return nil
}

// From linux/securebits.h: no uid gives capabilities, setuid(2) changes none, none can be made
// ambient, and none of that can be switched back.
const secureBits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | // NOROOT, NO_SETUID_FIXUP, each with its lock
	1<<5 | // KEEP_CAPS_LOCKED
	1<<6 | 1<<7 // NO_CAP_AMBIENT_RAISE with its lock

// privileges gives up every capability, for good.
func (r *raiser) privileges() *Failure {
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, secureBits, 0, 0, 0); err != nil {
		return failure(Privileges, "securebits", err)
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL && c > 0 {
			break // past the last capability that this kernel knows
		}
		if err != nil {
			return failure(Privileges, fmt.Sprintf("bounding set, capability %d", c), err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return failure(Privileges, "ambient set", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		return failure(Privileges, "capabilities", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return failure(Privileges, "no_new_privs", err)
	}
	return nil
}
