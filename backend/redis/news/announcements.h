/*
 * The connection to which a server redirects its announcements (CLIENT TRACKING … REDIRECT), and what it brings. It uses RESP3, which needs no
 * right to subscribe; if the server has no RESP3, it is RESP2 and a channel.
 *
 *   RESP3   >2 invalidate *n key…                               and the plain answer to a PING
 *   RESP2   *3 message __redis__:invalidate *n key…             and *2 pong ""
 *
 * nil instead of keys: all keys have changed.
 */
#ifndef CKFS_REDIS_ANNOUNCEMENTS_H
#define CKFS_REDIS_ANNOUNCEMENTS_H

#include "changes.h"
#include "identity.h"

/* Opens one. *ret_identity: the number to redirect to, and a name that proves whose it is. 0; -EACCES, -ENOSYS the server refuses; -errno. */
int announcements_open(const struct redis_target *target, int timeout_ms, struct redis_connection **ret, struct client_identity *ret_identity);

/* The hash by which announcements name a key. */
uint64_t announced_hash(uint64_t seed, const void *key, size_t n);

/* Reads one message, and notes the keys that it names. *ret_pong: it was the answer to a PING. 0, -errno. */
int announcements_read(struct redis_connection *connection, uint64_t seed, struct changes *changes, bool *ret_pong);

#endif
