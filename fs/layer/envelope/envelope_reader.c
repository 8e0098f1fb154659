#include "envelope_reader.h"

#include "ckfs/utf8.h"

#include <errno.h>
#include <stdlib.h>

#define LARGE ((size_t)64 << 10)

static int fail(struct envelope_reader *r, const char *reason)
{
	r->reason = reason;
	return -EUCLEAN;
}

static const uint8_t *buf_of(const struct envelope_reader *r)
{
	return r->large ? r->large : r->small;
}

void envelope_reader_init(struct envelope_reader *reader, const struct slice *payload, uint64_t offset, const atomic_bool *cancel)
{
	reader->payload = payload;
	reader->cancel = cancel;
	reader->reason = NULL;
	reader->at = offset;
	reader->pos = reader->n = 0;
	reader->large = NULL;
}

void envelope_reader_done(struct envelope_reader *reader)
{
	free(reader->large);
}

int envelope_reader_widen(struct envelope_reader *reader)
{
	if (reader->large)
		return 0;
	uint8_t *large = malloc(LARGE);
	if (!large)
		return -ENOMEM;
	memcpy(large, reader->small, reader->n);
	reader->large = large;
	return 0;
}

uint64_t envelope_reader_at(const struct envelope_reader *reader)
{
	return reader->at + reader->pos;
}

uint64_t envelope_reader_left(const struct envelope_reader *reader)
{
	return reader->payload->length - envelope_reader_at(reader);
}

/* Makes the buffer hold the next `want` bytes, or all that are left. */
static int fill(struct envelope_reader *r, size_t want)
{
	size_t have = r->n - r->pos;
	uint64_t left = envelope_reader_left(r);
	if (have >= want || have == left)
		return 0;
	if (r->cancel && atomic_load_explicit(r->cancel, memory_order_relaxed))
		return -EINTR;
	uint8_t *buf = r->large ? r->large : r->small;
	size_t room = r->large ? LARGE : sizeof r->small;
	size_t n = left < room ? (size_t)left : room;
	memmove(buf, buf + r->pos, have);
	r->at += r->pos;
	r->pos = 0;
	r->n = have;
	int e = slice_read(r->payload, r->at + have, buf + have, n - have);
	if (e == 0)
		r->n = n;
	return e;
}

int envelope_reader_head(struct envelope_reader *reader, struct msgpack_head *ret)
{
	int r = fill(reader, MSGPACK_HEAD_MAX);
	if (r < 0)
		return r;
	struct bytes b = bytes_of(buf_of(reader) + reader->pos, reader->n - reader->pos);
	if (!msgpack_head_read(&b, ret))
		return fail(reader, "envelope is cut short");
	if (ret->kind == MSGPACK_RESERVED)
		return fail(reader, "envelope holds the byte c1 where a value begins");
	reader->pos += ret->size;
	return 0;
}

int envelope_reader_skip(struct envelope_reader *reader, uint64_t n)
{
	if (n > envelope_reader_left(reader))
		return fail(reader, "envelope is cut short");
	if (n <= reader->n - reader->pos) {
		reader->pos += (size_t)n;
	} else {
		reader->at += reader->pos + n;
		reader->pos = reader->n = 0;
	}
	return 0;
}

int envelope_reader_take(struct envelope_reader *reader, void *to, size_t n)
{
	uint64_t at = envelope_reader_at(reader);
	int r = n <= sizeof reader->small ? fill(reader, n) : 0;
	if (r == 0 && n > envelope_reader_left(reader))
		return fail(reader, "envelope is cut short");
	if (r < 0)
		return r;
	if (n > reader->n - reader->pos)
		r = slice_read(reader->payload, at, to, n);
	else
		memcpy(to, buf_of(reader) + reader->pos, n);
	return r < 0 ? r : envelope_reader_skip(reader, n);
}

int envelope_reader_text(struct envelope_reader *reader, uint64_t n, char *to)
{
	if (n > envelope_reader_left(reader))
		return fail(reader, "envelope is cut short");
	int r = n > sizeof reader->small ? envelope_reader_widen(reader) : 0;
	while (n > 0 && r == 0) {
		size_t want = n < 4 ? (size_t)n : 4;
		r = fill(reader, want);
		if (r < 0)
			break;
		size_t have = reader->n - reader->pos;
		const uint8_t *p = buf_of(reader) + reader->pos;
		unsigned length = utf8_length(p, have < n ? have : (size_t)n);
		if (length == 0)
			return fail(reader, "envelope's format name is not UTF-8");
		to = to ? (char *)memcpy(to, p, length) + length : NULL;
		reader->pos += length;
		n -= length;
	}
	return r;
}

/* Takes those of the two usual encodings that lie in the buffer. How many. */
static size_t usual_octets(struct envelope_reader *r, uint64_t count, uint8_t *to)
{
	const uint8_t *start = buf_of(r) + r->pos, *p = start, *end = buf_of(r) + r->n;
	size_t done = 0;
	while (done < count && p < end) {
		bool wide = *p == 0xcc;
		if ((*p >= 0x80 && !wide) || (wide && end - p < 2))
			break;
		if (to)
			to[done] = p[wide];
		p += 1 + wide;
		done++;
	}
	r->pos += (size_t)(p - start);
	return done;
}

int envelope_reader_octets(struct envelope_reader *reader, uint64_t count, uint8_t *to)
{
	struct msgpack_head head;
	while (count > 0) {
		size_t done = usual_octets(reader, count, to);
		count -= done;
		to = to ? to + done : NULL;
		if (count == 0)
			break;
		int r = envelope_reader_head(reader, &head);
		if (r < 0)
			return r;
		if ((head.kind != MSGPACK_UINT && head.kind != MSGPACK_INT) || head.value > 255)
			return fail(reader, "envelope holds something else where bytes should be");
		if (to)
			*to++ = (uint8_t)head.value;
		count--;
	}
	return 0;
}
