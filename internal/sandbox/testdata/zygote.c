// A zygote of hostile native code, which no function can be: native libraries and zygotes exclude each
// other. It tries at every step what is not granted there; then, as a child, what probe.c tries. Lines are
// those of probe.c. The first part goes to the zygote's output, the second to the child's.
#define main probe_main
#include "probe.c"
#undef main

enum { GATE = 1001, PARK = 1, BORN = 2, CONFINED = 3 };
enum { CHANNEL = 3, SCOPE = 4 };
static const long forks = 0x01200011; // CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD

static long gate(long call) { return syscall(GATE, call, 0, 0, 0); }
static int confine(int fd) { return syscall(446, fd, 0); }
static int child_of(long flags) { return syscall(SYS_clone, flags, 0, 0, 0, 0); }

static void *by_thread(void *call) {
	long r = gate((long)call);
	return (void *)(long)(r < 0 ? errno : 0);
}

// in_thread gives what a call to the gate gives to another thread.
static int in_thread(long call) {
	pthread_t t;
	void *error;
	pthread_create(&t, 0, by_thread, (void *)call);
	pthread_join(t, &error);
	errno = (long)error;
	return errno ? -1 : 0;
}

static void before(void) {
	T("zygote-fork", child_of(forks));
	T("zygote-fork-to-parent", child_of(CLONE_PARENT | SIGCHLD));
	T("zygote-fork3", syscall(435, 0, 0));
	T("zygote-born", gate(BORN));
	T("zygote-confined", gate(CONFINED));
	T("zygote-confine", confine(SCOPE));
	T("zygote-nonsense", gate(99));
	T("zygote-exec", execl(argv_[0], argv_[0], "tmp-write", NULL));
	T("zygote-kill-gate", kill(1, SIGKILL));
	T("zygote-memory-of-gate", open("/.proc/1/mem", O_RDWR));
	T("zygote-park-by-thread", in_thread(PARK));
}

static void after(int zygote, int sibling) {
	char path[64];
	T("child-fork", child_of(forks));
	T("child-born", gate(BORN));
	T("child-confined", gate(CONFINED));
	T("child-confine", confine(SCOPE));
	T("child-park", gate(PARK));
	T("child-born-by-thread", in_thread(BORN));
	T("child-kill-gate", kill(1, SIGKILL));
	T("child-kill-zygote", kill(zygote, SIGKILL));
	T("child-kill-sibling", sibling ? kill(sibling, SIGKILL) : (errno = EPERM, -1));
	T("child-priority-of-zygote", setpriority(PRIO_PROCESS, zygote, 19));
	T("child-scheduling-of-zygote", syscall(SYS_sched_setscheduler, zygote, 5, &(int){0}));
	T("child-limits-of-zygote", prlimit(zygote, RLIMIT_NOFILE, &(struct rlimit){0, 0}, 0));
	T("child-trace-zygote", ptrace(PTRACE_ATTACH, zygote, 0, 0));
	for (int pid = 1; pid <= 64; pid++) {
		static const char *what[] = {"mem", "fd", "environ", "maps", "attr", "cwd", "root"};
		if (pid == getpid()) continue;
		for (unsigned i = 0; i < sizeof what / sizeof *what; i++) {
			snprintf(path, sizeof path, "/.proc/%d/%s", pid, what[i]);
			int f = open(path, O_RDONLY);
			if (f >= 0 || (errno != ENOENT && errno != EPERM)) { printf("child-proc-of-other %s\n", path); return; }
		}
	}
	printf("child-proc-of-other ENOENT\n");
}

int main(int argc, char **argv) {
	int zygote = getpid(), child = 0, sibling;
	argc_ = 1, argv_ = argv;
	(void)argc;
	setvbuf(stdout, 0, _IOLBF, 0);
	before();
	close(CHANNEL);
	for (;;) {
		long order = syscall(GATE, PARK, child, 0, 0);
		if (order < 1) return 1;
		if (order > 1) { waitpid(order, 0, 0); continue; }
		T("zygote-other-fork", child_of(CLONE_PARENT | forks));
		sibling = child;
		child = child_of(forks);
		if (!child) break;
		T("zygote-fork-twice", child_of(forks));
	}
	T("early-confined", gate(CONFINED));
	T("early-confine", confine(SCOPE));
	if (gate(BORN) < 0) return 2;
	T("early-born-twice", gate(BORN));
	T("early-confined-without-domain", gate(CONFINED));
	T("early-confine-in-other", confine(0));
	if (confine(SCOPE) < 0) return 3;
	if (gate(CONFINED) < 0) return 4;
	after(zygote, sibling);
	close(SCOPE);
	probe_main(1, argv);
	fflush(stdout);
	read(CHANNEL, &sibling, 1);
	return 0;
}
