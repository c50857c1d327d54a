package sandbox

// What a supervisor that was killed left of its groups. Who makes a group holds a shared lock on its
// directory (flock(2)), which the kernel takes back when the process ends, however it ends. A pid alone
// says too little: a Weir in another pid namespace that has the same groups is not to be seen in /proc.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errRemoved = errors.New("the group was removed meanwhile")

// claim makes a group and locks it. Who closes the file gives it up.
func claim(dir string) (*os.File, error) {
	err := os.Mkdir(dir, 0o700) // private: nobody else may lock it
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait *= 2 {
		f, err := lock(dir, unix.LOCK_SH)
		if err == nil {
			return f, nil
		}
		// Another Weir may have found it before it was locked. It doesn't take long to remove it.
		if busy := errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, errRemoved); !busy || wait > time.Second {
			unix.Rmdir(dir)
			return nil, err
		}
		time.Sleep(wait)
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
	}
}

// lock locks a group at once or not at all. Who has the exclusive lock is the only one to remove it.
func lock(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errRemoved
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	held, err1 := f.Stat()
	there, err2 := os.Lstat(dir)
	if err1 != nil || err2 != nil || !os.SameFile(held, there) {
		f.Close()
		return nil, errRemoved
	}
	return f, nil
}

// removeLeftOvers removes the groups of supervisors that are gone. Their sandboxes ended with them;
// should one not have, it ends now. In doubt a group is left alone.
func removeLeftOvers(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), groupPrefix)
		f := strings.Split(rest, "-")
		if !ok || len(f) != 3 || !e.IsDir() {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			continue
		}
		if start, err := startTimeOf(pid); err == nil && start == f[1] {
			continue
		}
		left := filepath.Join(dir, e.Name())
		held, err := lock(left, unix.LOCK_EX)
		if err != nil {
			continue // its supervisor lives, or that can't be found out
		}
		if f[2] != selfSuffix { // which holds no sandbox
			killAll(left)
		}
		unix.Rmdir(left)
		held.Close()
	}
}

// killAll kills what is in a group.
func killAll(dir string) {
	for _, process := range words(dir, "cgroup.procs") {
		pid, err := strconv.Atoi(process)
		if err != nil || pid <= 0 {
			continue // one of a pid namespace that can't be seen from here
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// The number may have become another process's before that, which is not in the group.
		if slices.Contains(words(dir, "cgroup.procs"), process) {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
}

// startTimeOf gives when a process started, in the kernel's own units (proc_pid_stat(5)): with
// its pid it names a process for good.
func startTimeOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const starttime = 19
	if len(f) <= starttime {
		return "", fmt.Errorf("/proc/%d/stat can't be read", pid)
	}
	return string(f[starttime]), nil
}
