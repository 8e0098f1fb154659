/*
 * The connection that announcements are redirected to (CLIENT TRACKING … REDIRECT), and what comes over it: by RESP3, for which nobody needs
 * the right to subscribe, else by RESP2 as of a channel.
 *
 *   RESP3   >2 invalidate *n key…                               and the plain answer to a PING
 *   RESP2   *3 message __redis__:invalidate *n key…             and *2 pong ""
 *
 * No keys, but nil: all of them.
 */
#ifndef CKFS_REDIS_ANNOUNCEMENTS_H
#define CKFS_REDIS_ANNOUNCEMENTS_H

#include "redis_changes.h"
#include "redis_identity.h"

/* Opens one. *ret_identity: the number to redirect to, and a name that proves whose it is. 0; -EACCES, -ENOSYS the server refuses; -errno. */
int announcements_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct client_identity *ret_identity);

/* What announcements name a key by. */
uint64_t announced_hash(uint64_t seed, const void *key, size_t n);

/* Reads one message, and notes the keys that it names. *ret_pong: it was the answer to a PING. 0, -errno. */
int announcements_read(struct redis_connection *connection, uint64_t seed, struct changes *changes, bool *ret_pong);

#endif
