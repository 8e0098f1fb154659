/* Storing, removing and expiring values: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_REDIS_WRITE_H
#define CKFS_REDIS_WRITE_H

#include "redis_backend.h"

/* A server takes no larger value (proto-max-bulk-len). */
#define REDIS_VALUE_MAX (UINT64_C(512) << 20)

int redis_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);
int redis_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);
int redis_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);

#endif
