/* What the service says of how long an entry has still to live: {"ttl": SECONDS} or {"ttl": null}. */
#ifndef CKFS_HTTP_TTL_H
#define CKFS_HTTP_TTL_H

#include <stddef.h>
#include <stdint.h>

/* A longer life, in seconds, is none that the service gives: a hundred years. */
#define TTL_MAX INT64_C(3155760000)

/* It does not expire. */
#define TTL_NEVER (-1)

/* Reads the JSON: whole seconds up to TTL_MAX, or TTL_NEVER. Other members are passed over, of two the last counts. 0; -EUCLEAN it says something else. */
int ttl_read(const void *json, size_t n, int64_t *ret);

#endif
