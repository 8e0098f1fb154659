/* Storing, removing and expiring values: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_MEMCACHED_WRITE_H
#define CKFS_MEMCACHED_WRITE_H

#include "mc_backend.h"

/* Reads which values the SDK would store (CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES). 0; -EINVAL with the error set. */
int mc_read_value_max(uint64_t *ret, struct error *error);

int mc_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);
int mc_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);
int mc_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);

#endif
