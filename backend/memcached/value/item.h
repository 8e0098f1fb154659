/*
 * One item over one connection: what the server says of it, and its value. Heads and values are read by `mg` with `u`, which leaves the server's
 * order of eviction as it is.
 */
#ifndef CKFS_MEMCACHED_ITEM_H
#define CKFS_MEMCACHED_ITEM_H

#include "mc_backend.h"

/* A key as it is sent: as it is, or in base64. */
struct mc_name {
	size_t length;
	bool base64;
	char text[MEMCACHED_KEY_MAX];
};

struct mc_item_found {
	uint64_t size;          /* of the value, in bytes */
	struct version version;
	bool nameless;          /* the server counts no versions, and the value was not read: `version` is made up */
	int64_t expires;        /* unix seconds, 0: never */
	bool whole;
	struct slice value;     /* owned, if whole */
};

/*
 * What a key is called on the wire, with the prefix: its bytes, which also tell which server has it, are *ret_key, from malloc. 0; -ENOENT
 * no server takes such a key; -ENAMETOOLONG it is binary, and too long to be asked for; -ENOMEM.
 */
int mc_name_make(const struct mc_backend *b, const struct key *key, struct mc_name *ret, struct mc_server **ret_server);

/* Puts a question into what is to be sent. `value`: it is wanted. */
void mc_item_put(struct mc_connection *connection, const struct mc_name *name, bool value);

/*
 * Reads the answer to it. `expect`: a version; one that differs is -ESTALE before a large value is read; NULL: any will do. `spool`: for
 * the value; NULL: none was asked for. An answer of the other kind is -EIO. 0; -ENOENT; -ESTALE; -errno: after -EAGAIN and the like the connection may
 * serve on, but not after an answer that was not read to its end: its stream is broken.
 */
int mc_item_read(struct mc_connection *connection, const struct mc_backend *b, const struct key_hash *key, const struct version *expect,
	struct spool *spool, struct mc_item_found *ret);

void mc_item_done(struct mc_item_found *found);

#endif
