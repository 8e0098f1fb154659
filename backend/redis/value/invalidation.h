/*
 * What tells applications that keep values in memory: the SDK's channel of its Redis. An event names a function, by the hash of its name, and one of its
 * keys. A key tells its function, where the SDK made it: "[ns:NAMESPACE:]func:MODULE.FUNCTION:args:…", or "HASH-NAMESPACE:…". Of any other key no
 * function is known, and nobody is told.
 *
 *   MessagePack  {"r": "ck:reg:NAMESPACE:HASH", "k": KEY}      HASH: 16 hex digits of the BLAKE3 of MODULE.FUNCTION
 */
#ifndef CKFS_REDIS_INVALIDATION_H
#define CKFS_REDIS_INVALIDATION_H

#include "ckfs/buf.h"
#include "ckfs/key.h"

#define INVALIDATION_CHANNEL "cachekit:py:invalidate:v1"

/* The SDK writes "_" for what a name has besides letters, digits and "."; of two names that look the same both are told. */
#define INVALIDATION_EVENTS 2

struct invalidation {
	unsigned count;
	struct buf events[INVALIDATION_EVENTS];
};

/* The events of a key. 0; -ENOMEM, and *ret holds nothing. */
int invalidation_of(const struct key *key, struct invalidation *ret);
void invalidation_done(struct invalidation *invalidation);

#endif
