/* Reading what one key has, over one connection: its value, or how large that is and its first bytes, and when it expires. */
#ifndef CKFS_REDIS_VALUE_H
#define CKFS_REDIS_VALUE_H

#include "expiry.h"
#include "redis_backend.h"

struct look {
	struct redis_backend *b;
	const struct key_hash *key;
	struct bytes name;  /* the key as the server knows it */
	uint64_t announced; /* what announcements name it by */
	struct spool *spool; /* where a large value is made */
	bool all;           /* the whole value is wanted */

	/* what was found */
	uint64_t round;  /* of the listener; 0: nobody will hear of changes */
	uint64_t change; /* number of the last one before it was asked */
	uint64_t size;
	bool whole;
	bool torn;       /* size and first bytes are not of one version */
	struct slice value; /* owned: all of it, or the first bytes, in memory */
	XXH128_hash_t content; /* of a whole value */
	struct expiry expiry;
};

/*
 * Asks for `arg`, a struct look, and fills in what was found: for nodes_ask(). A look owns its value, which the next one replaces; there is
 * none after a failure. 0; -ENOENT no such key, or no string; -errno.
 */
int redis_look(struct redis_connection *connection, void *arg);

void look_done(struct look *look);

#endif
