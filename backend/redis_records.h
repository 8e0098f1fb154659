/*
 * What was found of keys, so that it need not be asked for again. Bounded in number and in bytes of values; the least
 * recently used go first. Any thread may call.
 */
#ifndef CKFS_REDIS_RECORDS_H
#define CKFS_REDIS_RECORDS_H

#include "ckfs/backend.h"
#include "ckfs/table.h"

#include <pthread.h>
#include <xxhash.h>

#define RECORDS_MAX 65536

/* Bytes of values that records hold. */
#define RECORDS_BYTES_MAX (UINT64_C(16) << 20)

/* No change has this number. */
#define RECORD_NEVER UINT64_MAX

/* What one key had, when its last change was number `change`. */
struct record {
	struct version version;
	uint64_t change;
	struct timespec written; /* when the version was, as far as anybody told */
	uint64_t size;          /* bytes of the value */
	XXH128_hash_t head;     /* of its first bytes; where nothing is announced, of its last ones as well */
	bool content_known;
	XXH128_hash_t content;  /* of all of it */
	int64_t expires;        /* unix seconds, 0: never */
	int64_t deadline;       /* monotonic ms: as of then it has to be asked again; INT64_MAX: never */
	bool has_value;
	bool whole;             /* `value` is all of it, else the first bytes, in memory */
	struct slice value;     /* of its own; empty when there is none */
	int64_t hot_until;      /* monotonic ms: until then it changes too fast for more than one step */
};

struct record_node {
	struct table_node node;
	struct record_node *newer, *older;
	struct key_hash hash;
	struct record record;
};

struct records {
	pthread_mutex_t lock;
	/* protected by lock */
	struct table table;
	struct record_node *newest, *oldest;
	uint64_t bytes;
};

/* 0, -ENOMEM. */
int records_init(struct records *records);
void records_done(struct records *records);

/* A copy, with a reference to its value; record_done() drops that. False: there is none. */
bool records_get(struct records *records, const struct key_hash *hash, struct record *ret);

/* All but its heat. Takes a reference of its own to the value. Without memory nothing is remembered. */
void records_put(struct records *records, const struct key_hash *hash, const struct record *record);

/* All but its heat. */
void records_drop(struct records *records, const struct key_hash *hash);

/*
 * Says that a version, which was named before anybody had read all of it, has this content. False: it has another one, or is
 * not known any more.
 */
bool records_claim(struct records *records, const struct key_hash *hash, const struct version *version, XXH128_hash_t content);

/* Makes a key hot. */
void records_heat(struct records *records, const struct key_hash *hash, int64_t until);

void record_done(struct record *record);

#endif
