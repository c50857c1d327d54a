package build

// esbuild looks into every folder that a computed import may mean, and some ways to write one lead anywhere. It
// asks nobody, so the kernel is asked to keep it in: a child that bundles lists the site's folders only.

import (
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weir-run/weir/internal/site"
)

// listed gives the folders that a child may list, with all that is in them: the site's, and those above it in
// which packages are installed.
func listed(s *site.Site, scratch string) []string {
	folders := []string{s.Root, s.Base, s.Dir}
	if scratch != "" {
		folders = append(folders, scratch)
	}
	for d := s.Root; d != filepath.Dir(d); d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(filepath.Dir(d), "node_modules")); err == nil && info.IsDir() {
			folders = append(folders, filepath.Dir(d)) // esbuild finds it only there
		}
	}
	return folders
}

// confine takes from the calling thread, and what it starts, the right to list other folders than these
// (landlock(7)). It leaves it where the kernel has no Landlock, or the container forbids it: there no function runs,
// and the error that says so has the remedy.
func confine(folders []string) error {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_READ_DIR}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
	switch errno {
	case 0:
	case unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM:
		return nil
	default:
		return os.NewSyscallError("landlock_create_ruleset", errno)
	}
	defer unix.Close(int(rules))
	for _, name := range folders {
		if err := allowList(rules, name); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

func allowList(rules uintptr, name string) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer unix.Close(fd)
	// The kernel's structure is packed; Go's has padding behind it only.
	attr := unix.LandlockPathBeneathAttr{Allowed_access: unix.LANDLOCK_ACCESS_FS_READ_DIR, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_add_rule", errno)
	}
	return nil
}
