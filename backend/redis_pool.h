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
	atomic_bool is_told; /* that there is more than one server */
	pthread_mutex_t lock;
	pthread_cond_t returned;
	/* protected by lock */
	struct redis_connection *idle[POOL_MAX];
	unsigned idle_count, open_count; /* open: lent ones too */
	struct redis_connection *connected[POOL_MAX]; /* lent ones too */
	unsigned connected_count;
	uint64_t serial; /* of the last one */
	uint64_t lost; /* the last round of which a connection that a listener hears of was closed */
	int64_t retry_at; /* monotonic ms: before that nobody connects */
	int pause;        /* ms */
	int failure;      /* why the last try failed */
	unsigned refused; /* the number of the password that it had */
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

/* The server process that a connection has reached: what it has said of its own insides (a SCAN cursor) means nothing to another one. */
struct reached {
	uint64_t serial; /* of the connection; 0: none */
	uint64_t round;  /* all that a listener hears of in one round have reached the same; 0: that was not proved */
};

struct reached reached_of(const struct redis_connection *connection);

/* Whether a connection has reached that process, too. */
bool reached_by(const struct reached *reached, const struct redis_connection *connection);

/*
 * As pool_ask(), by a connection to a process that was reached before, for which it waits. NULL: whichever. When there is none any more it is
 * another one, so `ask` has to look.
 */
int pool_ask_again(struct redis_pool *pool, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg), void *arg);

/*
 * Whether a connection that was set up for a round is gone. What was read by it is announced no more: the server forgets that when
 * it closes one.
 */
bool pool_has_lost(struct redis_pool *pool, uint64_t round);

#endif
