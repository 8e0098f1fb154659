/* What the parts of the Memcached backend share. */
#ifndef CKFS_MEMCACHED_BACKEND_H
#define CKFS_MEMCACHED_BACKEND_H

#include "known.h"

#include "backend/memcached/servers/server.h"
#include "backend/remote/capacity.h"

#include "ckfs/backend.h"
#include "ckfs/work.h"

/*
 * Where no item is larger than this, values are read when they are found: it takes no longer than to ask once more. Else their size is asked for first.
 * Listings read the values of items up to this size.
 */
#define MC_READ_AT_ONCE (UINT64_C(1) << 20)

/* Of larger values than are kept, this many first bytes are. */
#define MC_HEAD_BYTES 4096

struct dumps;

struct mc_backend {
	struct backend backend;
	struct mc_source source;
	struct password_file *password_file; /* NULL: none */
	struct mc_server *servers; /* as many as the source has nodes, in the same order */
	atomic_bool stop;
	int timeout_ms;
	uint64_t seed; /* of all hashes of this mount */
	struct timespec mounted;
	struct mc_known known;
	struct known_capacity capacity;
	struct dumps *dumps; /* of listings (list/dumps.h) */
	struct work_pool *ahead; /* makes the keys that listings show next (list/names.h) */
};

static inline struct mc_backend *mc_of(struct backend *backend)
{
	return (struct mc_backend *)backend;
}

#endif
