/*
 * What was learnt of an entry version and is worth knowing after the entry was closed: whether its checksum holds, how large it and what is
 * made of it are, and which errors were logged. Bounded; what was forgotten is learnt again.
 */
#ifndef CKFS_LEARNT_H
#define CKFS_LEARNT_H

#include "decode.h"
#include "entry_id.h"
#include "renderings.h"

/* Versions remembered. */
#define LEARNT_MAX 65536

struct learnt;

/* 0, -ENOMEM. */
int learnt_new(struct learnt **ret);
void learnt_free(struct learnt *learnt);

/* Forgets all. */
void learnt_clear(struct learnt *learnt);

void learnt_put(struct learnt *learnt, const struct entry_id *id, const struct verdict *verdict);
void learnt_put_rendered(struct learnt *learnt, const struct entry_id *id, enum rendering rendering, const struct rendered *rendered);

/* False when nothing is known. */
bool learnt_get(struct learnt *learnt, const struct entry_id *id, struct verdict *ret);
bool learnt_get_rendered(struct learnt *learnt, const struct entry_id *id, enum rendering rendering, struct rendered *ret);

/* True the first time that this error is met on this entry: it is to be logged then. */
bool learnt_first_error(struct learnt *learnt, const struct entry_id *id, int error);

#endif
