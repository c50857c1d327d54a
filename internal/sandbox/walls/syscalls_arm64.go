package walls

// The calls that arm64 has and amd64 has in another form.

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

var allowedHere = []int{unix.SYS_FSTATAT, unix.SYS_RENAMEAT, unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT}

var refusedHere = []int{unix.SYS_VHANGUP}

var recordedHere = []call{
	{unix.SYS_KEXEC_FILE_LOAD, "kexec_file_load", unix.EPERM},
}

// modeHere are the calls that give a file its mode.
var modeHere = map[int]modeArgument{unix.SYS_OPENAT: {3, 2}, unix.SYS_FCHMOD: {1, -1}, unix.SYS_FCHMODAT: {2, -1}}

// inotifyHere are the calls that begin to watch files.
var inotifyHere = []int{unix.SYS_INOTIFY_INIT1}

// forksHere are the calls besides clone that start a process: none here.
var forksHere = map[int]string{}
