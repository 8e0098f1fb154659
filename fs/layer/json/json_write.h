/*
 * Writes the pieces of a JSON text into a sink. What stands between them is the caller's business.
 *
 * Each returns 0, or what the sink returned. None asks for more than JSON_WRITE_ROOM bytes at once.
 */
#ifndef CKFS_JSON_WRITE_H
#define CKFS_JSON_WRITE_H

#include "ckfs/sink.h"

#include <stdint.h>
#include <string.h>

#define JSON_WRITE_ROOM 4096u

/* Bytes as they are; n <= JSON_WRITE_ROOM. */
static inline int json_write_bytes(struct sink *sink, const void *bytes, size_t n)
{
	int r = sink_room(sink, n);
	if (r < 0)
		return r;
	memcpy(sink->p, bytes, n);
	sink->p += n;
	return 0;
}

static inline int json_write_char(struct sink *sink, char c)
{
	int r = sink_room(sink, 1);
	if (r == 0)
		*sink->p++ = (uint8_t)c;
	return r;
}

int json_write_u64(struct sink *sink, uint64_t value);
int json_write_i64(struct sink *sink, int64_t value);

/*
 * The shortest text that reads back as this very double, in the form of Python's repr: 1.0, 0.1, -0.0, 1e+16, 5e-324. `value` is finite.
 */
int json_write_double(struct sink *sink, double value);

/*
 * A string with its quotes. `readable` >= n bytes may be read at p: a short string is then looked at in one step.
 * -EUCLEAN when it is not UTF-8; what was written by then is void.
 */
int json_write_string(struct sink *sink, const uint8_t *p, size_t n, size_t readable);

/* Base64 with its quotes: RFC 4648, padded, one line. */
int json_write_base64(struct sink *sink, const uint8_t *p, size_t n);

/* The decimal digits of value at `to`, which has room for 20. Returns their end. */
uint8_t *json_digits(uint64_t value, uint8_t *to);

#endif
