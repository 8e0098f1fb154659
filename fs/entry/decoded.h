/*
 * Decoded content and fetched values that are kept, so that the next reader finds it: bounded by what the spool counts, least recently
 * used first. What somebody holds stays whatever happens here.
 */
#ifndef CKFS_DECODED_H
#define CKFS_DECODED_H

#include "entry_id.h"

#include "ckfs/slice.h"
#include "ckfs/spool.h"

#include <stdbool.h>

/* What it is: the document (decrypted, decompressed, checked), a rendering of it, or the stored value, as it was fetched. */
enum form { FORM_DOCUMENT, FORM_VALUE, FORM_RENDERINGS };
#define FORM_RENDERING(rendering) ((enum form)((int)FORM_RENDERINGS + (int)(rendering)))

struct decoded;

/* 0, -ENOMEM. */
int decoded_new(struct decoded **ret);
void decoded_free(struct decoded *decoded);

/* Forgets all. */
void decoded_clear(struct decoded *decoded);

/* Content of an entry; a reference. False when it is not kept. */
bool decoded_get(struct decoded *decoded, const struct entry_id *id, enum form form, struct slice *ret);

/* It is being used. */
void decoded_touch(struct decoded *decoded, const struct entry_id *id, enum form form);

/* Whether it is kept just now. */
bool decoded_has(struct decoded *decoded, const struct entry_id *id, enum form form);

/* Keeps content that was just made; what lies on a disk is not kept. Without memory nothing happens. */
void decoded_put(struct decoded *decoded, const struct entry_id *id, enum form form, const struct slice *slice);

/* Lets go of what nobody else holds, oldest first, until n more bytes fit the spool or nothing is left. */
void decoded_make_room(struct decoded *decoded, const struct spool *spool, uint64_t n);

#endif
