// The part of a zygote that no JavaScript can do: to wait for the gate's word, to fork, and to make of the
// copy a process of its own before any JavaScript runs in it. It is loaded into Node.js as an addon, once,
// by the shim. It decides nothing: the gate (internal/sandbox/walls/gate.go) checks every step, and this
// code can do no more than any other in the process.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node.h"

// The calls to the gate, as in gate.go.
enum { GATE_CALL = 1001, PARK = 1, BORN = 2, CONFINED = 3, ORDER_FORK = 1 };

// The descriptors that gate and zygote have agreed on, as in zygote.go.
enum { CHANNEL = 3, SCOPE = 4 };

// How a child ends that can't be made one. 70 is EX_SOFTWARE (sysexits.h).
enum { NOT_BORN = 71, NOT_CONFINED = 72, NOT_RELEASED = 73, SHARES = 74, NO_LOOP = 75, NO_ORDERS = 76 };

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif

static long gate(long call, long a, long b, long c) {
	long r;
	do r = syscall(GATE_CALL, call, a, b, c);
	while (r < 0 && errno == EINTR);
	return r;
}

static _Noreturn void end(int status) {
	for (;;) syscall(SYS_exit_group, status);
}

// V8 excludes its heap from what a child inherits (MADV_DONTFORK), as Node.js never runs on in one.
static int inherit_all(void) {
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4352];
	uintptr_t from, to;
	if (!maps) return -1;
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx", &from, &to) == 2) madvise((void *)from, to - from, MADV_DOFORK);
	fclose(maps);
	return 0;
}

// What zygote and child would share: pipes, eventfds and epolls of libuv's, through which one could wake or
// block the other.
static struct shared { int fd; ino_t pipe; } shared[512];
static int shared_count;

static int note_shared(void) {
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	if (!dir) return -1;
	while ((e = readdir(dir))) {
		char name[64], target[32] = "";
		struct stat st;
		int fd = atoi(e->d_name);
		if (fd <= SCOPE || fd == dirfd(dir)) continue;
		snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
		if (readlink(name, target, sizeof target - 1) < 0) continue;
		int pipe = !strncmp(target, "pipe:", 5);
		if (!pipe && strncmp(target, "anon_inode:", 11)) continue;
		if (shared_count == sizeof shared / sizeof *shared || fstat(fd, &st)) { closedir(dir); return -1; }
		shared[shared_count++] = (struct shared){fd, pipe ? st.st_ino : 0};
	}
	closedir(dir);
	return 0;
}

// libuv and the C library have replaced some pipes already, when they noticed the fork: those stay. The
// others are closed; their numbers stay taken, as code that has them may close them.
static int drop_shared(void) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), failed = null < 0;
	for (int i = 0; i < shared_count && !failed; i++) {
		struct stat st;
		int here = !fstat(shared[i].fd, &st);
		if (here && (!shared[i].pipe || st.st_ino == shared[i].pipe)) failed = dup3(null, shared[i].fd, O_CLOEXEC) < 0;
	}
	close(null);
	return failed ? -1 : 0;
}

// keep_place keeps the place of a child's channel, so that nothing that is opened anew in it gets there.
static int keep_place(void) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null == CHANNEL) return 0;
	close(null);
	return -1; // it is taken: the zygote has not closed its own channel
}

// What had been told to wake the loop, and it had not yet heeded, when the process was forked: uv_loop_fork
// forgets that.
static struct uv_handle *waking[16];
static int waking_count;

static void note_waking(struct uv_handle *h, void *arg) {
	(void)arg;
	if (uv_handle_get_type(h) != UV_ASYNC || !((struct uv_async *)h)->pending) return;
	if (waking_count == sizeof waking / sizeof *waking) end(NO_LOOP);
	waking[waking_count++] = h;
}

// become makes a process of its own of a child.
static void become(struct uv_loop *loop) {
	if (gate(BORN, 0, 0, 0) < 0) end(NOT_BORN);
	if (syscall(SYS_landlock_restrict_self, SCOPE, 0)) end(NOT_CONFINED);
	close(SCOPE);
	if (gate(CONFINED, 0, 0, 0) < 0) end(NOT_RELEASED);
	if (drop_shared()) end(SHARES);
	uv_walk(loop, note_waking, NULL);
	if (uv_loop_fork(loop)) end(NO_LOOP);
	for (int i = 0; i < waking_count; i++) uv_async_send(waking[i]);
}

// fork: waits for orders for as long as this process lives. In each child it gives the child's number.
static napi_value js_fork(napi_env env, napi_callback_info info) {
	static int once;
	struct uv_loop *loop;
	long child = 0, error = 0;
	(void)info;
	if (once++) return fail(env, "there is one zygote only");
	if (keep_place() || napi_get_uv_event_loop(env, &loop) || note_shared() || inherit_all())
		return fail(env, "this process can't be forked");
	for (;;) {
		long order = gate(PARK, child, error, loop->active_requests);
		if (order < ORDER_FORK) end(NO_ORDERS);
		child = error = 0;
		if (order > ORDER_FORK) {
			while (waitpid(order, 0, 0) < 0 && errno == EINTR);
			continue;
		}
		child = fork();
		if (child == 0) {
			become(loop);
			return number(env, getpid());
		}
		if (child < 0) child = 0, error = errno;
	}
}


struct list { napi_env env; napi_value array; uint32_t length; int timers; };

static void add_handle(struct uv_handle *h, void *arg) {
	struct list *l = arg;
	napi_value kind;
	const char *name = uv_handle_type_name(uv_handle_get_type(h));
	// All timers of JavaScript's are one of libuv's, the oldest. V8 has others, for its own work.
	if (!strcmp(name, "timer") && l->timers++) return;
	if (!uv_is_active(h) || uv_is_closing(h)) return;
	napi_create_string_utf8(l->env, name, NAPI_AUTO_LENGTH, &kind);
	napi_set_element(l->env, l->array, l->length++, kind);
}

// When nothing keeps the event loop of Node.js going, Node.js waits for what V8 has given its other threads
// to do, of which a child has none, and it would wait forever. So the loop of a child always has something:
// the keeper. What Node.js does when its loop runs empty is done here instead: look says so to JavaScript.
static struct { napi_env env; napi_ref look; struct uv_handle *keeper; int rounds; } child;

// V8 does some of its work on this thread piece by piece, and wakes the loop for each: a loop counts as
// empty when it was found so as many times in a row.
enum { EMPTY = 16 };

static void nothing(struct uv_handle *h) { (void)h; }

// alive tells whether anything but the keeper keeps the loop going.
static int alive(void) {
	uv_unref(child.keeper);
	int yes = uv_loop_alive(uv_handle_get_loop(child.keeper));
	uv_ref(child.keeper);
	return yes;
}

static void before_waiting(struct uv_handle *h) {
	napi_handle_scope scope;
	napi_value look, global;
	(void)h;
	if (alive()) { child.rounds = 0; return; }
	if (child.rounds > EMPTY) return;
	if (child.rounds++ < EMPTY) { uv_async_send(child.keeper); return; }
	if (napi_open_handle_scope(child.env, &scope)) return;
	if (!napi_get_reference_value(child.env, child.look, &look) && !napi_get_global(child.env, &global))
		napi_make_callback(child.env, NULL, global, look, 0, NULL, NULL);
	napi_close_handle_scope(child.env, scope);
	if (alive()) child.rounds = 0; // it gave the loop something: when that is over, it looks again
}

// keep: has a child go on, and a function called each time when its event loop has run empty.
static napi_value js_keep(napi_env env, napi_callback_info info) {
	size_t n = 1;
	napi_value look;
	struct uv_loop *loop;
	struct uv_handle *prepare = malloc(uv_handle_size(UV_PREPARE));
	child.env = env;
	child.keeper = malloc(uv_handle_size(UV_ASYNC));
	if (!prepare || !child.keeper || napi_get_cb_info(env, info, &n, &look, 0, 0) || n != 1 ||
		napi_create_reference(env, look, 1, &child.look) || napi_get_uv_event_loop(env, &loop) ||
		uv_async_init(loop, child.keeper, nothing) || uv_prepare_init(loop, prepare) || uv_prepare_start(prepare, before_waiting))
		return fail(env, "no event loop");
	uv_unref(prepare);
	return NULL;
}

// handles: the kinds of what is active in the event loop, one word each.
static napi_value js_handles(napi_env env, napi_callback_info info) {
	struct list l = {.env = env};
	struct uv_loop *loop;
	(void)info;
	if (napi_get_uv_event_loop(env, &loop) || napi_create_array(env, &l.array)) return fail(env, "no event loop");
	uv_walk(loop, add_handle, &l);
	return l.array;
}

// requests: how many operations of libuv's are under way.
static napi_value js_requests(napi_env env, napi_callback_info info) {
	struct uv_loop *loop;
	(void)info;
	if (napi_get_uv_event_loop(env, &loop)) return fail(env, "no event loop");
	return number(env, loop->active_requests);
}

// exit: ends a child. Node.js's own way would wait for threads that it doesn't have.
static napi_value js_exit(napi_env env, napi_callback_info info) {
	size_t n = 1;
	napi_value status;
	int32_t code = 0;
	if (!napi_get_cb_info(env, info, &n, &status, 0, 0) && n) napi_get_value_int32(env, status, &code);
	end(code);
}

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
	static int once;
	if (once++) return fail(env, "loaded already");
	define(env, exports, "fork", js_fork);
	define(env, exports, "keep", js_keep);
	define(env, exports, "handles", js_handles);
	define(env, exports, "requests", js_requests);
	define(env, exports, "exit", js_exit);
	return exports;
}
