/* toy://HOST:PORT, a key-value store. What is said is in connection.c. */
#include "toy.h"

#include "connection.h"

#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT 7070

static void toy_close(struct backend *backend)
{
	struct toy *toy = (struct toy *)backend;
	pool_done(&toy->pool);
	endpoint_done(&toy->server);
	free(toy->backend.prefix);
	free(toy);
}

static void toy_stop(struct backend *backend)
{
	atomic_store(&((struct toy *)backend)->stop, true);
}

/* Says so if there is no server. */
static int try_once(struct toy *toy, struct error *error)
{
	struct pooled *first = NULL;
	int r = toy_pool_ops.open(&toy->pool, &first, error);
	toy_pool_ops.close(first);
	return r;
}

static int toy_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	const bool listed = strcmp(scheme, "toy") == 0;
	struct toy *toy = calloc(1, sizeof *toy);
	cleanup_free char *source = malloc(strlen(scheme) + strlen(location) + sizeof "://");
	if (!toy || !source) {
		free(toy);
		return error_set(error, -ENOMEM, "no memory");
	}
	sprintf(source, "%s://%s", scheme, location);
	toy->backend.ops = listed ? &toy_backend : &toy_unlisted_backend;
	int r = host_read((struct part){location, strlen(location)}, "toy://", PORT, &toy->server.host, &toy->server.port, error);
	pool_init(&toy->pool, &toy_pool_ops, toy->server.host, (int)(options->timeout * 1000), &toy->stop, NULL);
	if (r == 0 && key_prefix_make(options, &toy->backend) < 0)
		r = error_set(error, -ENOMEM, "no memory");
	if (r == 0)
		r = try_once(toy, error);
	if (r < 0) {
		toy_close(&toy->backend);
		return r;
	}
	*ret = &toy->backend;
	*ret_source = steal(source);
	return 0;
}

const struct backend_ops toy_backend = {
	.name = "toy",
	.title = "toy store",
	.schemes = (const char *const[]){"toy", NULL},
	.mounts = "toys (toy://HOST)",
	.forms = (const char *const[]){"toy://HOST", NULL},
	.variable = "CACHEKIT_TOY",
	.stores_keys = true,
	.remote = true,
	.open = toy_open,
	.close = toy_close,
	.find = toy_find,
	.list = toy_list,
	.next = toy_next,
	.list_end = toy_list_end,
	.stop = toy_stop,
	.put = toy_put,
	.remove = toy_remove,
	.expire = toy_expire,
};

const struct backend_ops toy_unlisted_backend = {
	.name = "toy-unlisted",
	.title = "toy store without listings",
	.schemes = (const char *const[]){"toy-unlisted", NULL},
	.mounts = "toys that nobody lists (toy-unlisted://HOST)",
	.forms = (const char *const[]){"toy-unlisted://HOST", NULL},
	.stores_keys = true,
	.remote = true,
	.open = toy_open,
	.close = toy_close,
	.find = toy_find,
	.stop = toy_stop,
};
