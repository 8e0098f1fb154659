#include "ckfs/msgpack.h"

#include "msgpack_head.h"

#include <errno.h>

/* Values in one member of an array that might be an envelope. A member of more is none, altered or not. */
#define VALUES_MAX 1024

/* A document, and how far it was read. What its strings hold is passed over unread. */
struct reader {
	const struct slice *document;
	uint64_t at;
};

/* The next head. 1, 0 there is none, -errno. */
static int read_head(struct reader *r, struct msgpack_head *ret)
{
	uint8_t bytes[MSGPACK_HEAD_MAX];
	uint64_t left = r->document->length - r->at;
	size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
	int error = slice_read(r->document, r->at, bytes, n);
	struct bytes b = bytes_of(bytes, n);
	if (error < 0)
		return error;
	if (!msgpack_head_read(&b, ret))
		return 0;
	r->at += n - b.left;
	return 1;
}

/* Moves past one value. 1, 0 it is no member of an envelope, -errno. */
static int skip(struct reader *r)
{
	struct msgpack_head head;
	unsigned values = 0;
	for (uint64_t left = 1; left > 0; left--) {
		int error = values++ < VALUES_MAX ? read_head(r, &head) : 0;
		if (error != 1)
			return error;
		if (head.kind == MSGPACK_STR || head.kind == MSGPACK_BIN || head.kind == MSGPACK_EXT) {
			if (head.value > r->document->length - r->at)
				return 0;
			r->at += head.value;
		} else if (head.kind == MSGPACK_ARRAY || head.kind == MSGPACK_MAP) {
			left += head.kind == MSGPACK_MAP ? 2 * head.value : head.value;
		}
	}
	return 1;
}

/* The looks below are at a copy of what is still to be read. 1, 0, -errno. */

static int is_data(struct reader r)
{
	struct msgpack_head head;
	int is = read_head(&r, &head);
	return is == 1 ? head.kind == MSGPACK_BIN : is;
}

static int is_size(struct reader r)
{
	struct msgpack_head head;
	int is = read_head(&r, &head);
	return is == 1 ? head.kind == MSGPACK_UINT || (head.kind == MSGPACK_INT && (int64_t)head.value >= 0) : is;
}

static int is_checksum(struct reader r)
{
	struct msgpack_head head;
	int is = read_head(&r, &head);
	if (is == 1)
		is = head.kind == MSGPACK_ARRAY && head.value == 8;
	for (unsigned i = 0; is == 1 && i < 8; i++) {
		is = read_head(&r, &head);
		if (is == 1)
			is = (head.kind == MSGPACK_UINT || head.kind == MSGPACK_INT) && head.value <= 255;
	}
	return is;
}

static int is_format(struct reader r)
{
	static const char *const formats[] = {"msgpack", "dataframe", "series"};
	struct msgpack_head head;
	char text[9];
	int is = read_head(&r, &head);
	if (is != 1 || head.kind != MSGPACK_STR || head.value > sizeof text || head.value > r.document->length - r.at)
		return is < 0 ? is : 0;
	is = slice_read(r.document, r.at, text, (size_t)head.value);
	for (unsigned i = 0; is == 0 && i < 3; i++)
		is = head.value == strlen(formats[i]) && memcmp(text, formats[i], (size_t)head.value) == 0;
	return is;
}

int msgpack_may_be_whole(const struct slice *document)
{
	struct reader r = {.document = document};
	struct msgpack_head head;
	int is = read_head(&r, &head);
	const uint64_t left = document->length - r.at;
	if (is != 1)
		return is;
	switch (head.kind) {
	case MSGPACK_RESERVED:
		return 0;
	case MSGPACK_STR:
	case MSGPACK_BIN:
	case MSGPACK_EXT:
		return left == head.value;
	case MSGPACK_ARRAY:
		return head.value == 0 ? left == 0 : left >= head.value;
	case MSGPACK_MAP:
		return head.value == 0 ? left == 0 : left / 2 >= head.value;
	default:
		return left == 0;
	}
}

int msgpack_is_like_envelope(const struct slice *document)
{
	static int (*const members[4])(struct reader r) = {is_data, is_checksum, is_size, is_format};
	struct reader r = {.document = document};
	struct msgpack_head head;
	int alike = 0, is = read_head(&r, &head);
	if (is != 1 || head.kind != MSGPACK_ARRAY || head.value != 4)
		return is < 0 ? is : 0;
	for (unsigned i = 0; i < 4; i++) {
		int member = members[i](r);
		is = member < 0 ? member : skip(&r);
		if (is != 1)
			return is;
		alike += member;
	}
	return alike >= 3;
}
