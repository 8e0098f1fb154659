/* When a key expires, as its server tells. */
#ifndef CKFS_REDIS_EXPIRY_H
#define CKFS_REDIS_EXPIRY_H

#include "backend/redis/wire/connection.h"

/* When a key expires: as the kernel's side counts it, and when the server has to be asked again. */
struct expiry {
	int64_t expires;  /* unix seconds by our clock, rounded down; 0: never */
	int64_t deadline; /* monotonic ms; INT64_MAX: never */
};

/* Puts the commands that ask for it; what it returns goes to redis_read_expiry(). */
unsigned redis_put_expiry(struct redis_connection *c, const struct bytes *name);

/* The answer to a PTTL: milliseconds, -1 it never expires, -2 no such key. 0; -EIO any other number, errors as of connection_integer(). */
int redis_read_left(struct redis_connection *c, int64_t *ret);

/* Reads their replies, all of them unless the connection breaks. 0; -ENOENT no such key, or just gone; -errno. */
int redis_read_expiry(struct redis_connection *c, unsigned count, int64_t asked_ms, struct expiry *ret);

#endif
