/*
 * Connections of any kind, lent to one request at a time. They are opened as they are needed, up to a few, and kept. One that turns
 * out to be dead is replaced, and after a failure nobody tries again for a moment.
 */
#ifndef CKFS_REMOTE_POOL_H
#define CKFS_REMOTE_POOL_H

#include "password.h"

#include "ckfs/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define POOL_MAX 16

/* So many of them at most are lent to long calls, which fetch or store a value, so that a lookup finds a free one. */
#define POOL_LONG_MAX 12

struct pool;

/* What every connection of a pool begins with. */
struct pooled {
	uint64_t serial; /* no other connection of its pool has it; 0: it is of no pool */
	uint64_t era;    /* it is lent as long as the pool's is the same */
	bool used;       /* it has served before: the server may have closed it since */
};

/* What a kind of connection can do. What may be NULL says so. */
struct pool_ops {
	/* Connects and logs in. 0; -errno with the error set, which is logged when such trouble begins. */
	int (*open)(struct pool *pool, struct pooled **ret, struct error *error);

	/* NULL is allowed as connection. */
	void (*close)(struct pooled *connection);

	/* What is asked of a new one before it is used; sets its era. 0, -errno. NULL: nothing. */
	int (*prepare)(struct pool *pool, struct pooled *connection);

	/* Whether all that was asked for was read and nothing failed, so that it can serve again. */
	bool (*is_clean)(const struct pooled *connection);

	/* It is lent to one who may go away and set *cancel then (NULL: never), and who counts in *progress whenever something arrives. */
	void (*lend)(struct pooled *connection, const atomic_bool *cancel, atomic_uint_least64_t *progress);

	/*
	 * The era of the connections that count now: idle ones of another one are closed. `first`: of this request. It may wait. NULL: there is
	 * one era, 0.
	 */
	uint64_t (*era)(struct pool *pool, bool first);

	/* Whether an idle one of another era is kept all the same, for those that wish for it. Under the lock. NULL: none is. */
	bool (*is_kept)(const struct pooled *connection);

	/* Whether it is one that a request wishes for. Under the lock. NULL: requests have no wishes. */
	bool (*fits)(const struct pooled *connection, const void *wish);

	/* It is about to be closed, after it had been lent or could have been. Under the lock. NULL: nobody wants to know. */
	void (*closing)(struct pool *pool, const struct pooled *connection);
};

struct pool {
	const struct pool_ops *ops;
	const char *name;        /* of the server, for the log; borrowed */
	int timeout_ms;          /* the longest wait without progress */
	const atomic_bool *stop; /* all who wait give up when it is true; borrowed; NULL: none */
	struct password_file *password_file; /* what logins are made with; borrowed; NULL: none */
	atomic_uint_least64_t progress; /* counts what arrives on any connection */
	atomic_bool in_trouble;  /* the last try to connect has failed */
	pthread_mutex_t lock;
	pthread_cond_t returned; /* for those who have no wish */
	pthread_cond_t wished;   /* for those who have, and for long calls when there are too many */
	/* protected by lock */
	struct pooled *idle[POOL_MAX];
	unsigned idle_count, open_count; /* open: lent ones, and those that are being opened, too */
	unsigned long_calls; /* that have one, or open one: backend_call_is_long() */
	struct pooled *connected[POOL_MAX]; /* lent ones too */
	unsigned connected_count;
	uint64_t serial;  /* of the last one */
	int64_t retry_at; /* monotonic ms: before that nobody connects */
	int pause;        /* ms */
	unsigned lost;    /* connections that were found dead, or of another era, and not replaced yet */
	int failure;      /* why the last try failed */
	unsigned refused; /* the number of the password that it had */
};

void pool_init(struct pool *pool, const struct pool_ops *ops, const char *name, int timeout_ms, const atomic_bool *stop,
	struct password_file *password_file);

/* Closes all. None is lent any more. */
void pool_done(struct pool *pool);

/*
 * Lends a connection to `ask`, which asks and reads all answers; what it leaves unread costs the connection. It is called again when a connection
 * that had served before was dead (-ECONNRESET). When all that it may have are lent, it waits as long as anything arrives on one of them.
 *
 * `wish`: as long as there are connections that fit it, it is one of them, for which it waits; when there is none any more it is another one, so `ask`
 * has to look. NULL: whichever.
 *
 * 0, what ask() says, or why there is none: -ECONNREFUSED, -EHOSTUNREACH, -ETIMEDOUT, -EACCES, -EAGAIN, -EMFILE, -EIO, -ENOMEM, never -ENOENT;
 * -ECONNRESET the connection was lost, which says nothing of the server; -EINTR *cancel became true.
 */
int pool_ask(struct pool *pool, const void *wish, int (*ask)(struct pooled *connection, void *arg), void *arg, const atomic_bool *cancel);

/* Calls `look` under the lock: none is opened, lent or closed meanwhile. It must not wait. */
bool pool_look(struct pool *pool, bool (*look)(const struct pool *pool, void *arg), void *arg);

#endif
