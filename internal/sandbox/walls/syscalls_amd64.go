package walls

// The calls that only amd64 has, mostly older forms of others.

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

var allowedHere = []int{
	unix.SYS_OPEN, unix.SYS_CREAT, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_NEWFSTATAT, unix.SYS_ACCESS,
	unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_PIPE, unix.SYS_DUP2, unix.SYS_GETDENTS, unix.SYS_RENAME,
	unix.SYS_RENAMEAT, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_LINK, unix.SYS_UNLINK, unix.SYS_SYMLINK,
	unix.SYS_READLINK, unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN, unix.SYS_UTIME, unix.SYS_UTIMES,
	unix.SYS_FUTIMESAT, unix.SYS_EPOLL_CREATE, unix.SYS_EPOLL_WAIT, unix.SYS_EVENTFD, unix.SYS_SIGNALFD,
	unix.SYS_INOTIFY_INIT, unix.SYS_ALARM, unix.SYS_PAUSE, unix.SYS_TIME, unix.SYS_GETPGRP, unix.SYS_GETRLIMIT,
	unix.SYS_SETRLIMIT, unix.SYS_ARCH_PRCTL,
}

var refusedHere = []int{unix.SYS_MKNOD, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT, unix.SYS_VHANGUP}

var recordedHere = []call{
	{unix.SYS_KEXEC_FILE_LOAD, "kexec_file_load", unix.EPERM},
}

// modeHere are the calls that give a file its mode.
var modeHere = map[int]modeArgument{
	unix.SYS_OPEN: {2, 1}, unix.SYS_OPENAT: {3, 2}, unix.SYS_CREAT: {1, -1},
	unix.SYS_CHMOD: {1, -1}, unix.SYS_FCHMOD: {1, -1}, unix.SYS_FCHMODAT: {2, -1},
}

// inotifyHere are the calls that begin to watch files.
var inotifyHere = []int{unix.SYS_INOTIFY_INIT, unix.SYS_INOTIFY_INIT1}

// forksHere are the calls besides clone that start a process.
var forksHere = map[int]string{unix.SYS_FORK: "fork", unix.SYS_VFORK: "vfork"}
