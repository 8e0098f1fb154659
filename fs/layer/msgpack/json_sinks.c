#include "json_sinks.h"

#include "ckfs/msgpack.h"

#include <errno.h>

/* Room that is used before *cancel is looked at again. */
#define STEP ((size_t)1 << 20)

/*
 * At this depth a quote is escaped by 2^28 - 1 backslashes. One string deeper, the opening and closing quotes alone take
 * 2 * (2^29 - 1) bytes, and the text around them is then over JSON_TEXT_MAX.
 */
#define DEPTH_MAX 28
_Static_assert(JSON_TEXT_MAX == UINT64_C(1) << (DEPTH_MAX + 2), "a deeper string does not fit");

int meter_flush(struct meter *meter)
{
	meter->written += (uint64_t)(meter->sink.p - meter->to->p);
	meter->to->p = meter->sink.p;
	if (meter->written > JSON_TEXT_MAX) {
		meter->too_long = true;
		return -EFBIG;
	}
	return meter->cancel && atomic_load_explicit(meter->cancel, memory_order_relaxed) ? -EINTR : 0;
}

static int meter_more(struct sink *sink, size_t n)
{
	struct meter *meter = (struct meter *)sink;
	int r = meter_flush(meter);
	if (r == 0)
		r = sink_room(meter->to, n);
	if (r < 0)
		return r;
	size_t room = (size_t)(meter->to->end - meter->to->p);
	sink->p = meter->to->p;
	sink->end = sink->p + (room < STEP ? room : STEP);
	return 0;
}

void meter_init(struct meter *meter, struct sink *to, const atomic_bool *cancel)
{
	*meter = (struct meter){.sink = {.p = to->p, .end = to->p, .more = meter_more}, .to = to, .cancel = cancel};
}

static int write_backslashes(struct sink *sink, size_t n)
{
	for (size_t piece; n > 0; n -= piece) {
		piece = n < JSON_WRITE_ROOM ? n : JSON_WRITE_ROOM;
		int r = sink_room(sink, piece);
		if (r < 0)
			return r;
		memset(sink->p, '\\', piece);
		sink->p += piece;
	}
	return 0;
}

/* Each depth doubles the backslashes before a byte that needs one, and adds one. */
static int quoter_drain(struct quoter *quoter)
{
	struct sink *to = &quoter->to->sink;
	const uint8_t *p = quoter->buffer;
	int r = 0;
	while (r == 0 && p < quoter->sink.p) {
		size_t n = 0, left = (size_t)(quoter->sink.p - p);
		while (n < left && p[n] != '"' && p[n] != '\\')
			n++;
		r = json_write_bytes(to, p, n);
		if (r == 0 && n < left) {
			r = write_backslashes(to, ((size_t)1 << quoter->depth) - 1);
			if (r == 0)
				r = json_write_char(to, (char)p[n++]);
		}
		p += n;
	}
	quoter->sink.p = quoter->buffer;
	return r;
}

static int quoter_more(struct sink *sink, size_t n)
{
	(void)n; /* JSON_WRITE_ROOM at most */
	return quoter_drain((struct quoter *)sink);
}

void quoter_init(struct quoter *quoter, struct meter *to)
{
	quoter->sink = (struct sink){.p = quoter->buffer, .end = quoter->buffer + sizeof quoter->buffer, .more = quoter_more};
	quoter->to = to;
	quoter->depth = 0;
}

int quoter_open(struct quoter *quoter)
{
	if (quoter->depth == DEPTH_MAX) {
		quoter->to->too_long = true;
		return -EFBIG;
	}
	int r = json_write_char(&quoter->sink, '"');
	if (r == 0)
		r = quoter_drain(quoter);
	if (r == 0)
		quoter->depth++;
	return r;
}

int quoter_close(struct quoter *quoter)
{
	int r = quoter_drain(quoter);
	quoter->depth--;
	if (r == 0)
		r = json_write_char(&quoter->sink, '"');
	return r < 0 || quoter->depth > 0 ? r : quoter_drain(quoter);
}
