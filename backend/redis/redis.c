/*
 * The Redis backend: one server or several, values under their keys as strings. Reading changes
 * nothing: no TTL, no lock, and no eviction order where the server can be told so (wire/version.h). What writing does is in value/write.c.
 */
#include "backend/backends.h"
#include "backend/redis/list/listing.h"
#include "backend/redis/value/find.h"
#include "backend/redis/value/write.h"
#include "backend/remote/key_prefix.h"
#include "backend/remote/tls.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define INFO_MAX (1 << 20)

static void redis_close(struct backend *backend)
{
	struct redis_backend *b = redis_of(backend);
	work_pool_free(b->ahead);
	nodes_done(&b->nodes);
	records_done(&b->records);
	changes_done(&b->changes);
	redis_target_done(&b->target);
	password_file_close(b->password_file);
	capacity_done(&b->memory);
	free(b->backend.prefix);
	free(b);
}

static void redis_needs(const struct backend *backend, struct sandbox *sandbox)
{
	const struct redis_backend *b = (const struct redis_backend *)backend;
	password_file_needs(b->password_file, sandbox);
	transport_needs(&b->target.at, sandbox);
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
	b->backend.value_max = REDIS_VALUE_MAX;
	b->timeout_ms = (int)(options->timeout * 1000);
	randombytes_buf(&b->seed, sizeof b->seed);
	capacity_init(&b->memory);
	int r = changes_init(&b->changes);
	int second = records_init(&b->records);
	nodes_init(&b->nodes, &b->target, seeds, options->read_from == READ_FROM_REPLICA, b->timeout_ms, b->seed, &b->changes);
	r = r < 0 ? r : second;
	if (r == 0)
		r = key_prefix_make(options, &b->backend);
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
	if (target->at.tls)
		return tls_prepare(target->at.tls, options, error);
	return option ? error_set(error, -EINVAL, "-o %s=: %s:// has no TLS; %s:// has TLS", option, scheme->name, scheme->with_tls) : 0;
}

/* What the URL says. */
static int read_source(const struct scheme *scheme, const char *location, const struct options *options, struct redis_target *target,
	struct redis_seeds *seeds, char **ret_source, struct error *error)
{
	int r = scheme->is_several ? redis_seeds_read(location, scheme->is_sentinel, scheme->kind, target, seeds, ret_source, error)
				   : redis_target_read(location, scheme->kind, target, ret_source, error);
	if (r == 0 && !scheme->is_several && options->read_from == READ_FROM_REPLICA)
		r = error_set(error, -EINVAL, "-o read_from=replica: a single server has no replicas; use it with redis-cluster:// or redis-sentinel://, also with TLS");
	if (r == 0 && options->write && options->read_from == READ_FROM_REPLICA)
		r = error_set(error, -EINVAL, "-o write: not with read_from=replica, since what is stored reaches replicas later");
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

/* The SDK takes single servers only. */
static int redis_open_variable(const char *variable, const char *value, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	static const char *const taken[] = {"redis", "rediss", "unix"};
	const char *colon = strstr(value, "://");
	for (size_t i = 0; colon && i < sizeof taken / sizeof *taken; i++)
		if (part_is((struct part){value, (size_t)(colon - value)}, taken[i]))
			return redis_open(taken[i], colon + 3, options, ret, ret_source, error);
	return error_set(error, -EINVAL, "%s: not the URL of a Redis server; it is redis://HOST or unix:///SOCKET", variable);
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

/* The number behind a name in the text of INFO, else 0. */
static uint64_t number_of(const char *info, const char *name)
{
	const char *at = info;
	while ((at = strstr(at, name)) && at != info && at[-1] != '\n')
		at++;
	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* A server without a limit has that of its machine. */
static int ask_memory(struct redis_connection *c, void *arg)
{
	struct capacity *memory = arg;
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

/* The sums of all servers. One who may not ask sees a filesystem without a size. */
static int ask_all_memory(void *arg, struct capacity *ret)
{
	struct redis_backend *b = arg;
	struct node_list list;
	struct capacity memory = {0};
	int r = nodes_list(&b->nodes, &list);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.count; i++)
		r = nodes_ask_one(&b->nodes, &list, i, NULL, ask_memory, &memory, NULL);
	node_list_done(&b->nodes, &list);
	if (r == -ESTALE)
		return -EAGAIN;
	if (r < 0 && r != -EACCES && r != -ENOSYS)
		return r;
	*ret = r == 0 ? memory : (struct capacity){0};
	return 0;
}

static int redis_statfs(struct backend *backend, struct statvfs *ret)
{
	struct redis_backend *b = redis_of(backend);
	return capacity_statfs(&b->memory, ask_all_memory, b, ret);
}

const struct backend_ops redis_backend = {
	.name = "redis",
	.title = "Redis",
	.schemes = (const char *const[]){"redis", "rediss", "unix", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel", NULL},
	.mounts = "Redis (redis://HOST, unix:///SOCKET, redis-cluster://, redis-sentinel://; by TLS rediss://, rediss-cluster://, rediss-sentinel://)",
	.forms = (const char *const[]){"redis://HOST", "unix:///SOCKET", NULL},
	.variable = "CACHEKIT_REDIS_URL",
	.last_variable = "REDIS_URL",
	.stores_keys = true,
	.remote = true,
	.open = redis_open,
	.open_variable = redis_open_variable,
	.close = redis_close,
	.needs = redis_needs,
	.find = redis_find,
	.fetch = redis_fetch,
	.expires = redis_expires,
	.list = redis_list,
	.next = redis_next,
	.list_end = redis_list_end,
	.forget = redis_forget,
	.stop = redis_stop,
	.changed = redis_changed,
	.statfs = redis_statfs,
	.put = redis_put,
	.remove = redis_remove,
	.expire = redis_expire,
};
