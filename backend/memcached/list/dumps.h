/*
 * Dumps: the keys of one server, line by line, as `lru_crawler metadump hash` tells them, each over a connection of its own.
 *
 * A server has one thread for dumps, which waits for who reads; while it waits nobody else gets a dump, and some servers bear it badly. So a dump is
 * read as it is asked for, but never more slowly than DRAINED_BYTES each DRAIN_MS: what the reader does not want yet is kept in the spool by a
 * thread that all dumps share.
 */
#ifndef CKFS_MEMCACHED_DUMPS_H
#define CKFS_MEMCACHED_DUMPS_H

#include "backend/memcached/servers/server.h"

#include "ckfs/spool.h"

struct dumps;
struct dump;

/* `stop` is borrowed: all waits end when it is true. 0, -ENOMEM. */
int dumps_new(const atomic_bool *stop, struct dumps **ret);

/* None is open. NULL is allowed. */
void dumps_free(struct dumps *dumps);

/* Begins one, which asks nothing yet. 0; -ENOMEM; -EAGAIN there can be no thread. */
int dump_open(struct dumps *dumps, struct mc_server *server, struct spool *spool, struct dump **ret);

/* Whether the server has told that it lists no keys; logged once, when that begins. */
bool dump_is_refused(struct mc_server *server);

/* Ends it at once, wherever it is. NULL is allowed. */
void dump_close(struct dump *dump);

/*
 * The next item; one thread at a time. While the server has another dump, it waits, as long as one of ours makes progress, else the timeout. 1; 0 at the
 * end; -EINTR *cancel became true, and it can be called again; else -errno, and again each time: -EAGAIN the server is busy, -EOPNOTSUPP
 * it lists no keys.
 */
int dump_next(struct dump *dump, const atomic_bool *cancel, struct mc_item *ret);

#endif
