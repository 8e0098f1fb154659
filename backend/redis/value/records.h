/*
 * What was found of keys, so that it need not be asked for again. Bounded in number and in bytes of values; the least
 * recently used go first. Any thread may call.
 */
#ifndef CKFS_REDIS_RECORDS_H
#define CKFS_REDIS_RECORDS_H

#include "version_rules.h"

#include "backend/remote/kept.h"

#include "ckfs/backend.h"

#define RECORDS_MAX 65536

/* Bytes of the values in them. */
#define RECORDS_BYTES_MAX (UINT64_C(16) << 20)

/* What one key had when it was last looked at. */
struct record {
	struct known_version known;
	int64_t expires;    /* unix seconds, 0: never */
	int64_t deadline;   /* monotonic ms: from then on it has to be asked again; INT64_MAX: never */
	bool has_value;
	bool whole;         /* `value` is all of it, else the first bytes, in memory */
	struct slice value; /* a reference; empty without has_value */
};

struct record_node {
	struct kept_node node;
	struct record record;
};

struct records {
	struct kept kept;
};

/* 0, -ENOMEM. */
int records_init(struct records *records);
void records_done(struct records *records);

/* Copies a record, with a reference to its value, which record_done() drops. False, and *ret untouched: there is none. */
bool records_get(struct records *records, const struct key_hash *hash, struct record *ret);

/* Takes a reference of its own to the value: `record` stays the caller's. Without memory nothing is remembered. */
void records_put(struct records *records, const struct key_hash *hash, const struct record *record);

/* Forgets what is known of a key. */
void records_drop(struct records *records, const struct key_hash *hash);

/* Says that a version has this content: version_takes_content(). False: it has another one, or is not the known version any more. */
bool records_claim(struct records *records, const struct key_hash *hash, const struct version *version, XXH128_hash_t content);

void record_done(struct record *record);

#endif
