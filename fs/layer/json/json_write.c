#include "json_write.h"

#include "ckfs/utf8.h"

#include <errno.h>
#include <stdbool.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes looked at in one step. */
#define BLOCK 16u

static const char digit_pairs[201] =
	"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566"
	"676869707172737475767778798081828384858687888990919293949596979899";

uint8_t *json_digits(uint64_t value, uint8_t *to)
{
	uint8_t digits[20];
	unsigned at = sizeof digits;
	for (; value >= 100; value /= 100) {
		at -= 2;
		memcpy(digits + at, digit_pairs + 2 * (value % 100), 2);
	}
	if (value >= 10) {
		at -= 2;
		memcpy(digits + at, digit_pairs + 2 * value, 2);
	} else {
		digits[--at] = (uint8_t)('0' + value);
	}
	memcpy(to, digits + at, sizeof digits - at);
	return to + (sizeof digits - at);
}

int json_write_u64(struct sink *sink, uint64_t value)
{
	int r = sink_room(sink, 20);
	if (r < 0)
		return r;
	sink->p = json_digits(value, sink->p);
	return 0;
}

int json_write_i64(struct sink *sink, int64_t value)
{
	int r = sink_room(sink, 21);
	if (r < 0)
		return r;
	if (value < 0)
		*sink->p++ = '-';
	sink->p = json_digits(value < 0 ? -(uint64_t)value : (uint64_t)value, sink->p);
	return 0;
}

/*
 * Copies a block, and returns one bit (the lowest for the first) for each byte that does not stand for
 * itself: quote, backslash, control byte, not ASCII.
 */
#ifdef __SSE2__
static inline unsigned copy_block(const uint8_t *p, uint8_t *to)
{
	__m128i block = _mm_loadu_si128((const __m128i *)p);
	_mm_storeu_si128((__m128i *)to, block);
	/* Signed: what is not ASCII is below the space too. */
	__m128i special = _mm_cmplt_epi8(block, _mm_set1_epi8(' '));
	special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
	special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
	return (unsigned)_mm_movemask_epi8(special);
}
#else
static inline unsigned copy_block(const uint8_t *p, uint8_t *to)
{
	unsigned special = 0;
	for (unsigned i = 0; i < BLOCK; i++) {
		to[i] = p[i];
		special |= (unsigned)(p[i] < ' ' || p[i] >= 0x80 || p[i] == '"' || p[i] == '\\') << i;
	}
	return special;
}
#endif

/* Writes a byte that has an escape; at most 6 bytes. */
static uint8_t *write_escape(uint8_t c, uint8_t *to)
{
	static const char short_forms[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	char name = c >= ' ' ? (char)c : short_forms[c];
	*to++ = '\\';
	if (name) {
		*to++ = (uint8_t)name;
		return to;
	}
	memcpy(to, c < 16 ? "u000" : "u001", 4);
	to[4] = (uint8_t)"0123456789abcdef"[c & 15];
	return to + 5;
}

/*
 * Moves past the bytes that do not stand for themselves, up to `stop`; a character that begins before it may end behind it, but
 * not behind `end`. False when they are not UTF-8. A byte takes 6 at most, and a character over the stop 3 more.
 */
static inline bool write_special(const uint8_t **p, const uint8_t *stop, const uint8_t *end, uint8_t **to)
{
	const uint8_t *at = *p;
	uint8_t *out = *to;
	while (at < stop) {
		if (*at >= 0x80) {
			unsigned length = utf8_length(at, (size_t)(end - at));
			if (length == 0)
				return false;
			for (unsigned i = 0; i < length; i++)
				*out++ = *at++;
		} else if (*at < ' ' || *at == '"' || *at == '\\') {
			out = write_escape(*at++, out);
		} else {
			break;
		}
	}
	*p = at;
	*to = out;
	return true;
}

/* A part of a string: where it begins, where to stop, where the string ends, and up to where reading is allowed. */
struct part {
	const uint8_t *p, *stop, *end, *readable;
};

/* Writes up to the stop. There is room for 6 bytes for each, a character over the stop and a block. NULL when it is not UTF-8. */
static uint8_t *write_part(struct part *part, uint8_t *to)
{
	const uint8_t *p = part->p;
	while (p < part->stop) {
		size_t left = (size_t)(part->stop - p);
		unsigned special;
		if ((size_t)(part->readable - p) >= BLOCK) {
			special = copy_block(p, to);
		} else {
			uint8_t padded[BLOCK] = {0};
			memcpy(padded, p, left);
			special = copy_block(padded, to);
		}
		if (left < BLOCK)
			special |= 1u << left;
		unsigned plain = special ? (unsigned)__builtin_ctz(special) : BLOCK;
		p += plain;
		to += plain;
		if (plain < BLOCK && !write_special(&p, part->stop, part->end, &to))
			return NULL;
	}
	part->p = p;
	return to;
}

int json_write_string(struct sink *sink, const uint8_t *p, size_t n, size_t readable)
{
	enum { PIECE = (JSON_WRITE_ROOM - 32) / 6 };
	const uint8_t *end = n ? p + n : p;
	struct part part = {.p = p, .end = end, .readable = n ? p + readable : p};
	int r = json_write_char(sink, '"');
	while (r == 0 && part.p < end) {
		size_t left = (size_t)(end - part.p);
		part.stop = part.p + (left < PIECE ? left : PIECE);
		r = sink_room(sink, 6 * (size_t)(part.stop - part.p) + 3 + BLOCK);
		if (r < 0)
			return r;
		uint8_t *to = write_part(&part, sink->p);
		if (!to)
			return -EUCLEAN;
		sink->p = to;
	}
	return r < 0 ? r : json_write_char(sink, '"');
}

static uint8_t *encode_base64(const uint8_t *p, size_t n, uint8_t *to)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (; n >= 3; n -= 3, p += 3, to += 4) {
		uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
		to[0] = (uint8_t)alphabet[bits >> 18];
		to[1] = (uint8_t)alphabet[bits >> 12 & 63];
		to[2] = (uint8_t)alphabet[bits >> 6 & 63];
		to[3] = (uint8_t)alphabet[bits & 63];
	}
	if (n == 0)
		return to;
	uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0);
	to[0] = (uint8_t)alphabet[bits >> 18];
	to[1] = (uint8_t)alphabet[bits >> 12 & 63];
	to[2] = n > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
	to[3] = '=';
	return to + 4;
}

int json_write_base64(struct sink *sink, const uint8_t *p, size_t n)
{
	enum { PIECE = JSON_WRITE_ROOM / 4 * 3 };
	int r = json_write_char(sink, '"');
	while (r == 0 && n > 0) {
		size_t piece = n < PIECE ? n : PIECE;
		r = sink_room(sink, (piece + 2) / 3 * 4);
		if (r < 0)
			return r;
		sink->p = encode_base64(p, piece, sink->p);
		p += piece;
		n -= piece;
	}
	return r < 0 ? r : json_write_char(sink, '"');
}
