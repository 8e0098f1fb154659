/*
 * Connections, lent to one request at a time. They are opened as they are needed, up to a few, and kept. One that turns
 * out to be dead is replaced, and after a failure nobody tries again for a moment.
 */
#ifndef CKFS_REDIS_POOL_H
#define CKFS_REDIS_POOL_H

#include "redis_listener.h"

/* More than are fetched at once (FETCHES_MAX), so that a lookup finds a free one. */
#define POOL_MAX 16

struct redis_pool {
	const struct redis_target *target; /* borrowed */
	int timeout_ms;
	struct listener *listener; /* borrowed */
	atomic_uint_least64_t progress; /* counts what arrives on any connection */
	int (*prepare)(struct redis_connection *connection); /* what is asked of a new one before it is used; NULL: nothing */
	atomic_bool in_trouble; /* the last try to connect has failed */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	/* protected by lock */
	struct redis_connection *idle[POOL_MAX];
	unsigned idle_count, open_count; /* open: lent ones too */
	struct redis_connection *armed[POOL_MAX]; /* open ones that a listener hears of, lent ones too */
	unsigned armed_count;
	uint64_t lost; /* the last round of which such a connection was closed */
	int64_t retry_at; /* monotonic ms: before that nobody connects */
	int pause;        /* ms */
	int failure;      /* why the last try failed */
	unsigned interruptions; /* how often it cannot be told whether the server is still the same process */
};

void pool_init(struct redis_pool *pool, const struct redis_target *target, int timeout_ms, struct listener *listener);

/* Closes all. */
void pool_done(struct redis_pool *pool);

/*
 * Lends a connection to `ask`, which puts commands and reads all of their replies; what it leaves unread costs the
 * connection. It is called again when a connection that had served before was dead. When all are lent, it waits as long as anything
 * arrives on one of them. 0, what ask() says, or why there is none: -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES, -EAGAIN, -EMFILE,
 * -EIO, -ENOMEM; -EINTR *cancel became true.
 */
int pool_ask(struct redis_pool *pool, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel);

/*
 * Whether a connection that was set up for a round is gone. What was read by it is announced no more: the server forgets that when
 * it closes one.
 */
bool pool_has_lost(struct redis_pool *pool, uint64_t round);

/* While this stays the same, the server is the same process: what it has said of its own insides (a SCAN cursor) holds. */
unsigned pool_interruptions(struct redis_pool *pool);

#endif
