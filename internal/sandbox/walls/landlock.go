package walls

// Landlock: what the mounts already say, said once more by a second mechanism of the kernel, and
// what they can't say: which files may be executed, which part of /tmp may be written. It also
// confines signals and abstract unix sockets (landlock(7)).

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// fileRights are those that a rule on a file, not a directory, may have.
	fileRights = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// writeRights leave out device files and sockets: nothing inside may make them.
	writeRights = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_REFER
)

// handled gives every right that this ABI knows: what no rule allows is denied.
func handled(abi int) uint64 {
	const abi1 = 1<<13 - 1
	rights := uint64(abi1)
	if abi >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		rights |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return rights
}

// landlock restricts this thread, and so the program, for good.
func (r *raiser) landlock() *Failure {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return failure(Landlock, "asking for its version", errno)
	}
	rs := ruleset{rights: handled(int(abi))}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: rs.rights}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	// Fields that an older kernel doesn't know are zero, which it accepts.
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return failure(Landlock, "making a ruleset", errno)
	}
	rs.fd = int(fd)
	defer unix.Close(rs.fd)
	if f := r.landlockRules(&rs); f != nil {
		return f
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return failure(Landlock, "restricting this process", errno)
	}
	r.report.Landlock = int(abi)
	if r.cfg.Slots > 0 {
		return r.scope(int(abi))
	}
	return nil
}

// scopeABI is the first version of Landlock that confines signals.
const scopeABI = 6

// scope leaves a ruleset at ScopeFD in which each child of a zygote confines itself once more. It forbids
// no file; but two processes of which each has such a domain of its own reach each other neither by a
// signal nor by what ptrace(2) governs, as /proc does.
func (r *raiser) scope(abi int) *Failure {
	if abi < scopeABI {
		return failure(Forking, "confining signals with Landlock", fmt.Errorf("ABI %d is too old", abi))
	}
	attr := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return failure(Forking, "making a ruleset", errno)
	}
	defer unix.Close(int(fd))
	if r.cfg.Probe {
		return nil
	}
	if err := unix.Dup3(int(fd), ScopeFD, 0); err != nil {
		return failure(Forking, "placing a ruleset", err)
	}
	return nil
}

func (r *raiser) landlockRules(rs *ruleset) *Failure {
	allow := func(path string, rights uint64) *Failure {
		if err := rs.allow(path, rights); err != nil {
			return failure(Landlock, "allowing "+path, err)
		}
		return nil
	}
	if f := allow("/", readRights); f != nil {
		return f
	}
	for _, d := range devices {
		if f := allow(d, unix.LANDLOCK_ACCESS_FS_WRITE_FILE|unix.LANDLOCK_ACCESS_FS_TRUNCATE|unix.LANDLOCK_ACCESS_FS_IOCTL_DEV); f != nil {
			return f
		}
	}
	for _, p := range r.cfg.Execute {
		if f := allow(p, unix.LANDLOCK_ACCESS_FS_EXECUTE); f != nil {
			return f
		}
	}
	writable := r.cfg.TmpWritable
	if r.cfg.zygote() && len(writable) > 0 {
		writable = []string{realProc} // each child's /tmp lies there, see tmpOf; all else is mounted read-only
	}
	for _, p := range writable {
		if f := allow(strings.TrimSuffix(p, "/"), writeRights); f != nil {
			return f
		}
	}
	for _, b := range r.cfg.Binds {
		if b.Write {
			if f := allow(b.Target, writeRights); f != nil {
				return f
			}
		}
	}
	return nil
}

type ruleset struct {
	fd     int
	rights uint64
}

// allow adds a rule for a file, or a directory and all that is in it.
func (rs *ruleset) allow(path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	// The kernel's structure is packed: 12 bytes. Go's has 4 bytes of padding behind them.
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights & rs.rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rs.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	return nil
}
