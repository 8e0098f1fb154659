/*
 * The legacy frame: one JSON object that holds its payload in base64. The text is
 * read once, and the payload decoded as the string's pieces come by.
 */
#include "ckfs/cleanup.h"
#include "ckfs/frame.h"
#include "frame_meta.h"

#include <errno.h>
#include <string.h>

#define READ_SIZE ((size_t)64 << 10)
#define OUT_SIZE ((size_t)48 << 10) /* whole groups of 3 */

/*
 * b64decode as CPython's binascii reads it when it is not strict: what is outside the
 * alphabet is skipped, "=" too unless it completes a group of four, which ends the data.
 */
struct base64 {
	uint8_t place;    /* of the next digit in its group of four */
	uint8_t pads;     /* "=" since the last digit */
	bool ended;       /* what follows is ignored */
	bool not_ascii;   /* Python cannot even make bytes of it */
	uint8_t rest;     /* bits of the last digit that are in no byte yet */
	uint64_t decoded; /* bytes so far */
};

struct legacy {
	struct frame_capture capture;
	struct base64 base64;
	const struct legacy_sink *sink; /* may be NULL */
	bool seen_data;                 /* a "data" member was met */
	bool has_data;                  /* ... and the last one is a string */
	bool sink_failed;
	size_t filled;
	uint8_t out[OUT_SIZE];
};

/* One more than the value of a digit; 0: not in the alphabet. */
static const uint8_t digit_plus_one[256] = {
	['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
	['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
	['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
	['+'] = 63,
	['/'] = 64,
};

static int flush(struct legacy *l)
{
	size_t n = l->filled;
	l->filled = 0;
	if (n == 0 || !l->sink)
		return 0;
	int r = l->sink->write(l->sink->arg, l->out, n);
	l->sink_failed = r != 0;
	return r;
}

/* Decodes whole groups, while they hold nothing but digits and there is room. Between groups, pads is 0. */
static const uint8_t *decode_groups(struct legacy *l, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *start = p;
	uint8_t *out = l->out + l->filled;
	size_t groups = (OUT_SIZE - l->filled) / 3;
	for (; groups > 0 && end - p >= 4; groups--, p += 4) {
		uint32_t a = digit_plus_one[p[0]], b = digit_plus_one[p[1]];
		uint32_t c = digit_plus_one[p[2]], d = digit_plus_one[p[3]];
		if (!a || !b || !c || !d)
			break;
		uint32_t group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		*out++ = (uint8_t)(group >> 16);
		*out++ = (uint8_t)(group >> 8);
		*out++ = (uint8_t)group;
	}
	l->base64.decoded += (uint64_t)(p - start) / 4 * 3;
	l->filled = (size_t)(out - l->out);
	return p;
}

static void decode_character(struct legacy *l, uint8_t c)
{
	struct base64 *b = &l->base64;
	if (c >= 0x80)
		b->not_ascii = true;
	if (c == '=' && b->place >= 2 && b->place + ++b->pads >= 4)
		b->ended = true;
	if (digit_plus_one[c] == 0 || b->ended)
		return;
	uint8_t digit = digit_plus_one[c] - 1;
	b->pads = 0;
	if (b->place > 0) {
		l->out[l->filled++] = (uint8_t)(b->rest << 2 * b->place | digit >> (6 - 2 * b->place));
		b->decoded++;
	}
	b->rest = digit;
	b->place = (uint8_t)((b->place + 1) % 4);
}

static int decode(struct legacy *l, const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	while (p < end) {
		if (l->filled > OUT_SIZE - 3) {
			int r = flush(l);
			if (r != 0)
				return r;
		}
		if (l->base64.place == 0 && !l->base64.ended)
			p = decode_groups(l, p, end);
		if (p < end && l->filled < OUT_SIZE)
			decode_character(l, *p++);
	}
	return 0;
}

/* A "data" member begins. Of more than one the last counts. */
static int begin_data(struct legacy *l)
{
	bool again = l->seen_data;
	l->base64 = (struct base64){0};
	l->filled = 0;
	l->seen_data = true;
	l->has_data = false;
	if (!again || !l->sink)
		return 0;
	int r = l->sink->restart(l->sink->arg);
	l->sink_failed = r != 0;
	return r;
}

static int on_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	struct legacy *l = arg;
	int r = frame_capture_event(&l->capture, event, level, bytes, n);
	/* Nothing more is read of what is no object. */
	if (r == 0 && level == 0 && !l->capture.has_object)
		return -EUCLEAN;
	if (r != 0 || level != 1 || !frame_capture_at(&l->capture, "data"))
		return r;
	if (event == JSON_KEY_END)
		return begin_data(l);
	if (event == JSON_STRING_PART)
		return decode(l, bytes, n);
	if (event == JSON_STRING_END)
		l->has_data = true;
	return 0;
}

static bool is_whole(const struct legacy *l)
{
	const struct base64 *b = &l->base64;
	return l->has_data && !b->not_ascii && (b->ended || b->place == 0);
}

/* Reads the whole value. 0; -EUCLEAN when it is not JSON. */
static int scan_value(struct legacy *l, const struct slice *value, const atomic_bool *cancel)
{
	size_t size = value->length < READ_SIZE ? (size_t)value->length : READ_SIZE;
	cleanup_free uint8_t *buf = malloc(size);
	struct json_scan scan;
	if (!buf)
		return -ENOMEM;
	json_scan_init(&scan, JSON_PYTHON, on_event, l);
	scan.levels = FRAME_LEVELS_LEGACY;
	for (uint64_t at = 0; at < value->length;) {
		size_t n = value->length - at < size ? (size_t)(value->length - at) : size;
		if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
			return -EINTR;
		int r = slice_read(value, at, buf, n);
		if (r == 0)
			r = json_scan_feed(&scan, buf, n);
		if (r != 0)
			return r;
		at += n;
	}
	return json_scan_end(&scan);
}

static void legacy_free(struct legacy **l)
{
	if (*l)
		frame_capture_done(&(*l)->capture);
	free(*l);
}

int legacy_read(const struct slice *value, const struct legacy_sink *sink, const atomic_bool *cancel, struct frame *ret)
{
	struct frame frame = {.kind = FRAME_NONE, .meta = FRAME_META_UNKNOWN, .payload_length = value->length};
	if (value->length == 0) {
		*ret = frame;
		return 0;
	}
	cleanup_with(legacy_free) struct legacy *l = malloc(sizeof *l);
	if (!l)
		return -ENOMEM;
	frame_capture_init(&l->capture, "serializer", "metadata");
	l->base64 = (struct base64){0};
	l->sink = sink;
	l->seen_data = l->has_data = l->sink_failed = false;
	l->filled = 0;

	int r = scan_value(l, value, cancel);
	if (r == 0 && is_whole(l))
		r = flush(l);
	if (r != 0 && (r != -EUCLEAN || l->sink_failed))
		return r;
	if (r == 0 && is_whole(l) && frame_capture_take(&l->capture, &frame.meta, NULL)) {
		frame.kind = FRAME_LEGACY;
		frame.payload_length = l->base64.decoded;
	}
	*ret = frame;
	return 0;
}
