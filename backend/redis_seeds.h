/*
 * A source of several Redis servers: what its URL says.
 *
 *   redis-cluster://[user[:password]@]host[:port][,host[:port]…]
 *   redis-sentinel://[user[:password]@]host[:port][,host[:port]…]/service[/db]
 *
 * Its parts mean what they mean to redis_target.h. A cluster has database 0 only; a sentinel's own port is 26379.
 */
#ifndef CKFS_REDIS_SEEDS_H
#define CKFS_REDIS_SEEDS_H

#include "redis_target.h"

#include <stddef.h>

#define SENTINEL_PORT 26379

/* Servers in a URL. */
#define SEEDS_MAX 64

/* A host name with its NUL. */
#define REDIS_HOST_MAX 256

struct redis_address {
	char host[REDIS_HOST_MAX];
	int port;
};

struct redis_seeds {
	size_t count; /* 0: a single server is meant */
	struct redis_address *servers; /* of a cluster; or its sentinels */
	char *service; /* what the sentinels call it; NULL: a cluster */
};

/*
 * Reads what follows the "://". *ret_login: who logs in, and the database, without a host. *ret_shown: the URL without a password,
 * owned by the caller. 0; -EINVAL, -ENOMEM with the error set, which never holds a password.
 */
int redis_seeds_read(const char *rest, bool is_sentinel, struct redis_target *ret_login, struct redis_seeds *ret, char **ret_shown,
	struct error *error);

void redis_seeds_done(struct redis_seeds *seeds);

#endif
