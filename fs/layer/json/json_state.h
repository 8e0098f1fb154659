/* Where a scan stands, for json_scan.c (structure, names), json_number.c and json_string.c. */
#ifndef CKFS_JSON_STATE_H
#define CKFS_JSON_STATE_H

#include "ckfs/json_scan.h"

#include <errno.h>

enum state {
	WANT_VALUE,
	WANT_FIRST_ELEMENT, /* after "[": a value or "]" */
	WANT_FIRST_KEY,     /* after "{": a name or "}" */
	WANT_KEY,
	WANT_COLON,
	WANT_NEXT, /* after a value in a container: "," or its end */
	WANT_END,  /* after the outermost value */
	IN_STRING,
	IN_ESCAPE,
	IN_HEX,
	IN_LITERAL,
	IN_MINUS, /* the numbers: named after what came last */
	IN_ZERO,
	IN_INTEGER,
	IN_POINT,
	IN_FRACTION,
	IN_E,
	IN_E_SIGN,
	IN_EXPONENT,
};

static inline void json_fail(struct json_scan *scan)
{
	scan->result = -EUCLEAN;
}

static inline void json_emit(struct json_scan *scan, enum json_event event, const uint8_t *bytes, size_t n)
{
	if (scan->on_event)
		scan->result = scan->on_event(scan->arg, event, scan->level, bytes, n);
}

static inline void json_begin_literal(struct json_scan *scan, const char *rest, enum json_event event)
{
	scan->literal = rest;
	scan->literal_event = event;
	scan->state = IN_LITERAL;
}

/* NaN and the infinities: numbers for Python alone. */
static inline void json_begin_nonfinite(struct json_scan *scan, const char *rest)
{
	if (scan->dialect == JSON_PYTHON)
		json_begin_literal(scan, rest, JSON_NUMBER);
	else
		json_fail(scan);
}

static inline void json_value_done(struct json_scan *scan)
{
	scan->state = scan->level > 0 ? WANT_NEXT : WANT_END;
}

#endif
