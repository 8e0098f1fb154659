/*
 * What is known of an entry is filed under all that it depends on. The stored bytes are not enough: a seal binds the key that they are
 * stored under, and a link or a copy has the same bytes under another key. What else it depends on (master keys, tenant, options) is the
 * same for as long as a mount lasts.
 */
#ifndef CKFS_ENTRY_ID_H
#define CKFS_ENTRY_ID_H

#include "ckfs/backend.h"
#include "ckfs/key.h"

#include <string.h>

struct entry_id {
	struct version version;
	struct key_hash key;
	bool by_text; /* what is stored is told by the key's text: an interop value, or what may be sealed without a frame */
};

static inline bool entry_id_equal(const struct entry_id *a, const struct entry_id *b)
{
	return version_equal(&a->version, &b->version) && key_hash_equal(&a->key, &b->key) && a->by_text == b->by_text;
}

/* Where to look in a hash table. */
static inline uint64_t entry_id_short(const struct entry_id *id)
{
	uint64_t h;
	memcpy(&h, id->version.id, sizeof h);
	return h ^ key_hash_short(&id->key);
}

#endif
