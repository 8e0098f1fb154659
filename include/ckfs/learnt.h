/*
 * What was learnt of an entry version and is worth knowing after the entry was closed: whether its
 * checksum holds, how large it is decoded, and which errors were logged. Bounded; what was forgotten is learnt again.
 */
#ifndef CKFS_LEARNT_H
#define CKFS_LEARNT_H

#include "ckfs/backend.h"
#include "ckfs/decode.h"

/* Versions remembered. */
#define LEARNT_MAX 65536

struct learnt;

/* 0, -ENOMEM. */
int learnt_new(struct learnt **ret);
void learnt_free(struct learnt *learnt);

/* Forgets all. */
void learnt_clear(struct learnt *learnt);

void learnt_put(struct learnt *learnt, const struct version *version, const struct verdict *verdict);
void learnt_put_json(struct learnt *learnt, const struct version *version, const struct rendered *rendered);

/* False when nothing is known. */
bool learnt_get(struct learnt *learnt, const struct version *version, struct verdict *ret);
bool learnt_get_json(struct learnt *learnt, const struct version *version, struct rendered *ret);

/* True the first time that this error is met on this version: it is to be logged then. */
bool learnt_first_error(struct learnt *learnt, const struct version *version, int error);

#endif
