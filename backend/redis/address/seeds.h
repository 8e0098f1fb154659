/*
 * A source of several Redis servers: what its URL says.
 *
 *   redis-cluster://[user[:password]@]host[:port][,host[:port]…]
 *   redis-sentinel://[user[:password]@]host[:port][,host[:port]…]/service[/db]
 *   rediss-cluster://… rediss-sentinel://… the same, with TLS to each server and sentinel
 *
 * Its parts mean what they mean to address/target.h. A cluster has database 0 only; a sentinel's own port is 26379.
 */
#ifndef CKFS_REDIS_SEEDS_H
#define CKFS_REDIS_SEEDS_H

#include "target.h"

#include <stddef.h>

#define SENTINEL_PORT 26379

struct redis_seeds {
	size_t count; /* 0: a single server is meant */
	struct address *servers; /* of a cluster; or its sentinels */
	char *service; /* what the sentinels call it; NULL: a cluster */
};

/*
 * Reads what follows the "://". `kind`: how each of them is reached, TARGET_TCP or TARGET_TLS. *ret_login: what all have in common, which
 * is all of a target but its host. *ret_shown: the URL without a password and ssl_…, owned by the caller. 0; -EINVAL, -ENOMEM with the
 * error set, which never holds a password.
 */
int redis_seeds_read(const char *rest, bool is_sentinel, enum target_kind kind, struct redis_target *ret_login, struct redis_seeds *ret,
	char **ret_shown, struct error *error);

void redis_seeds_done(struct redis_seeds *seeds);

#endif
