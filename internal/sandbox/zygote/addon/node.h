// What fork.c needs of Node-API and libuv, both of which keep it stable: declared here, so that no headers
// of Node.js are needed to build (https://nodejs.org/api/n-api.html, https://docs.libuv.org).
#include <stddef.h>
#include <stdint.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
typedef struct napi_ref__ *napi_ref;
typedef struct napi_handle_scope__ *napi_handle_scope;
typedef int napi_status; // 0: ok

#define NAPI_AUTO_LENGTH SIZE_MAX

struct uv_handle;

// The beginning of uv_loop_t (uv.h), the same in all versions of libuv 1.
struct uv_loop {
	void *data;
	unsigned int active_handles;
	struct { void *next, *prev; } handles;
	unsigned int active_requests;
};

// The beginning of uv_async_t, likewise: what all handles have is 96 bytes.
struct uv_async {
	uint64_t handle[12];
	void (*callback)(struct uv_handle *);
	struct { void *next, *prev; } queue;
	int pending;
};

napi_status napi_close_handle_scope(napi_env, napi_handle_scope);
napi_status napi_create_array(napi_env, napi_value *);
napi_status napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
napi_status napi_create_int32(napi_env, int32_t, napi_value *);
napi_status napi_create_reference(napi_env, napi_value, uint32_t, napi_ref *);
napi_status napi_create_string_utf8(napi_env, const char *, size_t, napi_value *);
napi_status napi_get_cb_info(napi_env, napi_callback_info, size_t *, napi_value *, napi_value *, void **);
napi_status napi_get_global(napi_env, napi_value *);
napi_status napi_get_reference_value(napi_env, napi_ref, napi_value *);
napi_status napi_get_uv_event_loop(napi_env, struct uv_loop **);
napi_status napi_get_value_int32(napi_env, napi_value, int32_t *);
napi_status napi_make_callback(napi_env, void *, napi_value, napi_value, size_t, const napi_value *, napi_value *);
napi_status napi_open_handle_scope(napi_env, napi_handle_scope *);
napi_status napi_set_element(napi_env, napi_value, uint32_t, napi_value);
napi_status napi_set_named_property(napi_env, napi_value, const char *, napi_value);
napi_status napi_throw_error(napi_env, const char *, const char *);

// Of uv_handle_type.
#define UV_ASYNC 1
#define UV_PREPARE 9

int uv_async_init(struct uv_loop *, struct uv_handle *, void (*)(struct uv_handle *));
int uv_async_send(struct uv_handle *);
struct uv_loop *uv_handle_get_loop(const struct uv_handle *);
size_t uv_handle_size(int);
int uv_loop_alive(const struct uv_loop *);
int uv_prepare_init(struct uv_loop *, struct uv_handle *);
int uv_prepare_start(struct uv_handle *, void (*)(struct uv_handle *));
void uv_ref(struct uv_handle *);
void uv_unref(struct uv_handle *);
int uv_is_active(const struct uv_handle *);
int uv_is_closing(const struct uv_handle *);
int uv_handle_get_type(const struct uv_handle *);
const char *uv_handle_type_name(int);
int uv_loop_fork(struct uv_loop *);
void uv_walk(struct uv_loop *, void (*)(struct uv_handle *, void *), void *);

static inline napi_value fail(napi_env env, const char *message) {
	napi_throw_error(env, NULL, message);
	return NULL;
}

static inline napi_value number(napi_env env, int32_t n) {
	napi_value v = NULL;
	napi_create_int32(env, n, &v);
	return v;
}

static inline void define(napi_env env, napi_value exports, const char *name, napi_callback f) {
	napi_value v;
	if (!napi_create_function(env, name, NAPI_AUTO_LENGTH, f, NULL, &v)) napi_set_named_property(env, exports, name, v);
}
