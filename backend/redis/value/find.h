/* Finding and fetching values: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_REDIS_FIND_H
#define CKFS_REDIS_FIND_H

#include "redis_backend.h"

int redis_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret);
int redis_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret);
int redis_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);

#endif
