/*
 * The JSON of a MessagePack document is JSON, one line, and the same in whatever pieces of room it is written.
 *
 * Also: of what msgpack_walk() has passed only strings that are not UTF-8, long texts and the sink end it, and what it
 * refuses has no JSON.
 *
 * Input: one byte that chooses the room, then the document.
 */
#include "ckfs/bytes.h"
#include "ckfs/json_scan.h"
#include "ckfs/msgpack.h"
#include "fuzz.h"

#include <errno.h>

/* No text of interest is longer; keys within keys grow without end. */
#define TEXT_MAX (256u << 10)

/* Each piece of room is memory of its own: writing over its end is seen. */
struct text {
	struct sink sink;
	uint8_t *room;  /* the piece */
	size_t more;    /* how much larger than asked for a piece is */
	uint8_t *bytes; /* what was written to the pieces before it */
	size_t n;
};

static void text_keep(struct text *text)
{
	size_t n = (size_t)(text->sink.p - text->room);
	CHECK(text->sink.p <= text->sink.end);
	if (n > 0) {
		text->bytes = realloc(text->bytes, text->n + n);
		CHECK(text->bytes);
		memcpy(text->bytes + text->n, text->room, n);
		text->n += n;
	}
	free(text->room);
	text->room = NULL;
}

static int text_more(struct sink *sink, size_t n)
{
	struct text *text = (struct text *)sink;
	text_keep(text);
	text->room = malloc(n + text->more);
	CHECK(text->room);
	sink->p = text->room;
	sink->end = text->room + n + text->more;
	return text->n > TEXT_MAX ? -ENOSPC : 0;
}

static int text_write(const uint8_t *document, size_t n, size_t more, struct text *ret, const char **ret_reason)
{
	*ret = (struct text){.sink.more = text_more, .more = more};
	int r = msgpack_to_json(document, n, &ret->sink, NULL, ret_reason);
	text_keep(ret);
	return r;
}

static void check_json(const struct text *text)
{
	struct json_scan scan;
	json_scan_init(&scan, JSON_STRICT, NULL, NULL);
	int r = json_scan_feed(&scan, text->bytes, text->n);
	if (r == 0)
		r = json_scan_end(&scan);
	/* "$ext" and "$base64" may be one or two levels deeper than any document. */
	CHECK(r == 0 || scan.level == JSON_LEVELS);
	CHECK(memchr(text->bytes, '\n', text->n) == text->bytes + text->n - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = bytes_of(data, size);
	struct text large, small;
	uint8_t more;
	const char *reason = NULL, *reason_small = NULL;
	if (!bytes_u8(&b, &more))
		return 0;
	/* Memory of its own: reading over its end is seen. */
	uint8_t *document = malloc(b.left + 1);
	CHECK(document);
	memcpy(document + 1, b.p, b.left);
	int r_walk = msgpack_walk(document + 1, b.left, NULL, &reason);
	CHECK(r_walk == 0 || (r_walk == -EUCLEAN && reason));
	reason = NULL;
	int r = text_write(document + 1, b.left, (size_t)1 << 16, &large, &reason);
	int r_small = text_write(document + 1, b.left, more, &small, &reason_small);
	CHECK(r == 0 || r == -ENOSPC || (reason && (r == -EUCLEAN || r == -EFBIG)));
	CHECK(r == r_small || r == -ENOSPC || r_small == -ENOSPC);
	CHECK(r_walk == 0 || r != 0);
	CHECK(r_walk != 0 || r != -EUCLEAN || strcmp(reason, "a string is not UTF-8") == 0);
	if (r == 0 && r_small == 0) {
		CHECK(large.n == small.n && memcmp(large.bytes, small.bytes, large.n) == 0);
		check_json(&large);
	}
	free(large.bytes);
	free(small.bytes);
	free(document);
	return 0;
}
