/* Finding and fetching values: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_MEMCACHED_FIND_H
#define CKFS_MEMCACHED_FIND_H

#include "item.h"

int mc_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret);
int mc_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret);
int mc_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);

/*
 * What is to be told of an item that was found. A value that was not read is what is known of it, else there is nothing of it. `remember`: also where
 * nothing is known of the key. Takes the value that was found. 0, -ENOMEM.
 */
int mc_stored_of(struct mc_backend *b, const struct key_hash *key, struct mc_item_found *found, bool remember, struct stored *ret);

#endif
