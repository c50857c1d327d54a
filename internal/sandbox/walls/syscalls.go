package walls

// The tables of the filter: what Node and ordinary programs need, what is refused with EPERM
// because it exists everywhere and ENOSYS would be a lie, and what only an attack tries.

import "golang.org/x/sys/unix"

// allowed are the calls that can do no harm behind the other walls, on every architecture.
var allowed = []int{
	// files
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_READV, unix.SYS_WRITEV,
	unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_OPENAT,
	unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_STATFS, unix.SYS_FSTATFS,
	unix.SYS_LSEEK, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_PIPE2, unix.SYS_DUP, unix.SYS_DUP3,
	unix.SYS_FCNTL, unix.SYS_FLOCK, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_TRUNCATE, unix.SYS_FTRUNCATE,
	unix.SYS_FALLOCATE, unix.SYS_FADVISE64, unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_CHDIR, unix.SYS_FCHDIR,
	unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT, unix.SYS_LINKAT, unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT,
	unix.SYS_READLINKAT, unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UMASK,
	unix.SYS_UTIMENSAT, unix.SYS_SENDFILE, unix.SYS_COPY_FILE_RANGE, unix.SYS_INOTIFY_INIT1,
	unix.SYS_INOTIFY_ADD_WATCH, unix.SYS_INOTIFY_RM_WATCH, unix.SYS_GETXATTR, unix.SYS_LGETXATTR,
	unix.SYS_FGETXATTR, unix.SYS_LISTXATTR, unix.SYS_LLISTXATTR, unix.SYS_FLISTXATTR,
	// memory
	unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_BRK,
	unix.SYS_MSYNC, unix.SYS_MLOCK, unix.SYS_MUNLOCK, unix.SYS_MEMBARRIER, unix.SYS_PKEY_ALLOC, unix.SYS_PKEY_FREE,
	unix.SYS_PKEY_MPROTECT,
	// waiting
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT,
	unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME,
	unix.SYS_TIMERFD_GETTIME, unix.SYS_SIGNALFD4, unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_SETITIMER, unix.SYS_GETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_GETTIME,
	unix.SYS_TIMER_GETOVERRUN, unix.SYS_TIMER_DELETE,
	// network: which sockets there can be is decided by socket()
	unix.SYS_CONNECT, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG,
	unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG, unix.SYS_SHUTDOWN, unix.SYS_BIND, unix.SYS_LISTEN,
	unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT,
	// signals: they reach only the sandbox's own processes
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGSUSPEND,
	unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_SIGPENDING, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL, unix.SYS_KILL,
	unix.SYS_TKILL, unix.SYS_TGKILL,
	// itself. Executing is bounded by Landlock and the mounts; with records the supervisor lets only
	// children do it, see attempts.go there.
	unix.SYS_EXECVE, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_GETPID,
	unix.SYS_GETPPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETRESUID, unix.SYS_GETRESGID, unix.SYS_GETGROUPS, unix.SYS_GETPGID, unix.SYS_SETPGID, unix.SYS_GETSID,
	unix.SYS_SETSID, unix.SYS_GETPRIORITY, unix.SYS_SETPRIORITY, unix.SYS_CAPGET, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_GET_ROBUST_LIST, unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ, unix.SYS_GETRUSAGE, unix.SYS_TIMES,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SCHED_GETPARAM, unix.SYS_SCHED_GETSCHEDULER,
	unix.SYS_SCHED_GET_PRIORITY_MAX, unix.SYS_SCHED_GET_PRIORITY_MIN, unix.SYS_GETCPU,
	// the machine
	unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETTIMEOFDAY, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES,
	unix.SYS_GETRANDOM,
}

// refused answer EPERM: calls that change identity, the clock or the machine.
var refused = []int{
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_CAPSET, unix.SYS_MKNODAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_CLOCK_SETTIME, unix.SYS_SETTIMEOFDAY,
	unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SYSLOG,
	unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETATTR, unix.SYS_IOPRIO_SET,
	unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_SYNC,
	unix.SYS_SYNCFS, unix.SYS_MLOCKALL, unix.SYS_QUOTACTL, unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL,
	unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV,
	unix.SYS_MSGCTL, unix.SYS_MQ_OPEN, unix.SYS_MQ_UNLINK, unix.SYS_VMSPLICE,
}

// openat2 is in no list: its mode stands in memory, where a filter can't see it.

type call struct {
	nr    int
	name  string
	errno unix.Errno
}

// recorded are the calls that no ordinary function makes: ways to run code, to reach another
// process, or to change the walls.
var recorded = []call{
	{unix.SYS_EXECVEAT, "execveat", unix.EPERM}, // with memfd_create it runs what no file holds
	{unix.SYS_MEMFD_CREATE, "memfd_create", unix.EPERM},
	{unix.SYS_MEMFD_SECRET, "memfd_secret", unix.EPERM},
	{unix.SYS_PTRACE, "ptrace", unix.EPERM},
	{unix.SYS_PROCESS_VM_READV, "process_vm_readv", unix.EPERM},
	{unix.SYS_PROCESS_VM_WRITEV, "process_vm_writev", unix.EPERM},
	{unix.SYS_PIDFD_GETFD, "pidfd_getfd", unix.EPERM},
	{unix.SYS_KCMP, "kcmp", unix.EPERM},
	{unix.SYS_UNSHARE, "unshare", unix.EPERM},
	{unix.SYS_SETNS, "setns", unix.EPERM},
	{unix.SYS_MOUNT, "mount", unix.EPERM},
	{unix.SYS_UMOUNT2, "umount2", unix.EPERM},
	{unix.SYS_PIVOT_ROOT, "pivot_root", unix.EPERM},
	{unix.SYS_CHROOT, "chroot", unix.EPERM},
	{unix.SYS_OPEN_TREE, "open_tree", unix.EPERM},
	{unix.SYS_MOVE_MOUNT, "move_mount", unix.EPERM},
	{unix.SYS_FSOPEN, "fsopen", unix.EPERM},
	{unix.SYS_FSMOUNT, "fsmount", unix.EPERM},
	{unix.SYS_FSPICK, "fspick", unix.EPERM},
	{unix.SYS_MOUNT_SETATTR, "mount_setattr", unix.EPERM},
	{unix.SYS_OPEN_BY_HANDLE_AT, "open_by_handle_at", unix.EPERM},
	{unix.SYS_NAME_TO_HANDLE_AT, "name_to_handle_at", unix.EPERM},
	{unix.SYS_FANOTIFY_INIT, "fanotify_init", unix.EPERM},
	{unix.SYS_SECCOMP, "seccomp", unix.EPERM},
	{unix.SYS_BPF, "bpf", unix.EPERM},
	{unix.SYS_PERF_EVENT_OPEN, "perf_event_open", unix.EPERM},
	{unix.SYS_USERFAULTFD, "userfaultfd", unix.EPERM},
	{unix.SYS_KEYCTL, "keyctl", unix.EPERM},
	{unix.SYS_ADD_KEY, "add_key", unix.EPERM},
	{unix.SYS_REQUEST_KEY, "request_key", unix.EPERM},
	{unix.SYS_INIT_MODULE, "init_module", unix.EPERM},
	{unix.SYS_FINIT_MODULE, "finit_module", unix.EPERM},
	{unix.SYS_DELETE_MODULE, "delete_module", unix.EPERM},
	{unix.SYS_KEXEC_LOAD, "kexec_load", unix.EPERM},
	{unix.SYS_REBOOT, "reboot", unix.EPERM},
	{unix.SYS_SWAPON, "swapon", unix.EPERM},
	{unix.SYS_SWAPOFF, "swapoff", unix.EPERM},
	{unix.SYS_ACCT, "acct", unix.EPERM},
}

// io_uring does its work past this filter. It is in no list, so it answers ENOSYS, and libuv goes
// without. It is not recorded either: libuv of Node 22 and 24 tries it at every start.

// forkErrno is what starting a child process answers. fork(2) doesn't know EACCES, but Node
// reports it as the error of the child that was asked for, while EPERM makes its child_process
// functions throw, which no caller expects. clone3, whose arguments a filter can't see, answers
// ENOSYS, so that the C library uses clone.
const forkErrno = unix.EACCES

// prctls are the operations that change or tell only what is the thread's own. Among those left
// out: PR_SET_PDEATHSIG, which ties the program's life to the supervisor's; PR_SET_SECCOMP;
// PR_SET_MM; PR_SET_PTRACER; PR_SET_SYSCALL_USER_DISPATCH; everything about capabilities.
var prctls = []uint32{
	unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_VMA, unix.PR_GET_DUMPABLE, unix.PR_SET_DUMPABLE,
	unix.PR_GET_PDEATHSIG, unix.PR_GET_SECCOMP, unix.PR_GET_NO_NEW_PRIVS, unix.PR_SET_NO_NEW_PRIVS,
	unix.PR_CAPBSET_READ, unix.PR_GET_KEEPCAPS, unix.PR_GET_SECUREBITS, unix.PR_GET_TIMERSLACK,
	unix.PR_SET_TIMERSLACK, unix.PR_GET_THP_DISABLE, unix.PR_SET_THP_DISABLE, unix.PR_GET_SPECULATION_CTRL,
	unix.PR_GET_TID_ADDRESS,
}

// ioctls are the requests that files, terminals and sockets get from ordinary programs. A request
// is 32 bits wide. Pushing input into a terminal (TIOCSTI, TIOCLINUX) is not among them.
var ioctls = []uint32{
	fionread, fionbio, fioasync, fioclex, fionclex,
	unix.TCGETS, unix.TCGETS2, unix.TCSETS, unix.TCSETSW, unix.TCSETSF, unix.TIOCGWINSZ, unix.TIOCGPGRP, unix.TIOCOUTQ,
	unix.SIOCGIFNAME, unix.SIOCGIFCONF, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR, unix.SIOCGIFNETMASK, unix.SIOCGIFMTU,
	unix.SIOCGIFHWADDR, unix.SIOCGIFINDEX, unix.SIOCGIFBRDADDR,
	unix.FICLONE, unix.FICLONERANGE,
}

// From asm-generic/ioctls.h; golang.org/x/sys lacks them.
const (
	fionread = 0x541b
	fionbio  = 0x5421
	fioasync = 0x5452
	fioclex  = 0x5451
	fionclex = 0x5450
)
