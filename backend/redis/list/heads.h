/* Sizes and first bytes of the keys that a listing shows next. */
#ifndef CKFS_REDIS_HEADS_H
#define CKFS_REDIS_HEADS_H

#include "cursor.h"

/*
 * Makes sure that the key at an index of the page, and those before it, are no other thread's. 0; -errno: that was waited for, and has failed;
 * -EINTR *cancel became true: they may be its still.
 */
int redis_heads_wait(struct redis_cursor *c, size_t index, const atomic_bool *cancel);

/* Takes all keys of the page back: what another thread asks for them is not wanted any more. */
void redis_heads_drop(struct redis_cursor *c);

/* Looks at the next key of the page, and at some after it. 0, -errno: none was looked at. */
int redis_heads_look(struct redis_cursor *c, const atomic_bool *cancel);

#endif
