/*
 * A key: the name an application stored a value under. The file backend stores only
 * the key's BLAKE2b-128, so a key may be known by its hash alone.
 */
#ifndef CKFS_KEY_H
#define CKFS_KEY_H

#include "ckfs/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_HASH_SIZE 16
#define KEY_HEX_SIZE 32

struct key_hash {
	uint8_t bytes[KEY_HASH_SIZE];
};

struct key {
	struct key_hash hash;
	char *text; /* owned, any bytes, then a NUL; NULL: only the hash is known */
	size_t length;
};

/* 0, -ENOMEM. */
int key_from_text(const void *text, size_t length, struct key *ret);
void key_from_hash(const struct key_hash *hash, struct key *ret);
int key_copy(const struct key *key, struct key *ret);
void key_done(struct key *key);
#define cleanup_key cleanup_with(key_done)

/* Hands a key over: what is left is empty. */
static inline struct key key_steal(struct key *key)
{
	struct key stolen = *key;
	*key = (struct key){0};
	return stolen;
}

/* Lower-case hex, with a NUL. */
void key_hash_to_hex(const struct key_hash *hash, char ret[KEY_HEX_SIZE + 1]);

/* False unless the n bytes are exactly 32 lower-case hex digits. */
bool key_hash_from_hex(const char *hex, size_t n, struct key_hash *ret);

bool key_hash_equal(const struct key_hash *a, const struct key_hash *b);

/* Where to look in a hash table. */
uint64_t key_hash_short(const struct key_hash *hash);

/*
 * Whether values under this key are interop values: {namespace}:{operation}:{64 hex}, each of the first
 * two [a-z0-9][a-z0-9._-]{0,63} without "..", the namespace none of "ns", "nsapi". A key known by its hash is not.
 */
bool key_is_interop(const struct key *key);

#endif
