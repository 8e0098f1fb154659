/* The strings of JSON: plain runs are handed out where they lie, escapes are decoded, UTF-8 is checked. */
#include "json_state.h"
#include "json_string.h"

#include <endian.h>
#include <string.h>

#define ONES 0x0101010101010101u

/* The high bit of each byte that ends a plain run: quote, backslash, control byte, not ASCII. Exact up to the lowest. */
static inline uint64_t special_bytes(uint64_t word)
{
	uint64_t quote = word ^ ONES * '"';
	uint64_t backslash = word ^ ONES * '\\';
	return (((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash) | (word - ONES * 0x20) | word) & ONES * 0x80;
}

static inline const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		uint64_t special = special_bytes(le64toh(word));
		if (special)
			return p + (__builtin_ctzll(special) >> 3);
	}
	while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

static inline bool is_continuation(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

/* The length of the character at p, of which 4 bytes may be read; 0 when it is none. */
static inline unsigned character_length(const uint8_t *p)
{
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		return is_continuation(p[1]) ? 2 : 0;
	if (!is_continuation(p[1]) || !is_continuation(p[2]))
		return 0;
	unsigned start = (unsigned)p[0] << 8 | p[1];
	if (p[0] >= 0xe0 && p[0] <= 0xef) /* overlong below E0A0, surrogates from EDA0 to EDBF */
		return start >= 0xe0a0 && (start < 0xeda0 || start > 0xedbf) ? 3 : 0;
	if (!is_continuation(p[3]))
		return 0;
	return start >= 0xf090 && start <= 0xf48f ? 4 : 0;
}

/* Reads the first byte of a character that may be cut by the end of the piece. */
static bool begin_character(struct json_scan *scan, uint8_t c)
{
	if (c < 0xc2 || c > 0xf4)
		return false;
	scan->utf8_left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	scan->utf8_min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	scan->utf8_max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	return true;
}

/* Moves past what is not ASCII; NULL when it is not UTF-8. */
static const uint8_t *skip_characters(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (scan->utf8_left > 0) {
			if (*p < scan->utf8_min || *p > scan->utf8_max)
				return NULL;
			scan->utf8_left--;
			scan->utf8_min = 0x80;
			scan->utf8_max = 0xbf;
			p++;
		} else if (*p < 0x80) {
			break;
		} else if (end - p >= 4) {
			unsigned n = character_length(p);
			if (n == 0)
				return NULL;
			p += n;
		} else if (!begin_character(scan, *p++)) {
			return NULL;
		}
	}
	return p;
}

static void emit_part(struct json_scan *scan, const uint8_t *bytes, size_t n)
{
	json_emit(scan, scan->in_key ? JSON_KEY_PART : JSON_STRING_PART, bytes, n);
}

static void emit_character(struct json_scan *scan, uint32_t c)
{
	uint8_t b[4];
	size_t n = 0;
	if (c < 0x80) {
		b[n++] = (uint8_t)c;
	} else {
		if (c < 0x800) {
			b[n++] = (uint8_t)(0xc0 | c >> 6);
		} else {
			if (c < 0x10000) {
				b[n++] = (uint8_t)(0xe0 | c >> 12);
			} else {
				b[n++] = (uint8_t)(0xf0 | c >> 18);
				b[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
			}
			b[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		}
		b[n++] = (uint8_t)(0x80 | (c & 0x3f));
	}
	emit_part(scan, b, n);
}

/* Half a character, alone. */
static void emit_lone_surrogate(struct json_scan *scan)
{
	if (scan->dialect != JSON_PYTHON) {
		json_fail(scan);
		return;
	}
	scan->lone_surrogate = true;
	emit_character(scan, 0xfffd);
}

/* The high surrogate that waited gets no other half. */
static void give_up_high(struct json_scan *scan)
{
	scan->high = 0;
	emit_lone_surrogate(scan);
}

/* A whole \u escape was read. */
static void emit_unit(struct json_scan *scan)
{
	uint32_t unit = scan->unit;
	bool low = unit >= 0xdc00 && unit <= 0xdfff;
	if (scan->high && low) {
		uint32_t c = 0x10000 + ((uint32_t)(scan->high - 0xd800) << 10) + (unit - 0xdc00);
		scan->high = 0;
		emit_character(scan, c);
		return;
	}
	if (scan->high)
		give_up_high(scan);
	if (scan->result != 0)
		return;
	if (unit >= 0xd800 && unit <= 0xdbff)
		scan->high = scan->unit;
	else if (low)
		emit_lone_surrogate(scan);
	else
		emit_character(scan, unit);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_hex(struct json_scan *scan, uint8_t c)
{
	int digit = hex_digit(c);
	if (digit < 0) {
		json_fail(scan);
		return;
	}
	scan->unit = (uint16_t)(scan->unit << 4 | digit);
	if (--scan->hex_left > 0)
		return;
	scan->state = IN_STRING;
	emit_unit(scan);
}

/* The byte after the backslash. */
static void begin_escape(struct json_scan *scan, uint8_t c)
{
	static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	if (c == 'u') {
		scan->hex_left = 4;
		scan->unit = 0;
		scan->state = IN_HEX;
		return;
	}
	const char *name = memchr(names, c, sizeof names - 1);
	if (!name) {
		json_fail(scan);
		return;
	}
	if (scan->high)
		give_up_high(scan);
	scan->state = IN_STRING;
	if (scan->result == 0)
		emit_character(scan, (uint8_t)values[name - names]);
}

const uint8_t *json_read_escape(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	if (scan->state == IN_ESCAPE)
		begin_escape(scan, *p++);
	while (p < end && scan->state == IN_HEX && scan->result == 0)
		read_hex(scan, *p++);
	return p;
}

static void end_string(struct json_scan *scan)
{
	if (scan->in_key)
		scan->state = WANT_COLON;
	else
		json_value_done(scan);
	json_emit(scan, scan->in_key ? JSON_KEY_END : JSON_STRING_END, NULL, 0);
}

const uint8_t *json_read_string(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	if (scan->high && *p != '\\') {
		give_up_high(scan);
		if (scan->result != 0)
			return p;
	}
	const uint8_t *run = p;
	for (;;) {
		if (scan->utf8_left == 0)
			p = skip_plain(p, end);
		if (p == end || (scan->utf8_left == 0 && *p < 0x80))
			break;
		p = skip_characters(scan, p, end);
		if (!p) {
			json_fail(scan);
			return end;
		}
	}
	if (p > run)
		emit_part(scan, run, (size_t)(p - run));
	if (p == end || scan->result != 0)
		return p;
	if (*p == '"')
		end_string(scan);
	else if (*p == '\\')
		scan->state = IN_ESCAPE;
	else
		json_fail(scan);
	return p + 1;
}
