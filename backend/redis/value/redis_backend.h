/* What the parts of the Redis backend share. */
#ifndef CKFS_REDIS_BACKEND_H
#define CKFS_REDIS_BACKEND_H

#include "records.h"

#include "backend/redis/servers/nodes.h"
#include "backend/remote/capacity.h"

#include "ckfs/backend.h"
#include "ckfs/work.h"

/* Threads that ask for listings. */
#define REDIS_AHEAD_THREADS 4

/* Values up to this many bytes are read whole when they are found. */
#define REDIS_SMALL (64u << 10)

/* Of larger values, this many first bytes can be read without a fetch. */
#define REDIS_HEAD 4096

/* Words of 64 bits, a power of two. */
#define REDIS_LISTED_WORDS 16384

struct redis_backend {
	struct backend backend;
	struct redis_target target;
	atomic_bool stop; /* of the target */
	struct password_file *password_file; /* of the target; NULL: none */
	int timeout_ms;
	uint64_t seed; /* of all hashes of this mount: nobody can make two keys or values look the same */
	struct changes changes;
	struct redis_nodes nodes;
	struct records records;
	atomic_uint_least64_t listed[REDIS_LISTED_WORDS]; /* a bit for each key whose version a listing has named by its head; keys share bits */
	struct work_pool *ahead; /* asks for what listings will show next */
	atomic_bool lacks_scan_type;  /* a server before 6.0 */
	atomic_bool refuses;          /* the last change, and the log has its words */
	struct known_capacity memory;
};

static inline struct redis_backend *redis_of(struct backend *backend)
{
	return (struct redis_backend *)backend;
}

#endif
