#include "key.h"

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
