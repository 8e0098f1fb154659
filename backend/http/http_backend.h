/* What the parts of the backend of the CacheKit service share. */
#ifndef CKFS_HTTP_BACKEND_H
#define CKFS_HTTP_BACKEND_H

#include "expiries.h"
#include "flights.h"
#include "service.h"

#include "ckfs/buf.h"

struct http_backend {
	struct backend backend;
	struct service service;
	struct flights flights;
	struct expiries expiries;
	struct timespec opened;
	atomic_bool stop;
};

static inline struct http_backend *http_of(struct backend *backend)
{
	return (struct http_backend *)backend;
}

/* "/v1/cache/KEY", and what follows, with a NUL. 0; -ENOENT the service cannot hold such a key; -ENOMEM. */
int http_path(const struct http_backend *b, const struct key *key, const char *what, struct buf *ret);

/* Asks how long an entry has still to live: seconds, or TTL_NEVER. 0; -ENOENT; -EIO the answer makes no sense; errors as of service_ask(). */
int http_ask_ttl(struct http_backend *b, const struct key *key, const atomic_bool *cancel, int64_t *ret);

#endif
