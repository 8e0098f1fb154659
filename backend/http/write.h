/* Storing, removing and expiring values: operations of the backend (ckfs/backend.h). */
#ifndef CKFS_HTTP_WRITE_H
#define CKFS_HTTP_WRITE_H

#include "ckfs/backend.h"

/* The service takes no longer life: seconds. */
#define SERVICE_TTL_MAX INT64_C(2592000)

int http_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel);

/* The service does not tell whether there was anything: who calls has found it. */
int http_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel);

/* -EINVAL: further away than SERVICE_TTL_MAX, or never, which the service does not make of an expiry. */
int http_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel);

#endif
