/* Where a listing of Redis keys stands, for listing.c and heads.c. */
#ifndef CKFS_REDIS_CURSOR_H
#define CKFS_REDIS_CURSOR_H

#include "names.h"
#include "scan.h"

#include "backend/redis/value/redis_backend.h"
#include "backend/seen.h"

#include <xxhash.h>

/* A key of which nothing is known yet. */
#define UNSEEN 1

/* Keys that are known at a time. */
#define PAGE_KEYS 1024

/* So long may all their names be but the last one. */
#define PAGE_KEYS_BYTES (UINT64_C(1) << 20)

/* Owned by the page until redis_next() hands it over. */
struct scanned {
	struct key key;       /* without the prefix */
	int r;                /* UNSEEN; 0, and `stored`; -errno */
	bool refused;         /* that is what the server says when it is asked for this key: it is there, and others may be read */
	int64_t looked_at;    /* monotonic ms: when that was known */
	struct stored stored; /* owned, where r is 0 */
};

struct heads;

struct redis_cursor {
	struct cursor cursor;
	struct redis_backend *backend;
	struct seen seen;
	uint64_t seed; /* of the fingerprints */
	char *pattern; /* of the prefix; NULL: there is none */
	struct scan scan;
	char at[24];   /* the server's next cursor */
	bool ended;    /* there are no more pages */
	bool asked_type; /* the last page was asked for by type, too */
	struct names names; /* of its last page, those that are no keys yet among them */
	struct scanned *page; /* NULL, or PAGE_KEYS of them */
	size_t count, next;
	size_t looked_to;      /* of the page: so many were asked for */
	struct heads *ahead;   /* some of them, from an index on, are another thread's just now; NULL: none */
};

/* What a key that was shown is remembered by. */
static inline uint64_t redis_fingerprint(const struct redis_cursor *c, const struct key *key)
{
	return XXH3_64bits_withSeed(key->text, key->length, c->seed);
}

#endif
