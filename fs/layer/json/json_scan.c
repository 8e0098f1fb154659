#include "json_number.h"
#include "json_state.h"
#include "json_string.h"

void json_scan_init(struct json_scan *scan, enum json_dialect dialect, json_event_fn *on_event, void *arg)
{
	*scan = (struct json_scan){.dialect = dialect, .on_event = on_event, .arg = arg, .levels = JSON_LEVELS, .state = WANT_VALUE};
}

static bool in_object(const struct json_scan *scan)
{
	unsigned top = scan->level - 1;
	return scan->objects[top / 64] >> top % 64 & 1;
}

static void open_container(struct json_scan *scan, bool object)
{
	if (scan->level == scan->levels) {
		json_fail(scan);
		return;
	}
	json_emit(scan, object ? JSON_OBJECT : JSON_ARRAY, NULL, 0);
	uint64_t bit = (uint64_t)1 << scan->level % 64;
	if (object)
		scan->objects[scan->level / 64] |= bit;
	else
		scan->objects[scan->level / 64] &= ~bit;
	scan->level++;
	scan->state = object ? WANT_FIRST_KEY : WANT_FIRST_ELEMENT;
}

static void close_container(struct json_scan *scan, uint8_t c)
{
	bool object = in_object(scan);
	if (c != (object ? '}' : ']')) {
		json_fail(scan);
		return;
	}
	scan->level--;
	json_value_done(scan);
	json_emit(scan, object ? JSON_OBJECT_END : JSON_ARRAY_END, NULL, 0);
}

static void begin_string(struct json_scan *scan, bool key)
{
	scan->in_key = key;
	scan->state = IN_STRING;
}

/* What begins with c. False: c belongs to what is to be read next. */
static bool begin_value(struct json_scan *scan, uint8_t c)
{
	switch (c) {
	case '"':
		begin_string(scan, false);
		break;
	case '{':
	case '[':
		open_container(scan, c == '{');
		break;
	case 't':
		json_begin_literal(scan, "rue", JSON_TRUE);
		break;
	case 'f':
		json_begin_literal(scan, "alse", JSON_FALSE);
		break;
	case 'n':
		json_begin_literal(scan, "ull", JSON_NULL);
		break;
	case 'N':
		json_begin_nonfinite(scan, "aN");
		break;
	case 'I':
		json_begin_nonfinite(scan, "nfinity");
		break;
	case '-':
		json_begin_number(scan);
		break;
	default:
		if (c < '0' || c > '9') {
			json_fail(scan);
			break;
		}
		json_begin_number(scan);
		return false;
	}
	return true;
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Reads between the tokens, up to the first byte of the next one. */
static const uint8_t *read_structure(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	while (is_space(*p))
		if (++p == end)
			return p;
	uint8_t c = *p++;
	switch (scan->state) {
	case WANT_FIRST_ELEMENT:
		if (c == ']')
			close_container(scan, c);
		else if (!begin_value(scan, c))
			p--;
		break;
	case WANT_VALUE:
		if (!begin_value(scan, c))
			p--;
		break;
	case WANT_FIRST_KEY:
	case WANT_KEY:
		if (c == '"')
			begin_string(scan, true);
		else if (scan->state == WANT_FIRST_KEY)
			close_container(scan, c);
		else
			json_fail(scan);
		break;
	case WANT_COLON:
		if (c == ':')
			scan->state = WANT_VALUE;
		else
			json_fail(scan);
		break;
	case WANT_NEXT:
		if (c == ',')
			scan->state = in_object(scan) ? WANT_KEY : WANT_VALUE;
		else
			close_container(scan, c);
		break;
	default: /* WANT_END */
		json_fail(scan);
	}
	return p;
}

static const uint8_t *read_literal(struct json_scan *scan, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && *scan->literal; p++, scan->literal++) {
		if (*p != (uint8_t)*scan->literal) {
			json_fail(scan);
			return p;
		}
	}
	if (*scan->literal)
		return p;
	if (scan->literal_event == JSON_NUMBER)
		scan->nonfinite = true;
	json_value_done(scan);
	json_emit(scan, scan->literal_event, NULL, 0);
	return p;
}

int json_scan_feed(struct json_scan *scan, const void *bytes, size_t n)
{
	if (n == 0)
		return scan->result;
	const uint8_t *p = bytes, *end = p + n;
	while (scan->result == 0 && p < end) {
		if (scan->state < IN_STRING)
			p = read_structure(scan, p, end);
		else if (scan->state == IN_STRING)
			p = json_read_string(scan, p, end);
		else if (scan->state < IN_LITERAL)
			p = json_read_escape(scan, p, end);
		else if (scan->state == IN_LITERAL)
			p = read_literal(scan, p, end);
		else
			p = json_read_number(scan, p, end);
	}
	return scan->result;
}

int json_scan_end(struct json_scan *scan)
{
	if (scan->result == 0 && scan->level == 0 && json_number_may_end(scan->state))
		json_end_number(scan);
	if (scan->result != 0)
		return scan->result;
	if (scan->state != WANT_END)
		json_fail(scan);
	return scan->result;
}
