/*
 * One server: the connections to it, which process it is, and what it has told of itself. Any thread may call.
 *
 * What names a version is the server process and the number (CAS) that it gives each item that is stored. The process is told by its number, the
 * second of its start, and its count of connections: one that was started again in the same second, under the same number, counts from the beginning.
 */
#ifndef CKFS_MEMCACHED_SERVER_H
#define CKFS_MEMCACHED_SERVER_H

#include "backend/memcached/wire/connection.h"
#include "backend/remote/silence.h"

struct mc_server {
	const struct mc_node *node; /* borrowed */
	struct mc_login login;      /* borrowed */
	uint64_t seed;
	struct pool pool;
	struct silence silence;
	atomic_bool no_cas, no_dump, is_early; /* as it has told last */
	atomic_bool told_no_dump;         /* it was logged */
	atomic_uint_least64_t item_max;   /* 0: it has not told */
	atomic_uint_least64_t dumped;     /* counts as its dumps go on */
	atomic_uint_least64_t restarts;   /* that only the count of connections has shown */
	pthread_mutex_t lock;
	/* protected by lock */
	uint64_t pid, start, connections; /* as the last connection has found it */
};

/* What it is given is borrowed. */
void mc_server_init(struct mc_server *server, const struct mc_node *node, const struct mc_login *login, uint64_t seed, int timeout_ms,
	const atomic_bool *stop);

/* None of its connections is lent any more. */
void mc_server_done(struct mc_server *server);

/* A connection of one's own. 0, -errno with the error set: as of mc_connection_open(). */
int mc_server_connect(struct mc_server *server, struct mc_connection **ret, struct error *error);

/*
 * Lends a connection to `ask`, which asks and reads all answers: as pool_ask(). A connection that is lost is tried once more, and then -EIO. A
 * server that has stopped to answer is -ETIMEDOUT at once while somebody waits for it.
 */
int mc_server_ask(struct mc_server *server, int (*ask)(struct pooled *connection, void *arg), void *arg, const atomic_bool *cancel);

static inline struct mc_connection *mc_connection_of(struct pooled *pooled)
{
	return (struct mc_connection *)pooled;
}

#endif
