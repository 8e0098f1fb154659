/*
 * Reads a ByteStorage envelope out of a payload by few and small reads, or in constant memory where it must be
 * walked. Private to bytestorage*.c.
 *
 * 0; -EUCLEAN with static text in reader->reason; -EINTR; -EIO; -ENOMEM.
 */
#ifndef CKFS_ENVELOPE_READER_H
#define CKFS_ENVELOPE_READER_H

#include "ckfs/slice.h"
#include "fs/layer/msgpack/msgpack_head.h"

#include <stdatomic.h>

struct envelope_reader {
	const struct slice *payload;
	const atomic_bool *cancel;
	const char *reason;
	uint64_t at;    /* in the payload: buf[0] */
	size_t pos, n;  /* in buf: the next byte, and where what was read ends */
	uint8_t *large; /* NULL: buf is `small` */
	uint8_t small[256];
};

/* Begins at `offset`. envelope_reader_done() lets go. */
void envelope_reader_init(struct envelope_reader *reader, const struct slice *payload, uint64_t offset, const atomic_bool *cancel);
void envelope_reader_done(struct envelope_reader *reader);

/* From here on there is much to read. */
int envelope_reader_widen(struct envelope_reader *reader);

/* Where the next byte lies in the payload, and how many are left from there. */
uint64_t envelope_reader_at(const struct envelope_reader *reader);
uint64_t envelope_reader_left(const struct envelope_reader *reader);

/* The next head; never a reserved one. */
int envelope_reader_head(struct envelope_reader *reader, struct msgpack_head *ret);

/* The next n bytes. */
int envelope_reader_skip(struct envelope_reader *reader, uint64_t n);
int envelope_reader_take(struct envelope_reader *reader, void *to, size_t n);

/* The next n bytes, which must be UTF-8. To `to`, or (NULL) nowhere. */
int envelope_reader_text(struct envelope_reader *reader, uint64_t n, char *to);

/* The next `count` integers, all of 0..255, whatever their encoding. To `to`, or (NULL) nowhere. */
int envelope_reader_octets(struct envelope_reader *reader, uint64_t count, uint8_t *to);

#endif
