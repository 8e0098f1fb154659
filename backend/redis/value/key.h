/* Whether a listing has named the version of a key. */
#ifndef CKFS_REDIS_KEY_H
#define CKFS_REDIS_KEY_H

#include "redis_backend.h"

/* Notes that a listing has named a key's version by its head; tells whether one may have (also true for some keys that share its bit). */
void redis_note_listed(struct redis_backend *b, const struct key_hash *key);
bool redis_was_listed(struct redis_backend *b, const struct key_hash *key);

#endif
