/* The inside of a listing of Redis keys, for redis_listing.c and redis_heads.c. */
#ifndef CKFS_REDIS_LISTING_H
#define CKFS_REDIS_LISTING_H

#include "redis.h"
#include "redis_scan.h"

#include "ckfs/seen.h"

/* A key of which nothing is known yet. */
#define UNSEEN 1

struct scanned {
	struct key key; /* without the prefix */
	int r;          /* UNSEEN; 0, and `stored`; -errno */
	struct stored stored;
};

struct redis_cursor {
	struct cursor cursor;
	struct redis_backend *backend;
	struct seen seen;
	uint64_t seed; /* of the fingerprints */
	char *pattern; /* of the prefix; NULL: there is none */
	struct scan scan;
	char at[24];   /* the server's next cursor */
	bool ended;    /* there are no more pages */
	struct scanned *page;
	size_t count, capacity, next;
	int64_t looked_at; /* monotonic ms: when what is known of the page's keys was asked */
};

/* What a key that was shown is remembered by. */
uint64_t redis_fingerprint(const struct redis_cursor *c, const struct key *key);

/* Makes keys of the page unseen again that were looked at some time ago. */
void redis_forget_old_heads(struct redis_cursor *c);

/* Looks at keys of the page, from the next one on. 0, -errno: none was looked at. */
int redis_look_ahead(struct redis_cursor *c);

#endif
