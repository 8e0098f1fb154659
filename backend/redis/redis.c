/*
 * The Redis backend: one server or several, values under their keys as strings. It only ever reads, and changes
 * nothing: no TTL, no lock, and no eviction order where the server can be told so (redis_version.h).
 */
#include "redis.h"

#include "backends.h"
#include "redis_tls.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* What is remembered of the server's memory, in milliseconds. */
#define MEMORY_MS 1000

#define INFO_MAX (1 << 20)
#define BLOCK 4096

static void redis_close(struct backend *backend)
{
	struct redis_backend *b = redis_of(backend);
	work_pool_free(b->ahead);
	nodes_done(&b->nodes);
	records_done(&b->records);
	changes_done(&b->changes);
	redis_target_done(&b->target);
	password_file_close(b->password_file);
	pthread_mutex_destroy(&b->memory_lock);
	free(b->backend.prefix);
	free(b);
}

/* t:{tenant}: with all but unreserved characters escaped, as the SDK does. */
static void put_tenant(const char *tenant, struct buf *to)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
	buf_puts(to, "t:");
	for (; *tenant; tenant++)
		if (strchr(unreserved, *tenant))
			buf_put(to, tenant, 1);
		else
			buf_printf(to, "%%%02X", (unsigned)(uint8_t)*tenant);
	buf_puts(to, ":");
}

/* What all keys of the mount begin with: the tenant's part, then what the user names. */
static int make_prefix(const struct options *options, struct backend *b)
{
	struct buf prefix = {0};
	if (options->tenant)
		put_tenant(options->tenant, &prefix);
	if (options->prefix)
		buf_puts(&prefix, options->prefix);
	b->prefix_length = prefix.length;
	buf_put(&prefix, "", 1);
	if (prefix.failed) {
		buf_done(&prefix);
		return -ENOMEM;
	}
	b->prefix = prefix.p;
	return 0;
}

/* Takes over the seeds, also when it fails. */
static int redis_new(const struct options *options, struct redis_seeds *seeds, struct redis_backend **ret)
{
	struct redis_backend *b = calloc(1, sizeof *b);
	if (!b) {
		redis_seeds_done(seeds);
		return -ENOMEM;
	}
	b->backend.ops = &redis_backend;
	b->timeout_ms = (int)(options->timeout * 1000);
	randombytes_buf(&b->seed, sizeof b->seed);
	pthread_mutex_init(&b->memory_lock, NULL);
	int r = changes_init(&b->changes);
	int second = records_init(&b->records);
	nodes_init(&b->nodes, &b->target, seeds, options->read_from == READ_FROM_REPLICA, b->timeout_ms, b->seed, &b->changes);
	r = r < 0 ? r : second;
	if (r == 0)
		r = make_prefix(options, &b->backend);
	if (r == 0)
		r = work_pool_new(REDIS_AHEAD_THREADS, &b->ahead);
	if (r < 0) {
		redis_close(&b->backend);
		return r;
	}
	*ret = b;
	return 0;
}

/* What the URL of a source begins with, and what that means. */
static const struct scheme {
	const char *name;
	enum target_kind kind;
	bool is_several, is_sentinel;
	const char *with_tls; /* the same with TLS */
} schemes[] = {
	{"redis", TARGET_TCP, false, false, "rediss"},
	{"rediss", TARGET_TLS, false, false, "rediss"},
	{"unix", TARGET_UNIX, false, false, "rediss"},
	{"redis-cluster", TARGET_TCP, true, false, "rediss-cluster"},
	{"rediss-cluster", TARGET_TLS, true, false, "rediss-cluster"},
	{"redis-sentinel", TARGET_TCP, true, true, "rediss-sentinel"},
	{"rediss-sentinel", TARGET_TLS, true, true, "rediss-sentinel"},
};

/* One of redis_backend.schemes. */
static const struct scheme *scheme_of(const char *name)
{
	const struct scheme *scheme = schemes;
	while (strcmp(scheme->name, name) != 0)
		scheme++;
	return scheme;
}

/* Who asks for TLS does not get a connection without. */
static int settle_tls(const struct scheme *scheme, const struct options *options, struct redis_target *target, struct error *error)
{
	const char *option = tls_option_given(options);
	if (target->tls)
		return tls_prepare(target, options, error);
	return option ? error_set(error, -EINVAL, "-o %s=: %s:// has no TLS; %s:// has", option, scheme->name, scheme->with_tls) : 0;
}

/* What the URL says. */
static int read_source(const struct scheme *scheme, const char *location, const struct options *options, struct redis_target *target,
	struct redis_seeds *seeds, char **ret_source, struct error *error)
{
	int r = scheme->is_several ? redis_seeds_read(location, scheme->is_sentinel, scheme->kind, target, seeds, ret_source, error)
				   : redis_target_read(location, scheme->kind, target, ret_source, error);
	if (r == 0 && !scheme->is_several && options->read_from == READ_FROM_REPLICA)
		r = error_set(error, -EINVAL, "-o read_from=replica: a single server has none; it is for redis-cluster:// and redis-sentinel://, also by TLS");
	if (r == 0)
		r = settle_tls(scheme, options, target, error);
	if (r == 0 && options->password_file)
		r = password_file_open(options->password_file, &target->password_file, error);
	return r;
}

static int redis_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	struct redis_backend *b;
	struct redis_target target = {0};
	struct redis_seeds seeds = {0};
	cleanup_free char *source = NULL;
	int r = read_source(scheme_of(scheme), location, options, &target, &seeds, &source, error);
	if (r < 0) {
		redis_target_done(&target);
		redis_seeds_done(&seeds);
		return r;
	}
	if (redis_new(options, &seeds, &b) < 0) {
		password_file_close(target.password_file);
		redis_target_done(&target);
		return error_set(error, -ENOMEM, "no memory");
	}
	b->target = target;
	b->password_file = target.password_file;
	b->target.stop = &b->stop;
	/* Tried once, so that a mount that cannot work says so. The daemon opens its own. */
	r = nodes_open(&b->nodes, error);
	if (r < 0) {
		redis_close(&b->backend);
		return r;
	}
	*ret = &b->backend;
	*ret_source = steal(source);
	return 0;
}

/* As if everything had changed: what is the same still, is found to be. */
static void redis_forget(struct backend *backend)
{
	changes_note_all(&redis_of(backend)->changes);
}

static void redis_stop(struct backend *backend)
{
	struct redis_backend *b = redis_of(backend);
	atomic_store(&b->stop, true);
	nodes_stop(&b->nodes);
}

static int redis_changed(struct backend *backend, struct timespec *ret)
{
	*ret = changes_last(&redis_of(backend)->changes);
	return 0;
}

/* --- df --- */

struct memory {
	uint64_t used, max; /* a server without a limit has that of its machine */
};

/* The number behind a name in the text of INFO, else 0. */
static uint64_t number_of(const char *info, const char *name)
{
	const char *at = info;
	while ((at = strstr(at, name)) && at != info && at[-1] != '\n')
		at++;
	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static int ask_memory(struct redis_connection *c, void *arg)
{
	struct memory *memory = arg;
	char *info = NULL;
	size_t n;
	connection_put_text(c, "INFO", "memory", NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_text(c, INFO_MAX, &info, &n);
	if (r < 0 || !info)
		return r;
	uint64_t max = number_of(info, "maxmemory:");
	memory->used += number_of(info, "used_memory:");
	memory->max += max ? max : number_of(info, "total_system_memory:");
	free(info);
	return 0;
}

/* The sums of all servers. */
static int ask_all_memory(struct redis_backend *b, struct memory *ret)
{
	struct node_list list;
	struct memory memory = {0};
	int r = nodes_list(&b->nodes, &list);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.count; i++)
		r = nodes_ask_one(&b->nodes, &list, i, NULL, ask_memory, &memory);
	node_list_done(&b->nodes, &list);
	if (r == 0)
		*ret = memory;
	return r == -ESTALE ? -EAGAIN : r;
}

/* Asks again after a second. One who may not ask sees a filesystem without a size. */
static int learn_memory(struct redis_backend *b, uint64_t *ret_used, uint64_t *ret_max)
{
	struct memory memory = {0};
	pthread_mutex_lock(&b->memory_lock);
	bool known = clock_ms() < b->memory_until;
	*ret_used = b->memory_used;
	*ret_max = b->memory_max;
	pthread_mutex_unlock(&b->memory_lock);
	if (known)
		return 0;
	int r = ask_all_memory(b, &memory);
	if (r < 0 && r != -EACCES && r != -ENOSYS)
		return r;
	pthread_mutex_lock(&b->memory_lock);
	*ret_used = b->memory_used = memory.used;
	*ret_max = b->memory_max = memory.max;
	b->memory_until = clock_ms() + MEMORY_MS;
	pthread_mutex_unlock(&b->memory_lock);
	return 0;
}

static int redis_statfs(struct backend *backend, struct statvfs *ret)
{
	uint64_t used, max;
	int r = learn_memory(redis_of(backend), &used, &max);
	if (r < 0)
		return r;
	uint64_t left = max > used ? max - used : 0;
	*ret = (struct statvfs){
		.f_bsize = BLOCK,
		.f_frsize = BLOCK,
		.f_blocks = (left + used) / BLOCK,
		.f_bfree = left / BLOCK,
		.f_bavail = left / BLOCK,
		.f_namemax = 255,
	};
	return 0;
}

const struct backend_ops redis_backend = {
	.name = "redis",
	.schemes = (const char *const[]){"redis", "rediss", "unix", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel", NULL},
	.stores_keys = true,
	.remote = true,
	.open = redis_open,
	.close = redis_close,
	.find = redis_find,
	.fetch = redis_fetch,
	.resolve = redis_resolve,
	.expires = redis_expires,
	.list = redis_list,
	.next = redis_next,
	.position = redis_position,
	.seek = redis_seek,
	.list_end = redis_list_end,
	.forget = redis_forget,
	.stop = redis_stop,
	.changed = redis_changed,
	.statfs = redis_statfs,
};
