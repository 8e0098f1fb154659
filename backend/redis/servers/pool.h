/* The connections to one Redis server (backend/remote/pool.h). The era of each is the round of the listener that it was set up with. */
#ifndef CKFS_REDIS_POOL_H
#define CKFS_REDIS_POOL_H

#include "backend/redis/news/listener.h"
#include "backend/remote/pool.h"

struct redis_pool {
	struct pool pool;
	const struct redis_target *target; /* borrowed */
	struct listener *listener; /* borrowed */
	int (*prepare)(struct redis_connection *connection); /* prepares a new connection before it is used; NULL: nothing to do */
	atomic_bool is_told; /* the log has said that there is more than one server */
	uint64_t lost; /* protected by pool.lock: the last round in which a connection was closed that the listener hears of */
};

void redis_pool_init(struct redis_pool *pool, const struct redis_target *target, int timeout_ms, struct listener *listener);

/* Closes all. */
void redis_pool_done(struct redis_pool *pool);

/* The server process that a connection has reached. Its internal numbers (a SCAN cursor) mean nothing to another process. */
struct reached {
	uint64_t serial; /* of the connection; 0: none */
	uint64_t round;  /* all connections of one round have reached the same process; 0: not proved */
};

struct reached reached_of(const struct redis_connection *connection);

/* Whether a connection has reached the same process. */
bool reached_by(const struct reached *reached, const struct redis_connection *connection);

/*
 * As pool_ask(): `ask` sends commands and reads all of their replies. `reached`: use a connection to the process that was reached before, as long
 * as there is one; NULL: any connection.
 */
int redis_pool_ask(struct redis_pool *pool, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	const atomic_bool *cancel);

/*
 * Whether a connection that was set up for a round is gone. Then changes of what it has read are not announced any more: a server forgets them
 * with the connection.
 */
bool redis_pool_has_lost(struct redis_pool *pool, uint64_t round);

#endif
