/*
 * What was found of keys: the version, so that a look need not read a value again, small values, and how larger ones begin. It is asked for at each look
 * all the same.
 * Bounded in number and in bytes; the least recently used go first. Any thread may call.
 */
#ifndef CKFS_MEMCACHED_KNOWN_H
#define CKFS_MEMCACHED_KNOWN_H

#include "backend/remote/kept.h"

#include "ckfs/backend.h"

#define MC_KNOWN_MAX 65536

/* Bytes of the values. */
#define MC_KNOWN_BYTES_MAX (UINT64_C(16) << 20)

struct mc_known {
	struct kept kept;
};

/* One key, when it was last looked at. */
struct mc_seen {
	struct version version;
	int64_t expires;         /* unix seconds, 0: never */
	struct timespec written; /* when that version was seen first, if another one had been there; else when the mount began */
	bool has_value;
	bool whole;              /* `value` is all of it, else its first bytes, in memory */
	struct slice value;      /* a reference; empty without has_value */
};

/* 0, -ENOMEM. */
int mc_known_init(struct mc_known *known);
void mc_known_done(struct mc_known *known);

/* A copy, with a reference to its value, which mc_seen_done() drops. False, and *ret untouched: nothing is known. */
bool mc_known_get(struct mc_known *known, const struct key_hash *key, struct mc_seen *ret);

/* Takes a reference of its own to the value: `seen` stays the caller's. Without memory nothing is remembered. */
void mc_known_put(struct mc_known *known, const struct key_hash *key, const struct mc_seen *seen);

void mc_seen_done(struct mc_seen *seen);

#endif
