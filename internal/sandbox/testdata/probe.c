// Attacks that no JavaScript can make. Each line of output is "NAME ERRNO", errno by name, "ok"
// for a call that succeeded. Given names as arguments, only those are tried.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int argc_;
static char **argv_;

static int wanted(const char *name, int special) {
	if (argc_ < 2) return !special;
	for (int i = 1; i < argc_; i++)
		if (!strcmp(argv_[i], name)) return 1;
	return 0;
}

static void say(const char *name, long r) {
	printf("%s %s\n", name, r < 0 ? strerrorname_np(errno) : "ok");
	fflush(stdout);
}

// T tries in every run, S only when it is named.
#define T(name, call) do { if (wanted(name, 0)) { errno = 0; say(name, (long)(call)); } } while (0)
#define S(name, call) do { if (wanted(name, 1)) { errno = 0; say(name, (long)(call)); } } while (0)

static char stack[65536];
static int nothing(void *a) { (void)a; return 0; }

static int map_exec(const char *path) {
	int f = open(path, O_RDONLY);
	if (f < 0) return -1;
	return mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, f, 0) == MAP_FAILED ? -1 : 0;
}

static int put(const char *path, const char *data, int mode) {
	int f = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
	if (f < 0) return -1;
	int r = write(f, data, strlen(data)) < 0 ? -1 : 0;
	return close(f) | r;
}

static int copy(const char *from, const char *to) {
	char b[65536];
	int n, i = open(from, O_RDONLY), o = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	if (i < 0 || o < 0) return -1;
	while ((n = read(i, b, sizeof b)) > 0)
		if (write(o, b, n) != n) return -1;
	close(i);
	return close(o);
}

static int udp(const char *ip, int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, ip, &a.sin_addr);
	int s = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	if (s < 0) return -1;
	setsockopt(s, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
	int r = sendto(s, "x", 1, 0, (void *)&a, sizeof a);
	close(s);
	return r;
}

// ten datagrams that the kernel gets as one and takes apart (UDP_SEGMENT of linux/udp.h)
static int udp_in_one(const char *ip, int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, ip, &a.sin_addr);
	int s = socket(AF_INET, SOCK_DGRAM, 0), size = 100;
	char b[1000] = {0};
	if (s < 0 || setsockopt(s, IPPROTO_UDP, 103, &size, sizeof size)) return -1;
	int r = sendto(s, b, sizeof b, 0, (void *)&a, sizeof a);
	close(s);
	return r;
}

static int udp6(const char *ip, int port) {
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	inet_pton(AF_INET6, ip, &a.sin6_addr);
	int s = socket(AF_INET6, SOCK_DGRAM, 0);
	if (s < 0) return -1;
	int r = sendto(s, "x", 1, 0, (void *)&a, sizeof a);
	close(s);
	return r;
}

// pair_to sends to a named socket by one that was made with its peer.
static int pair_to(const char *path, int type) {
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	int f[2];
	if (socketpair(AF_UNIX, type, 0, f)) return -1;
	int sent = sendto(f[0], "out", 3, 0, (void *)&a, sizeof a), connected = connect(f[1], (void *)&a, sizeof a);
	return connected < 0 ? sent : connected;
}

static int bind4(int type, const char *ip, int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	inet_pton(AF_INET, ip, &a.sin_addr);
	int s = socket(AF_INET, type, 0), one = 1;
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	int r = bind(s, (void *)&a, sizeof a);
	close(s);
	return r;
}

// route_add asks netlink, which is open for questions, for a change (rtnetlink(7)).
static int route_add(void) {
	struct { struct nlmsghdr h; struct rtmsg r; char rest[64]; } q = {.h = {.nlmsg_type = RTM_NEWROUTE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE},
		.r = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_BLACKHOLE, .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_protocol = 4}};
	q.h.nlmsg_len = NLMSG_LENGTH(sizeof q.r);
	struct { struct nlmsghdr h; struct nlmsgerr e; char rest[256]; } a;
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (s < 0 || send(s, &q, q.h.nlmsg_len, 0) < 0 || recv(s, &a, sizeof a, 0) < 0) return -1;
	close(s);
	errno = -a.e.error;
	return errno ? -1 : 0;
}

static int option(int level, int name) {
	int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	int r = setsockopt(s, level, name, &one, sizeof one);
	close(s);
	return r;
}

// fastopen sends data in the first segment, without connect().
static int fastopen(void) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(8080)};
	inet_pton(AF_INET, "203.0.113.9", &a.sin_addr);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	int r = sendto(s, "fast", 4, MSG_FASTOPEN, (void *)&a, sizeof a);
	char b[16];
	if (r >= 0) r = read(s, b, sizeof b) == 0 ? 0 : -1;
	close(s);
	return r;
}

// left tells whether a descriptor beyond standard error is open.
static int left(void) {
	for (int i = 3; i < 4096; i++)
		if (fcntl(i, F_GETFD) >= 0) return 0;
	return -1;
}

static int raise_limit(int what) {
	struct rlimit l;
	getrlimit(what, &l);
	l.rlim_max++;
	l.rlim_cur = l.rlim_max;
	return setrlimit(what, &l);
}

static int race(void) {
	// A link in /tmp that changes between a harmless target and a secret one.
	for (int i = 0; i < 20000; i++) {
		unlink("/tmp/race");
		symlink(i & 1 ? "/etc/shadow" : "/etc/hostname", "/tmp/race");
		int f = open("/tmp/race", O_RDWR);
		if (f >= 0) return f;
	}
	return -1;
}

static int seccomp_listener(int via_prctl) {
	struct { unsigned short len; void *p; } prog = {0, 0};
	if (via_prctl) return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
}

// pass sends its standard input to the other end of descriptor 3.
static int pass(void) {
	struct iovec v = {"passed", 6};
	union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr h; } c = {0};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof c.b};
	c.h.cmsg_len = CMSG_LEN(sizeof(int));
	c.h.cmsg_level = SOL_SOCKET;
	c.h.cmsg_type = SCM_RIGHTS;
	*(int *)CMSG_DATA(&c.h) = 0;
	return sendmsg(3, &m, 0);
}

// exec_from_thread executes the program anew from its second thread, which then becomes the first.
static void *exec_again(void *result) {
	*(int *)result = execl(argv_[0], argv_[0], "tmp-write", NULL);
	*((int *)result + 1) = errno;
	return 0;
}

static int exec_from_thread(void) {
	pthread_t t;
	int r[2] = {0, 0};
	pthread_create(&t, 0, exec_again, r);
	pthread_join(t, 0);
	errno = r[1];
	return r[0];
}

// in_child gives what a call gives in a child process.
static int in_child(int (*call)(void)) {
	int st = 0, pid = fork();
	if (pid < 0) return -1;
	if (!pid) { errno = 0; _exit(call() < 0 ? errno : 0); }
	waitpid(pid, &st, 0);
	errno = WEXITSTATUS(st);
	return errno ? -1 : 0;
}

static int exec_shell(void) { return execl("/bin/sh", "sh", NULL); }
static int exec_tmp(void) { return put("/tmp/run", "#!/bin/sh\n", 0755) ? 0 : execl("/tmp/run", "run", NULL); }
static int exec_library(void) { return execl("/lib/x86_64-linux-gnu/libc.so.6", "libc", NULL); }
static int exec_loader(void) { return execl("/lib64/ld-linux-x86-64.so.2", "ld", copy(argv_[0], "/tmp/self") ? "" : "/tmp/self", "core", NULL); }

// file_mode makes a file with a mode, by open or by chmod.
static int file_mode(int mode, int by_open) {
	unlink("/tmp/mode");
	int f = open("/tmp/mode", O_CREAT | O_WRONLY, by_open ? mode : 0600);
	if (f < 0) return -1;
	close(f);
	return by_open ? 0 : chmod("/tmp/mode", mode);
}

static int flood(void) {
	for (int i = 0; i < 1000; i++) syscall(SYS_ptrace, 0, 0, 0, 0);
	return 0;
}

static void sockets(void) {
	T("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
	T("socket-unix-dgram", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	T("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
	T("socket-vsock", socket(40, SOCK_STREAM, 0));
	T("socket-alg", socket(38, SOCK_SEQPACKET, 0));
	T("socket-xdp", socket(44, SOCK_RAW, 0));
	T("socket-raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	T("socket-raw6", socket(AF_INET6, SOCK_RAW, IPPROTO_RAW));
	T("socket-ping", socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
	T("socket-sctp", socket(AF_INET, SOCK_STREAM, 132));
	T("socket-mptcp", socket(AF_INET, SOCK_STREAM, 262));
	T("socket-udplite", socket(AF_INET, SOCK_DGRAM, 136));
	T("socket-netfilter", socket(AF_NETLINK, SOCK_RAW, 12));
	T("socket-uevent", socket(AF_NETLINK, SOCK_RAW, 15));
	T("netlink-route", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
	T("socketpair-unix", ({ int f[2]; socketpair(AF_UNIX, SOCK_STREAM, 0, f); }));
	T("socketpair-dgram", ({ int f[2]; socketpair(AF_UNIX, SOCK_DGRAM, 0, f); }));
	T("socketpair-raw", ({ int f[2]; socketpair(AF_UNIX, SOCK_RAW | SOCK_CLOEXEC, 0, f); })); // a datagram socket by another name
	T("socketpair-seqpacket", ({ int f[2]; socketpair(AF_UNIX, SOCK_SEQPACKET, 0, f); }));
	S("pair-dgram-to-host", pair_to("/var/task/sock", SOCK_DGRAM));
	S("pair-raw-to-host", pair_to("/var/task/sock", SOCK_RAW));
	S("pair-stream-to-host", ({ int r = pair_to("/var/task/stream", SOCK_STREAM); r < 0 ? r : -1; }));
	T("socketpair-tipc", ({ int f[2]; socketpair(30, SOCK_SEQPACKET, 0, f); }));
	T("udp", udp("203.0.113.9", 9999));
	T("udp-quic", udp("203.0.113.9", 443));
	T("udp-multicast", udp("224.0.0.251", 5353));
	T("udp-broadcast", udp("255.255.255.255", 67));
	T("udp6", udp6("2001:db8::9", 9999));
	T("bind-named", bind4(SOCK_DGRAM, "203.0.113.9", 8125));
	T("udp-in-one", udp_in_one("203.0.113.9", 9999));
	T("udp-loopback", udp("127.0.0.1", 9999));
	T("bind-dns", bind4(SOCK_DGRAM, "127.0.0.1", 53));
	T("bind-capture", bind4(SOCK_STREAM, "127.0.0.1", 1));
	T("transparent", option(SOL_IP, IP_TRANSPARENT));
	T("mark", option(SOL_SOCKET, SO_MARK));
	S("fastopen", fastopen());
	S("stay", pause());
	S("pass", pass());
}

static void processes(void) {
	T("fork", syscall(SYS_fork));
	T("vfork", syscall(SYS_vfork));
	T("clone", clone(nothing, stack + sizeof stack, SIGCHLD, 0));
	T("clone-newuser", clone(nothing, stack + sizeof stack, CLONE_NEWUSER | SIGCHLD, 0));
	T("clone-thread-newnet", clone(nothing, stack + sizeof stack, CLONE_NEWNET | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0));
	T("clone-high-bits", syscall(SYS_clone, 0x7e02000000000000UL | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, stack + sizeof stack, 0, 0, 0));
	T("clone3", syscall(435, 0, 0));
	T("execveat", syscall(SYS_execveat, AT_FDCWD, argv_[0], 0, 0, 0));
	T("memfd", syscall(SYS_memfd_create, "x", 0));
	T("exec-shell", exec_shell());
	T("exec-loader-lib", exec_library());
	S("exec-from-thread", exec_from_thread());
	S("child-exec-shell", in_child(exec_shell));
	S("child-exec-tmp", in_child(exec_tmp));
	S("child-exec-library", in_child(exec_library));
	T("priority-of-group", setpriority(PRIO_PGRP, 0, 1));
	T("priority-of-user", setpriority(PRIO_USER, 0, 1));
	T("ptrace", ptrace(PTRACE_TRACEME, 0, 0, 0));
	T("process_vm_readv", syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0));
	T("process_vm_writev", syscall(SYS_process_vm_writev, 1, 0, 0, 0, 0, 0));
	T("pidfd_open", syscall(434, 1, 0));
	T("pidfd_getfd", syscall(438, 0, 0, 0));
	T("kcmp", syscall(SYS_kcmp, 1, 1, 0, 0, 0));
	T("kill-other", kill(2, 9));
	T("tgkill-other", syscall(SYS_tgkill, 2, 2, 9));
	T("queue-other", syscall(SYS_rt_sigqueueinfo, 2, 9, stack));
	T("pidfd_send_signal", syscall(424, 0, 9, 0, 0));
	T("process_madvise", syscall(440, 0, 0, 0, 0, 0));
	T("memory-of-other", open("/proc/2/mem", O_RDWR));
	T("memory-of-1", open("/proc/1/mem", O_RDONLY));
	T("memory-of-real-1", open("/.proc/1/mem", O_WRONLY));
	T("setuid", setuid(0));
	T("setgroups", syscall(SYS_setgroups, 0, 0));
	T("capset", syscall(SYS_capset, 0, 0));
	T("fifo-scheduling", ({ struct sched_param p = {1}; sched_setscheduler(0, SCHED_FIFO, &p); }));
	T("affinity", ({ cpu_set_t s; CPU_ZERO(&s); CPU_SET(0, &s); sched_setaffinity(0, sizeof s, &s); }));
	T("prlimit-other", prlimit(2, RLIMIT_CORE, 0, &(struct rlimit){0}));
	T("core", raise_limit(RLIMIT_CORE));
	T("nofile", raise_limit(RLIMIT_NOFILE));
	T("read-implies-exec", personality(READ_IMPLIES_EXEC));
	T("pdeathsig", prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
	T("ptracer", prctl(PR_SET_PTRACER, -1, 0, 0, 0));
	T("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
	T("syscall-dispatch", prctl(59, 0, 0, 0, 0));
	T("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	T("seccomp", seccomp_listener(0));
	T("seccomp-prctl", seccomp_listener(1));
	S("flood", flood());
	S("x32", syscall(0x40000000 | 39));
	S("i386", ({ long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); r; }));
	S("loader", in_child(exec_loader));
	S("fork-bomb", ({ int n = 0; while (n < 5000 && fork() >= 0) n++; write(3, "x", 1); pause(); -1; }));
	S("fork-exec", ({ int st = -1; if (!fork()) { execl(argv_[0], argv_[0], "setns", "socket-unix", "memfd", NULL); _exit(9); } wait(&st); st; }));
	S("daemon", ({ if (!fork()) { setsid(); if (!fork()) { close(1); close(2); for (;;) pause(); } _exit(0); } wait(0); }));
	S("shared-memory", ({ char *m = mmap(0, 900 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; m != MAP_FAILED && i < 90; i++) { memset(m + ((long)i << 20) * 10, 1, 10 << 20); usleep(10000); } m == MAP_FAILED ? -1 : 0; }));
	S("crash", ({ abort(); 0; }));
}

static void kernel(void) {
	T("mount", mount("x", "/tmp", "tmpfs", 0, ""));
	T("remount", mount("", "/", "", MS_REMOUNT | MS_BIND, ""));
	T("umount", umount2("/tmp", MNT_DETACH));
	T("pivot_root", syscall(SYS_pivot_root, ".", "."));
	T("chroot", chroot("/tmp"));
	T("fsopen", syscall(430, "tmpfs", 0));
	T("open_tree", syscall(428, AT_FDCWD, "/", 1));
	T("move_mount", syscall(429, AT_FDCWD, "/", AT_FDCWD, "/tmp", 0));
	T("mount_setattr", syscall(442, AT_FDCWD, "/", 0, 0, 0));
	T("statmount", syscall(457, 0, 0, 0, 0));
	T("unshare-user", unshare(CLONE_NEWUSER));
	T("unshare-net", unshare(CLONE_NEWNET));
	T("setns", setns(0, 0));
	T("listmount", syscall(458, stack, stack, 8, 0));
	T("open_tree_attr", syscall(467, AT_FDCWD, "/", 1, 0, 0));
	T("memfd_secret", syscall(447, 0));
	T("route-add", route_add());
	T("io_uring_setup", syscall(425, 8, stack));
	T("io_uring_enter", syscall(426, 0, 0, 0, 0, 0));
	T("io_uring_register", syscall(427, 0, 0, 0, 0));
	T("bpf", syscall(SYS_bpf, 5, 0, 0));
	T("perf", syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
	T("userfaultfd", syscall(SYS_userfaultfd, 1));
	T("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	T("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -4));
	T("request_key", syscall(SYS_request_key, "user", "x", 0, -4));
	T("open_by_handle", syscall(SYS_open_by_handle_at, 0, 0, 0));
	T("name_to_handle", syscall(SYS_name_to_handle_at, AT_FDCWD, "/", 0, 0, 0));
	T("fanotify", syscall(SYS_fanotify_init, 0, 0));
	T("mknod", mknod("/tmp/n", S_IFCHR | 0666, 0x101));
	T("tiocsti", ioctl(1, TIOCSTI, "x"));
	T("tioclinux", ioctl(1, TIOCLINUX, "\3"));
	T("shm", syscall(SYS_shmget, 1, 4096, 0666 | 01000));
	T("msg", syscall(SYS_msgget, 1, 0666 | 01000));
	T("mq", syscall(SYS_mq_open, "/x", O_CREAT | O_RDWR, 0666, 0));
	T("reboot", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0));
	T("module", syscall(SYS_init_module, 0, 0, ""));
	T("settime", syscall(SYS_clock_settime, 0, 0));
	T("sethostname", sethostname("x", 1));
	T("syslog", syscall(SYS_syslog, 3, stack, 10));
	T("quotactl", syscall(SYS_quotactl, 0, 0, 0, 0));
	T("modify_ldt", syscall(SYS_modify_ldt, 0, 0, 0));
	T("landlock", syscall(444, 0, 0, 1));
}

static void files(void) {
	T("shadow", open("/etc/shadow", O_RDONLY));
	T("environ-of-1", open("/proc/1/environ", O_RDONLY));
	T("own-memory", open("/proc/self/mem", O_RDWR));
	T("oom-score", open("/proc/self/oom_score_adj", O_WRONLY));
	T("proc-sys", open("/proc/sys/kernel/core_pattern", O_WRONLY));
	T("proc-sysrq", open("/proc/sysrq-trigger", O_WRONLY));
	T("real-proc-sys", open("/.proc/sys/kernel/hostname", O_RDONLY));
	T("kcore", open("/proc/kcore", O_RDONLY));
	T("sysfs", open("/sys/fs/cgroup", O_RDONLY));
	T("cgroup-write", open("/sys/fs/cgroup/cgroup.procs", O_WRONLY));
	T("host-root", open("/proc/self/root/../../root/.profile", O_RDONLY));
	T("host-cwd", open("../../../../../../etc/shadow", O_RDONLY));
	T("write-root", put("/x", "x", 0644));
	T("write-etc", open("/etc/hosts", O_WRONLY));
	T("write-program", open(argv_[0], O_RDWR));
	T("chmod-program", chmod(argv_[0], 0777));
	T("chmod-null", chmod("/dev/null", 0));
	T("truncate-program", truncate(argv_[0], 0));
	T("link-program", link(argv_[0], "/tmp/self"));
	T("rename-etc", rename("/etc/hosts", "/etc/hosts2"));
	T("device-mem", open("/dev/mem", O_RDONLY));
	T("device-tty", open("/dev/tty", O_RDWR));
	T("ptmx", open("/dev/ptmx", O_RDWR));
	T("tmp-write", put("/tmp/ok", "x", 0644));
	T("tmp-exec", exec_tmp());
	T("setuid-open", file_mode(04755, 1));
	T("setgid-chmod", file_mode(02755, 0));
	T("openat2", syscall(437, AT_FDCWD, "/tmp/x", stack, 24));
	T("lease", fcntl(open("/etc/hosts", O_RDONLY), F_SETLEASE, F_RDLCK));
	T("dnotify", fcntl(open("/etc", O_RDONLY), F_NOTIFY, DN_CREATE));
	T("watch", inotify_init1(0)); // stays open
	T("watch-twice", inotify_init1(0));
	T("zero", open("/dev/zero", O_RDONLY));
	T("tmp-map-exec", put("/tmp/lib", "xxxx", 0755) ? 0 : map_exec("/tmp/lib"));
	T("tmp-race", race());
	S("reopen-stdout", open("/proc/self/fd/1", O_RDWR));
	S("bundle-map-exec", map_exec("/var/task/lib.so"));
	S("tmp-denied", put("/tmp/no", "x", 0644));
}

int main(int argc, char **argv) {
	argc_ = argc, argv_ = argv;
	T("descriptor", left());
	sockets();
	processes();
	kernel();
	files();
	return 0;
}
