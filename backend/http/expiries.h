/*
 * What the service has told of expiries a moment ago: who looks at two attributes of an entry, or asks how long one is, makes one request. It is told
 * again only of the version about which it was asked: a new one has an expiry of its own.
 */
#ifndef CKFS_HTTP_EXPIRIES_H
#define CKFS_HTTP_EXPIRIES_H

#include "ckfs/backend.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPIRIES 64

struct expiries {
	pthread_mutex_t lock;
	/* protected by lock */
	uint64_t changes; /* of entries, counted */
	struct {
		struct key_hash key;
		struct version version;
		int64_t expires; /* unix seconds, 0: never */
		int64_t until;   /* monotonic ms: it is good so long */
		uint64_t changed; /* the number of the last change of a key that has this place */
	} last[EXPIRIES];
};

void expiries_init(struct expiries *expiries);
void expiries_done(struct expiries *expiries);

/* Before the service is asked: what is noted of the answer has to have this number. */
uint64_t expiries_ask(struct expiries *expiries);
void expiries_note(struct expiries *expiries, const struct key_hash *key, const struct version *version, uint64_t ask, int64_t expires);

/* An entry was changed: what was told of it is forgotten, and what was asked before is not noted. */
void expiries_drop(struct expiries *expiries, const struct key_hash *key);
bool expiries_find(struct expiries *expiries, const struct key_hash *key, const struct version *version, int64_t *ret);
void expiries_forget(struct expiries *expiries);

#endif
