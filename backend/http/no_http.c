/* A build without libcurl says so when a mount asks for the service. */
#include "backend/backends.h"

#include <errno.h>

static int refuse(struct error *error)
{
	return error_set(error, -EPROTONOSUPPORT, "https://: this build has no HTTP, since there was no libcurl when it was built; build ckfs with libcurl 7.87 or newer");
}

static int http_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	(void)scheme;
	(void)location;
	(void)options;
	(void)ret;
	(void)ret_source;
	return refuse(error);
}

static int http_open_variable(const char *variable, const char *value, const struct options *options, struct backend **ret, char **ret_source, struct error *error)
{
	(void)variable;
	(void)value;
	(void)options;
	(void)ret;
	(void)ret_source;
	return refuse(error);
}

static int find_nothing(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret)
{
	(void)backend;
	(void)key;
	(void)whole;
	(void)spool;
	(void)cancel;
	(void)ret;
	return -EPROTONOSUPPORT;
}

const struct backend_ops http_backend = {
	.name = "http",
	.title = "CacheKit service",
	.schemes = (const char *const[]){"https", NULL},
	.mounts = "the CacheKit service (https://HOST; not in this build)",
	.forms = (const char *const[]){"https://HOST", NULL},
	.variable = "CACHEKIT_API_KEY",
	.stores_keys = true,
	.remote = true,
	.open = http_open,
	.open_variable = http_open_variable,
	.find = find_nothing,
};
