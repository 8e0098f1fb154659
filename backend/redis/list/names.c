#include "names.h"

#include <errno.h>
#include <string.h>

/* Bytes that are read at a time. */
#define PIECE ((uint64_t)256 << 10)

/* A usual page takes less. */
#define PAGE_BYTES ((uint64_t)128 << 10)

static int read_bytes(struct sink *to, struct redis_connection *c, uint64_t n)
{
	int r = 0;
	while (r == 0 && n > 0) {
		const size_t piece = n < PIECE ? (size_t)n : (size_t)PIECE;
		r = sink_room(to, piece);
		if (r == 0)
			r = connection_read(c, to->p, piece);
		to->p += r == 0 ? piece : 0;
		n -= piece;
	}
	return r;
}

static int read_name(struct names *names, struct redis_connection *c)
{
	uint64_t length = 0;
	int r = connection_string_or_nil(c, NAMES_BYTES_MAX, &length);
	if (r <= 0)
		return r;
	if (spool_length(&names->text) > NAMES_BYTES_MAX - length)
		return -EIO;
	r = spool_write(&names->text, &length, sizeof length);
	if (r == 0)
		r = read_bytes(&names->text.sink, c, length);
	return r < 0 ? r : connection_string_end(c);
}

int names_read(struct names *names, struct redis_connection *c)
{
	int64_t count = 0;
	int r = connection_array(c, &count);
	if (r == 0 && !names->begun) {
		r = spool_begin_growing(names->spool, PAGE_BYTES, false, &names->text);
		names->begun = r == 0;
	}
	for (int64_t i = 0; r == 0 && i < count; i++)
		r = read_name(names, c);
	return r;
}

bool names_are_taken(const struct names *names)
{
	return !names->begun || names->at == spool_length(&names->text);
}

bool names_next(struct names *names, const char **ret, size_t *ret_length)
{
	uint64_t length;
	if (names_are_taken(names))
		return false;
	memcpy(&length, spool_bytes(&names->text) + names->at, sizeof length);
	names->at += sizeof length;
	*ret = (const char *)spool_bytes(&names->text) + names->at;
	*ret_length = (size_t)length;
	names->at += length;
	return true;
}

void names_drop(struct names *names)
{
	if (names->begun)
		spool_restart(&names->text);
	names->at = 0;
}

void names_done(struct names *names)
{
	if (names->begun)
		spool_abort(&names->text);
	names->begun = false;
}
