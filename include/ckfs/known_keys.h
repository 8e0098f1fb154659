/*
 * Keys known by name: from the file of -o keys=, and every key that was opened. Where the backend stores hashes only, they are listed by name;
 * where nobody can list it, they are all that is listed. Bounded: keys that no longer fit are listed by their hash, or not at all.
 */
#ifndef CKFS_KNOWN_KEYS_H
#define CKFS_KNOWN_KEYS_H

#include "ckfs/error.h"
#include "ckfs/key.h"

/* Bytes of keys remembered. */
#define KNOWN_KEYS_MAX (128u << 20)

struct known_keys;

/* 0, -ENOMEM. */
int known_keys_new(struct known_keys **ret);
void known_keys_free(struct known_keys *known);

/* Reads one escaped name a line; empty lines are skipped. 0, -errno with the error set. */
int known_keys_load(struct known_keys *known, const char *path, struct error *error);

/* Remembers a key; one known by its hash alone is ignored, and so is one that no longer fits. */
void known_keys_add(struct known_keys *known, const struct key *key);

/* Forgets a key that is not there any more; not one of -o keys=. */
void known_keys_unlearn(struct known_keys *known, const struct key_hash *hash);

/* The hashes of all that are known now, in no order: from malloc, *ret_count of them. 0, -ENOMEM. */
int known_keys_hashes(struct known_keys *known, struct key_hash **ret, size_t *ret_count);

/* The key with this hash, its text too when it is known. 0, -ENOMEM. */
int known_keys_find(struct known_keys *known, const struct key_hash *hash, struct key *ret);

#endif
