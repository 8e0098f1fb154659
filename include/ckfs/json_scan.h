/*
 * A streaming JSON reader: checks the grammar and hands out what it meets, in
 * constant memory at any length (one bit for each open level).
 *
 * Text may be fed in pieces of any size. Strings come in decoded pieces, so a
 * string of gigabytes is never held; a piece may end within a character, and an
 * empty string has none. Levels are limited to JSON_LEVELS, or fewer.
 */
#ifndef CKFS_JSON_SCAN_H
#define CKFS_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_LEVELS 1024

enum json_event {
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_KEY_PART, /* decoded UTF-8 bytes of a member's name */
	JSON_KEY_END,
	JSON_STRING_PART, /* decoded UTF-8 bytes of a string value */
	JSON_STRING_END,
	JSON_NUMBER, /* no bytes: its grammar was checked */
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};

enum json_dialect {
	JSON_STRICT, /* RFC 8259, lone surrogates refused */
	JSON_ORJSON, /* as orjson reads it: the same, but what rounds to infinity is refused, integers too */
	JSON_PYTHON, /* as Python's json.loads reads it: also NaN, Infinity, -Infinity; a lone surrogate comes as U+FFFD; no integer of over 4300 digits */
};

/* `level` counts the containers around the event, 0 for the outermost value. Nonzero ends the scan with that value. */
typedef int json_event_fn(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n);

/* What is known of the number that is being read. Private. */
struct json_number {
	int64_t point;    /* places before its decimal point, from the first digit that is not 0 */
	int64_t exponent; /* without its sign */
	bool small;       /* it is negative */
	int compared;     /* digits from that first one on; what is behind the limit's own does not count */
	int order;        /* how they compare with the limit's: negative, 0, positive */
};

struct json_scan {
	enum json_dialect dialect;
	json_event_fn *on_event; /* may be NULL: only check */
	void *arg;
	unsigned levels; /* how many may be open: JSON_LEVELS, unless the caller lowers it before the first byte */
	/* The text is not JSON for others: */
	bool nonfinite;      /* NaN or an infinity was met */
	bool lone_surrogate; /* an escaped surrogate stood alone */

	/* Private from here on. */
	int result;    /* what ended the scan; 0 while it goes on */
	uint8_t state; /* enum state of fs/layer/json/json_state.h */
	struct json_number number;
	bool in_key;   /* the string being read is a member's name */
	uint8_t utf8_left, utf8_min, utf8_max; /* continuation bytes to come; bounds of the next one */
	uint8_t hex_left;                      /* digits of \u still to come */
	uint16_t unit;                         /* those that came */
	uint16_t high;                         /* a high surrogate that waits for its other half, or 0 */
	enum json_event literal_event;
	const char *literal;                   /* what must follow, to its NUL */
	unsigned level;
	uint64_t objects[JSON_LEVELS / 64];    /* one bit for each open level: is it an object */
};

void json_scan_init(struct json_scan *scan, enum json_dialect dialect, json_event_fn *on_event, void *arg);

/* Reads n more bytes. 0; -EUCLEAN when the text cannot be JSON; else what on_event returned. */
int json_scan_feed(struct json_scan *scan, const void *bytes, size_t n);

/* The text ends here. 0 when it was one whole value; -EUCLEAN. */
int json_scan_end(struct json_scan *scan);

#endif
