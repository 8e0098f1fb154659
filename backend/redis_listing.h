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
	int64_t looked_at; /* monotonic ms: when that was known */
	struct stored stored;
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
	struct scanned *page;
	size_t count, capacity, next;
	size_t looked_to;      /* of the page: so many were asked for */
	struct heads *ahead;   /* some of them, from an index on, are another thread's just now; NULL: none */
	pthread_mutex_t lock;  /* of what that thread tells */
	pthread_cond_t returned;
};

/* What a key that was shown is remembered by. */
uint64_t redis_fingerprint(const struct redis_cursor *c, const struct key *key);

/*
 * Makes sure that the key at an index of the page, and those before it, are no other thread's. SIZE_MAX: that none is. 0; -errno: that was
 * waited for, and has failed.
 */
int redis_heads_wait(struct redis_cursor *c, size_t index);

/* Looks at the next key of the page, and at some after it. 0, -errno: none was looked at. */
int redis_heads_look(struct redis_cursor *c);

#endif
