/* Receives values: from the connection to where they stay, with no copy between. */
#ifndef CKFS_REMOTE_RECEIVE_H
#define CKFS_REMOTE_RECEIVE_H

#include "ckfs/slice.h"
#include "ckfs/spool.h"

#include <xxhash.h>

/* Values up to this many bytes lie in plain memory, and are read whole when they are found. */
#define RECEIVE_SMALL (64u << 10)

struct receive {
	int (*read)(void *from, void *to, size_t n); /* the next n bytes: 0, -errno */
	void *from;
	struct spool *spool; /* where larger values are made; borrowed */
	uint64_t seed;       /* of the hash */
};

/*
 * The next n bytes, and the hash of all of them (NULL: nobody wants it). What the server says of their number takes no memory before they come.
 * 0; what `read` says; -ENOMEM, and of the spool -ENOSPC, -EMFILE, SPOOL_UNUSABLE.
 */
int receive_value(const struct receive *receive, uint64_t n, XXH128_hash_t *ret_hash, struct slice *ret);

#endif
