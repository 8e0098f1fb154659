/*
 * The Memcached backend: one server or several, among which keys are placed as the SDK's client does. What reads it changes nothing: no
 * time to live, and no order of eviction.
 */
#include "backend/backends.h"
#include "backend/memcached/list/listing.h"
#include "backend/memcached/value/find.h"
#include "backend/memcached/value/write.h"
#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_THREADS 4

static void mc_close(struct backend *backend)
{
	struct mc_backend *b = mc_of(backend);
	work_pool_free(b->ahead);
	dumps_free(b->dumps);
	for (size_t i = 0; b->servers && i < b->source.count; i++)
		mc_server_done(&b->servers[i]);
	free(b->servers);
	mc_source_done(&b->source);
	password_file_close(b->password_file);
	mc_known_done(&b->known);
	capacity_done(&b->capacity);
	free(b->backend.prefix);
	free(b);
}

static void mc_needs(const struct backend *backend, struct sandbox *sandbox)
{
	const struct mc_backend *b = (const struct mc_backend *)backend;
	password_file_needs(b->password_file, sandbox);
	for (size_t i = 0; i < b->source.count; i++)
		transport_needs(&b->source.nodes[i].at, sandbox);
}

/* --- opening --- */

/* Takes over the source and the password file on success. 0, -ENOMEM. */
static int mc_new(const struct options *options, struct mc_source *source, struct password_file *password_file, struct mc_backend **ret)
{
	struct mc_backend *b = calloc(1, sizeof *b);
	if (!b)
		return -ENOMEM;
	b->backend.ops = &memcached_backend;
	b->timeout_ms = (int)(options->timeout * 1000);
	randombytes_buf(&b->seed, sizeof b->seed);
	clock_gettime(CLOCK_REALTIME, &b->mounted);
	capacity_init(&b->capacity);
	int r = mc_known_init(&b->known);
	if (r == 0)
		r = key_prefix_make(options, &b->backend);
	if (r == 0)
		r = dumps_new(&b->stop, &b->dumps);
	if (r == 0)
		r = work_pool_new(AHEAD_THREADS, &b->ahead);
	b->servers = r == 0 ? calloc(source->count, sizeof *b->servers) : NULL;
	if (!b->servers) {
		mc_close(&b->backend);
		return -ENOMEM;
	}
	b->source = *source;
	*source = (struct mc_source){0};
	b->password_file = password_file;
	const struct mc_login login = {b->source.user, b->source.password, password_file};
	for (size_t i = 0; i < b->source.count; i++)
		mc_server_init(&b->servers[i], &b->source.nodes[i], &login, b->seed, b->timeout_ms, &b->stop);
	*ret = b;
	return 0;
}

/* What makes no sense for any server, or later: a login that is refused, a server that is too old. */
static bool is_fatal(int r)
{
	return r == -EACCES || r == -EPROTONOSUPPORT || r == -EIO || r == -ENOMEM || r == -EMFILE;
}

/* Tried once, so that a mount that cannot work says so. One server that answers is enough: those that do not are errors for their keys. */
static int try_servers(struct mc_backend *b, struct error *error)
{
	int first = 0;
	bool answered = false;
	for (size_t i = 0; i < b->source.count; i++) {
		struct mc_connection *c = NULL;
		struct error own;
		int r = mc_server_connect(&b->servers[i], &c, &own);
		mc_connection_close(c);
		answered |= r == 0;
		if (r < 0 && (first == 0 || is_fatal(r))) {
			first = r;
			*error = own;
		}
		if (is_fatal(r))
			return r;
	}
	return answered ? 0 : first;
}

static int settle(const struct options *options, const struct mc_source *source, struct password_file **ret, struct error *error)
{
	const char *tls = tls_option_given(options);
	if (tls)
		return error_set(error, -EINVAL, "-o %s=: memcached:// has no TLS", tls);
	if (options->read_from == READ_FROM_REPLICA)
		return error_set(error, -EINVAL, "-o read_from=replica: Memcached has no replicas");
	if (options->password_file && !source->user)
		return error_set(error, -EINVAL, "-o password_file=: whose password is it? Write memcached://USER@HOST");
	return options->password_file ? password_file_open(options->password_file, ret, error) : 0;
}

/* Takes over the source, also when it fails. */
static int open_servers(const struct options *options, struct mc_source *source, struct backend **ret, struct error *error)
{
	struct mc_backend *b = NULL;
	struct password_file *password_file = NULL;
	uint64_t value_max = 0;
	int r = settle(options, source, &password_file, error);
	if (r == 0 && options->write)
		r = mc_read_value_max(&value_max, error);
	if (r == 0 && mc_new(options, source, password_file, &b) < 0)
		r = error_set(error, -ENOMEM, "no memory");
	if (r < 0) {
		password_file_close(password_file);
		mc_source_done(source);
		return r;
	}
	b->backend.value_max = value_max;
	r = try_servers(b, error);
	if (r < 0) {
		mc_close(&b->backend);
		return r;
	}
	*ret = &b->backend;
	return 0;
}

static int mc_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	(void)scheme;
	struct mc_source source = {0};
	cleanup_free char *shown = NULL;
	int r = mc_source_read(location, &source, &shown, error);
	if (r == 0)
		r = open_servers(options, &source, ret, error);
	if (r == 0)
		*ret_source = steal(shown);
	return r;
}

/* The SDK's prefix counts with the SDK's servers, unless there is an option. */
static int mc_open_variable(const char *variable, const char *value, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	struct mc_source source = {0};
	cleanup_free char *shown = NULL;
	cleanup_free char *prefix = NULL;
	const char *own = getenv("CACHEKIT_MEMCACHED_KEY_PREFIX");
	struct options with_prefix = *options;
	if (!options->prefix && own && *own) {
		prefix = strdup(own);
		if (!prefix)
			return error_set(error, -ENOMEM, "no memory");
		with_prefix.prefix = prefix;
	}
	int r = mc_source_read_list(variable, value, &source, &shown, error);
	if (r == 0)
		r = open_servers(&with_prefix, &source, ret, error);
	if (r == 0)
		*ret_source = steal(shown);
	return r;
}

static void mc_stop(struct backend *backend)
{
	atomic_store(&mc_of(backend)->stop, true);
}

/* --- df --- */

static int ask_facts(struct pooled *pooled, void *arg)
{
	return mc_connection_facts(mc_connection_of(pooled), arg);
}

/* The sums of all servers that answer. */
static int ask_capacity(void *arg, struct capacity *ret)
{
	struct mc_backend *b = arg;
	struct capacity sum = {0};
	int failed = 0;
	bool answered = false;
	for (size_t i = 0; i < b->source.count; i++) {
		struct mc_server_facts facts;
		int r = mc_server_ask(&b->servers[i], ask_facts, &facts, NULL);
		failed = r < 0 ? r : failed;
		if (r < 0)
			continue;
		answered = true;
		sum.used += facts.used;
		sum.max += facts.max;
	}
	if (!answered)
		return failed;
	*ret = sum;
	return 0;
}

static int mc_statfs(struct backend *backend, struct statvfs *ret)
{
	struct mc_backend *b = mc_of(backend);
	return capacity_statfs(&b->capacity, ask_capacity, b, ret);
}

/* Nothing has to be forgotten: each look asks the server. */
const struct backend_ops memcached_backend = {
	.name = "memcached",
	.title = "Memcached",
	.schemes = (const char *const[]){"memcached", NULL},
	.mounts = "Memcached (memcached://HOST, memcached:///SOCKET)",
	.forms = (const char *const[]){"memcached://HOST", NULL},
	.variable = "CACHEKIT_MEMCACHED_SERVERS",
	.stores_keys = true,
	.remote = true,
	.open = mc_open,
	.open_variable = mc_open_variable,
	.close = mc_close,
	.needs = mc_needs,
	.find = mc_find,
	.fetch = mc_fetch,
	.expires = mc_expires,
	.list = mc_list,
	.next = mc_next,
	.list_end = mc_list_end,
	.stop = mc_stop,
	.statfs = mc_statfs,
	.put = mc_put,
	.remove = mc_remove,
	.expire = mc_expire,
};
