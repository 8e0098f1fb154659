/*
 * Decoded content that is kept, so that the next reader finds it: bounded by what the spool counts, least recently
 * used first. What somebody holds stays whatever happens here.
 */
#ifndef CKFS_CACHE_H
#define CKFS_CACHE_H

#include "ckfs/backend.h"
#include "ckfs/slice.h"
#include "ckfs/spool.h"

#include <stdbool.h>

enum form {
	FORM_PAYLOAD,  /* a legacy frame's */
	FORM_DOCUMENT, /* decrypted, decompressed, checked */
	FORM_JSON,     /* its JSON text */
	FORM_COLUMNS,  /* what meta/ tells of its columns, JSON; empty: nothing */
};

struct cache;

/* 0, -ENOMEM. */
int cache_new(struct cache **ret);
void cache_free(struct cache *cache);

/* Forgets all. */
void cache_clear(struct cache *cache);

/* Content of a version; a reference. False when it is not kept. */
bool cache_get(struct cache *cache, const struct version *version, enum form form, struct slice *ret);

/* It is being used. */
void cache_touch(struct cache *cache, const struct version *version, enum form form);

/* Whether it is kept just now. */
bool cache_has(struct cache *cache, const struct version *version, enum form form);

/* Keeps content that was just made; what lies on a disk is not kept. Without memory nothing happens. */
void cache_put(struct cache *cache, const struct version *version, enum form form, const struct slice *slice);

/* Lets go of what nobody else holds, oldest first, until n more bytes fit the spool or nothing is left. */
void cache_make_room(struct cache *cache, const struct spool *spool, uint64_t n);

#endif
