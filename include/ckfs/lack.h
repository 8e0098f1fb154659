/* What ckfs itself lacks: memory, descriptors, a directory to spool to. It is no property of the entry that was asked for. */
#ifndef CKFS_LACK_H
#define CKFS_LACK_H

#include "ckfs/error.h"
#include "ckfs/spool.h"

#include <stdbool.h>

enum { LACK_MEMORY, LACK_DESCRIPTORS, LACK_SPOOL, LACK_KINDS };

/* Which lack an error is; LACK_KINDS: none. */
unsigned lack_kind(int r);

/* Whether an error is one of these. */
bool lack_is(int r);

/* The errno that a user is told for r. */
int lack_errno(int r);

/* The errno of the lack itself: of a spool directory, what it could not do. */
int lack_cause(const struct spool *spool, int r);

/* Names what ckfs lacks, by what lack_kind() and lack_cause() say. */
void lack_explain(const struct spool *spool, unsigned kind, int cause, struct error *ret);

#endif
