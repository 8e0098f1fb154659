/* What a key is called on the server, and what tells two versions of its value apart. */
#include "redis.h"

#include <stdlib.h>
#include <string.h>

char *redis_name_new(const struct redis_backend *b, const struct key *key, size_t *ret_length)
{
	size_t n = b->backend.prefix_length;
	char *name = malloc(n + key->length + 1);
	if (!name)
		return NULL;
	memcpy(name, b->backend.prefix, n);
	memcpy(name + n, key->text, key->length);
	*ret_length = n + key->length;
	return name;
}

XXH128_hash_t redis_hash(const struct redis_backend *b, const void *bytes, size_t n)
{
	return XXH3_128bits_withSeed(bytes, n, b->seed);
}

XXH128_hash_t redis_hash_ends(const struct redis_backend *b, const void *first, const void *last)
{
	uint8_t ends[2 * REDIS_LISTED_HEAD];
	memcpy(ends, first, REDIS_LISTED_HEAD);
	memcpy(ends + REDIS_LISTED_HEAD, last, REDIS_LISTED_HEAD);
	return redis_hash(b, ends, sizeof ends);
}

struct identity {
	struct key_hash key;
	XXH128_hash_t hash;
	uint64_t size, change;
};

static void version_of(const struct redis_backend *b, const struct identity *identity, struct version *ret)
{
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, redis_hash(b, identity, sizeof *identity));
	memcpy(ret->id, canonical.digest, sizeof ret->id);
}

void redis_version_of_content(const struct redis_backend *b, const struct key_hash *key, XXH128_hash_t content, struct version *ret)
{
	/* No value is as large: it is not mixed up with the other kind. */
	version_of(b, &(struct identity){.key = *key, .hash = content, .size = UINT64_MAX}, ret);
}

void redis_version_of_head(const struct redis_backend *b, const struct key_hash *key, uint64_t size, XXH128_hash_t head, uint64_t change,
	struct version *ret)
{
	version_of(b, &(struct identity){.key = *key, .hash = head, .size = size, .change = change}, ret);
}

static atomic_uint_least64_t *listed_word(struct redis_backend *b, const struct key_hash *key, uint64_t *ret_bit)
{
	uint64_t h = key_hash_short(key);
	*ret_bit = UINT64_C(1) << (h & 63);
	return &b->listed[h >> 6 & (REDIS_LISTED_WORDS - 1)];
}

void redis_note_listed(struct redis_backend *b, const struct key_hash *key)
{
	uint64_t bit;
	atomic_uint_least64_t *word = listed_word(b, key, &bit);
	if (!(atomic_load(word) & bit))
		atomic_fetch_or(word, bit);
}

bool redis_was_listed(struct redis_backend *b, const struct key_hash *key)
{
	uint64_t bit;
	return atomic_load(listed_word(b, key, &bit)) & bit;
}
