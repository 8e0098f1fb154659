/* Documents made of an input's bytes. Each is well formed, or nearly. */
#ifndef CKFS_DOCUMENTS_H
#define CKFS_DOCUMENTS_H

#include "ckfs/buf.h"
#include "ckfs/bytes.h"

#include <stdbool.h>

/* One MessagePack document, of every head and width. */
void make_msgpack(struct buf *to, struct bytes *rest, unsigned depth);

void make_arrow(struct buf *to, struct bytes rest);

/* dtype, dimensions, and whether the length fits. */
void make_numpy(struct buf *to, struct bytes rest, const unsigned numbers[static 3]);

/* A dataframe or a series: how many columns, of which types. */
void make_columns(struct buf *to, struct bytes rest, const unsigned numbers[static 3], bool series);

/* An array of `count` times the rest: at most 1.25 MiB. */
void make_long(struct buf *to, struct bytes rest, unsigned count);

#endif
