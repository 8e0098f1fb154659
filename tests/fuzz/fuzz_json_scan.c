/*
 * A JSON text means the same in whatever pieces it is fed.
 *
 * Also: levels count the open containers, strings come out as UTF-8, what JSON_ORJSON
 * reads the others read alike, what JSON_STRICT reads beyond that is a number that no
 * double holds, and a scan that ended stays ended.
 *
 * Input: one byte that chooses the pieces, then the text.
 */
#include "ckfs/bytes.h"
#include "ckfs/json_scan.h"
#include "fuzz.h"

#include <errno.h>
#include <math.h>

/* What happened, with the parts of each string joined. */
struct events {
	uint8_t *bytes;
	size_t n, room;
	unsigned level; /* open containers */
	enum json_event last;
};

static void events_add(struct events *e, const void *bytes, size_t n)
{
	if (e->room - e->n < n) {
		e->room = 2 * e->room + n;
		e->bytes = realloc(e->bytes, e->room);
		CHECK(e->bytes);
	}
	memcpy(e->bytes + e->n, bytes, n);
	e->n += n;
}

static int on_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	struct events *e = arg;
	bool part = event == JSON_KEY_PART || event == JSON_STRING_PART;
	CHECK(part == (n > 0));
	CHECK(level <= JSON_LEVELS);
	if (event == JSON_OBJECT_END || event == JSON_ARRAY_END)
		e->level--;
	CHECK(level == e->level);
	if (event == JSON_OBJECT || event == JSON_ARRAY)
		e->level++;
	if (!part || e->last != event)
		events_add(e, &(uint8_t){(uint8_t)event}, 1);
	if (part)
		events_add(e, bytes, n);
	e->last = event;
	return 0;
}

/* Pieces of sizes that follow from `cut`; 0: one piece. */
static int scan_pieces(const uint8_t *text, size_t n, uint8_t cut, enum json_dialect dialect, struct json_scan *scan,
		       struct events *events)
{
	*events = (struct events){.last = JSON_NULL};
	json_scan_init(scan, dialect, on_event, events);
	int r = 0;
	uint32_t state = cut;
	for (size_t at = 0, piece; at < n && r == 0; at += piece) {
		state = state * 1664525 + 1013904223;
		piece = cut == 0 ? n : cut == 1 ? 1 : 1 + (state >> 24) % cut;
		if (piece > n - at)
			piece = n - at;
		/* Memory of its own: reading over the end of a piece is seen. */
		struct slice copy = fuzz_slice(text + at, piece);
		uint8_t *own = malloc(piece);
		CHECK(own && slice_read(&copy, 0, own, piece) == 0);
		slice_done(&copy);
		r = json_scan_feed(scan, own, piece);
		free(own);
	}
	if (r == 0)
		r = json_scan_end(scan);
	CHECK(r == 0 || r == -EUCLEAN);
	CHECK(r == 0 || (json_scan_feed(scan, " ", 1) == r && json_scan_end(scan) == r));
	CHECK(r != 0 || events->level == 0);
	return r;
}

static void check_utf8(const struct events *events)
{
	/* The scanner's own check is what the text passed; here, one that shares nothing with it. */
	for (size_t i = 0; i < events->n;) {
		uint8_t c = events->bytes[i++];
		unsigned more = c < 0x80 ? 0 : c < 0xc2 ? 9 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : 9;
		uint32_t point = more == 0 ? c : c & (0x3fu >> more);
		CHECK(more <= events->n - i);
		for (unsigned k = 0; k < more; k++, i++) {
			CHECK((events->bytes[i] & 0xc0) == 0x80);
			point = point << 6 | (events->bytes[i] & 0x3f);
		}
		CHECK(point >= (more == 2 ? 0x800u : more == 3 ? 0x10000u : 0u));
		CHECK(point <= 0x10ffff && (point < 0xd800 || point > 0xdfff));
	}
}

static int check_dialect(const uint8_t *text, size_t n, uint8_t cut, enum json_dialect dialect, struct events *ret)
{
	struct json_scan whole, pieces;
	struct events of_pieces;
	int r = scan_pieces(text, n, 0, dialect, &whole, ret);
	CHECK(scan_pieces(text, n, cut ? cut : 1, dialect, &pieces, &of_pieces) == r);
	/* Where the text goes wrong inside a string, small pieces had handed out more of it. */
	CHECK(ret->n <= of_pieces.n && (r != 0 || ret->n == of_pieces.n));
	CHECK(ret->n == 0 || memcmp(ret->bytes, of_pieces.bytes, ret->n) == 0);
	CHECK(whole.nonfinite == pieces.nonfinite && whole.lone_surrogate == pieces.lone_surrogate);
	CHECK(dialect == JSON_PYTHON || (!whole.nonfinite && !whole.lone_surrogate));
	if (r == 0)
		check_utf8(ret);
	free(of_pieces.bytes);
	return r;
}

static void check_same(const struct events *events, int r, const struct events *others)
{
	CHECK(r == 0 && events->n == others->n);
	CHECK(events->n == 0 || memcmp(events->bytes, others->bytes, events->n) == 0);
}

/* Whether there is a number in a text that is JSON which strtod() cannot tell from infinity. */
static bool has_infinite(const uint8_t *text, size_t n)
{
	char *copy = strndup((const char *)text, n), *p = copy;
	bool found = false, in_string = false;
	CHECK(copy);
	while (*p && !found) {
		if (*p == '"')
			in_string = !in_string;
		else if (in_string && *p == '\\')
			p++;
		if (!in_string && (*p == '-' || (*p >= '0' && *p <= '9')))
			found = isinf(strtod(p, &p));
		else
			p++;
	}
	free(copy);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	struct events strict, orjson, python;
	uint8_t cut;
	if (!bytes_u8(&b, &cut))
		return 0;
	int r_strict = check_dialect(b.p, b.left, cut, JSON_STRICT, &strict);
	int r_orjson = check_dialect(b.p, b.left, cut, JSON_ORJSON, &orjson);
	int r_python = check_dialect(b.p, b.left, cut, JSON_PYTHON, &python);
	if (r_orjson == 0)
		check_same(&orjson, r_strict, &strict);
	if (r_strict == 0) {
		check_same(&strict, r_python, &python);
		CHECK(has_infinite(b.p, b.left) == (r_orjson != 0));
	}
	free(strict.bytes);
	free(orjson.bytes);
	free(python.bytes);
	return 0;
}
