/* The inside of the Redis backend, for redis*.c. */
#ifndef CKFS_REDIS_H
#define CKFS_REDIS_H

#include "redis_nodes.h"
#include "redis_records.h"

#include "ckfs/backend.h"
#include "ckfs/work.h"

/* Threads that ask for listings. */
#define REDIS_AHEAD_THREADS 4

/* Values up to this many bytes are read whole when they are found. */
#define REDIS_SMALL (64u << 10)

/* Of larger ones, as many of their first bytes are at hand. */
#define REDIS_HEAD 4096

/* Of as many first bytes a version is made, and so many does a listing read. */
#define REDIS_LISTED_HEAD 512

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
	atomic_uint_least64_t listed[REDIS_LISTED_WORDS]; /* bits of keys that a listing has named by their heads; some of other keys, too */
	struct work_pool *ahead; /* asks for what listings show next */
	atomic_bool lacks_expiretime; /* a server before 7.0 */
	atomic_bool lacks_scan_type;  /* a server before 6.0 */
	pthread_mutex_t memory_lock;
	int64_t memory_until;         /* protected by memory_lock: monotonic ms, until when the two below hold */
	uint64_t memory_used, memory_max;
};

static inline struct redis_backend *redis_of(struct backend *backend)
{
	return (struct redis_backend *)backend;
}

/* --- redis_expiry.c --- */

/* When a key expires: as the kernel's side counts it, and when the server has to be asked again. */
struct expiry {
	int64_t expires;  /* unix seconds by our clock, rounded down; 0: never */
	int64_t deadline; /* monotonic ms; INT64_MAX: never */
};

/* Puts the commands that ask for it; what it returns goes to redis_read_expiry(). */
unsigned redis_put_expiry(struct redis_backend *b, struct redis_connection *c, const struct bytes *name);

/* Reads their replies, all of them unless the connection breaks. 0; -ENOENT no such key, or just gone; -errno. */
int redis_read_expiry(struct redis_backend *b, struct redis_connection *c, unsigned count, int64_t asked_ms, struct expiry *ret);

/* --- redis_key.c --- */

/* The key as the server knows it, with the prefix: from malloc, or NULL. */
char *redis_name_new(const struct redis_backend *b, const struct key *key, size_t *ret_length);

/* Hash of bytes, by the mount's seed. */
XXH128_hash_t redis_hash(const struct redis_backend *b, const void *bytes, size_t n);

/*
 * Hash of how a large value begins and ends, REDIS_LISTED_HEAD bytes each. Where nothing is announced a listing tells by it whether a value is
 * another one: what the SDK stores has a checksum in one of the two.
 */
XXH128_hash_t redis_hash_ends(const struct redis_backend *b, const void *first, const void *last);

/* The version of a key's value by all of its bytes: the same ones are the same version. */
void redis_version_of_content(const struct redis_backend *b, const struct key_hash *key, XXH128_hash_t content, struct version *ret);

/* The version of a larger value of which the head is known, and the number of its last change. */
void redis_version_of_head(const struct redis_backend *b, const struct key_hash *key, uint64_t size, XXH128_hash_t head, uint64_t change,
	struct version *ret);

/* Notes that a listing has named a key's version by its head; whether one may have. */
void redis_note_listed(struct redis_backend *b, const struct key_hash *key);
bool redis_was_listed(struct redis_backend *b, const struct key_hash *key);

/* --- redis_find.c --- */

int redis_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel, struct stored *ret);
int redis_fetch(struct backend *backend, const struct key *key, const struct stored *stored, struct spool *spool, const atomic_bool *cancel,
	struct slice *ret);
int redis_expires(struct backend *backend, const struct key *key, const struct stored *stored, int64_t *ret);

/* A slice of `size` bytes of which n are at hand. 0, -ENOMEM. */
int redis_partial(const void *first, size_t n, uint64_t size, struct slice *ret);

/* --- redis_listing.c --- */

int redis_list(struct backend *backend, struct cursor **ret);
int redis_next(struct cursor *cursor, bool value, struct listed *ret);
uint64_t redis_position(const struct cursor *cursor);
int redis_seek(struct cursor *cursor, uint64_t position);
void redis_list_end(struct cursor *cursor);
int redis_resolve(struct backend *backend, const struct key_hash *hash, struct key *ret);

#endif
