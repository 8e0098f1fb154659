/* What decoding plain and sealed payloads share. */
#ifndef CKFS_DECODE_PRIVATE_H
#define CKFS_DECODE_PRIVATE_H

#include "decode.h"

/* Notes what is wrong. 0. */
int decode_fault(struct verdict *verdict, int r, const char *reason);

/* Reads a slice to the end of what was written. `stop` (NULL: nothing) ends it with what is no 0. */
int decode_read_all(const struct decoder *decoder, const struct slice *slice, struct spool_writer *writer,
	int (*stop)(const uint8_t *bytes, size_t n));

/* Checks that MessagePack is one whole document of this shape, and notes its sizes. 0, -EINTR, -EIO, -ENOMEM. */
int decode_walk(const struct decoder *decoder, const struct slice *document, enum shape shape, struct verdict *verdict);

/* decode_document() of what may be `secret`, on a verdict that was begun. */
int decode_located(const struct decoder *decoder, const struct document *d, const struct slice *payload, bool secret,
	struct verdict *verdict, struct slice *ret);

#endif
