/*
 * msgpack_walk() passes exactly the documents that a plain recursive reading of the format passes.
 *
 * Also: msgpack_may_be_whole() is true of what it passes; of that, msgpack_describe_columns() makes nothing or JSON, a failure has a reason, and *cancel is looked at.
 *
 * Input: a document.
 */
#include "ckfs/json_scan.h"
#include "ckfs/msgpack.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

struct input {
	const uint8_t *p;
	size_t n, at;
};

/* The next `bytes` bytes as a number. */
static bool number(struct input *in, unsigned bytes, uint64_t *ret)
{
	*ret = 0;
	if (in->n - in->at < bytes)
		return false;
	while (bytes-- > 0)
		*ret = *ret << 8 | in->p[in->at++];
	return true;
}

static bool skip(struct input *in, uint64_t bytes)
{
	if (bytes > in->n - in->at)
		return false;
	in->at += (size_t)bytes;
	return true;
}

static bool value(struct input *in, unsigned level);

static bool values(struct input *in, uint64_t count, unsigned level)
{
	if (level == MSGPACK_LEVELS)
		return false;
	for (; count > 0; count--)
		if (!value(in, level + 1))
			return false;
	return true;
}

static bool value(struct input *in, unsigned level)
{
	uint64_t first, n;
	if (!number(in, 1, &first))
		return false;
	if (first <= 0x7f || first >= 0xe0 || first == 0xc0 || first == 0xc2 || first == 0xc3)
		return true;
	if (first <= 0x8f)
		return values(in, 2 * (first - 0x80), level);
	if (first <= 0x9f)
		return values(in, first - 0x90, level);
	if (first <= 0xbf)
		return skip(in, first - 0xa0);
	if (first >= 0xc4 && first <= 0xc6)
		return number(in, 1u << (first - 0xc4), &n) && skip(in, n);
	if (first >= 0xc7 && first <= 0xc9)
		return number(in, 1u << (first - 0xc7), &n) && skip(in, n + 1);
	if (first == 0xca || first == 0xcb)
		return skip(in, first == 0xca ? 4 : 8);
	if (first >= 0xcc && first <= 0xd3)
		return skip(in, UINT64_C(1) << (first & 3));
	if (first >= 0xd4 && first <= 0xd8)
		return skip(in, (UINT64_C(1) << (first - 0xd4)) + 1);
	if (first >= 0xd9 && first <= 0xdb)
		return number(in, 1u << (first - 0xd9), &n) && skip(in, n);
	if (first == 0xdc || first == 0xdd)
		return number(in, first == 0xdc ? 2 : 4, &n) && values(in, n, level);
	if (first == 0xde || first == 0xdf)
		return number(in, first == 0xde ? 2 : 4, &n) && values(in, 2 * n, level);
	return false;
}

/* What is described has the members that make it columns, and is no envelope. */
static void check_columnar(const struct slice *document, bool described)
{
	atomic_bool cancel = true;
	int dataframe = msgpack_is_columnar(document, false, NULL), series = msgpack_is_columnar(document, true, NULL);
	CHECK((dataframe == 0 || dataframe == 1) && (series == 0 || series == 1));
	CHECK(!described || dataframe == 1 || series == 1);
	CHECK(!(dataframe || series) || msgpack_is_like_envelope(document, NULL) == 0);
	CHECK(msgpack_is_columnar(document, false, &cancel) == -EINTR);
}

/* Whether they are described. */
static bool check_columns(const uint8_t *document, size_t n)
{
	struct buf buf = {0};
	struct json_scan scan;
	atomic_bool cancel = true;
	CHECK(msgpack_describe_columns(document, n, &cancel, &buf) <= 0 && buf.length == 0);
	bool known = msgpack_describe_columns(document, n, NULL, &buf) > 0;
	CHECK(!buf.failed && known == (buf.length > 0));
	json_scan_init(&scan, JSON_STRICT, NULL, NULL);
	CHECK(!known || (json_scan_feed(&scan, buf.p, buf.length) == 0 && json_scan_end(&scan) == 0));
	buf_done(&buf);
	return known;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Memory of its own: reading over the end is seen. */
	uint8_t *document = malloc(size ? size : 1);
	struct input in = {.p = document, .n = size};
	const char *reason = NULL;
	atomic_bool cancel = true;
	CHECK(document);
	if (size > 0)
		memcpy(document, data, size);
	bool good = value(&in, 0) && in.at == size;
	int r = msgpack_walk(document, size, NULL, &reason);
	CHECK(r == (good ? 0 : -EUCLEAN));
	CHECK(good == (reason == NULL));
	if (good) {
		CHECK(msgpack_walk(document, size, &cancel, &reason) == -EINTR);
		const bool has_columns = check_columns(document, size);
		const bool four = document[0] == 0x94 || (document[0] == 0xdc && document[2] == 4) || (document[0] == 0xdd && document[4] == 4);
		struct slice slice;
		CHECK(slice_new_copy(document, size, &slice) == 0);
		CHECK(msgpack_may_be_whole(&slice) == 1);
		const int is_like_envelope = msgpack_is_like_envelope(&slice, NULL);
		CHECK(is_like_envelope == 0 || (is_like_envelope == 1 && four));
		check_columnar(&slice, has_columns);
		slice_done(&slice);
	}
	free(document);
	return 0;
}
