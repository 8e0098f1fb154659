#include "ckfs/msgpack.h"

#include "msgpack_head.h"

#include <errno.h>
#include <string.h>

#define WINDOW 4096

/* No text that is looked for is longer. */
#define TEXT_MAX 16

/* A document, and how far it was read. What its strings hold is passed over unread. */
struct reader {
	const struct slice *document;
	const atomic_bool *cancel;
	uint64_t at;
	uint64_t window_at; /* in the document: window[0] */
	size_t window_length;
	uint8_t window[WINDOW];
};

static void reader_init(struct reader *r, const struct slice *document, const atomic_bool *cancel)
{
	r->document = document;
	r->cancel = cancel;
	r->at = r->window_at = r->window_length = 0;
}

static uint64_t left_of(const struct reader *r)
{
	return r->document->length - r->at;
}

/* Has the next n bytes in the window. */
static int fill(struct reader *r, size_t n)
{
	if (r->at >= r->window_at && r->at + n <= r->window_at + r->window_length)
		return 0;
	if (r->cancel && atomic_load_explicit(r->cancel, memory_order_relaxed))
		return -EINTR;
	r->window_at = r->at;
	r->window_length = left_of(r) < WINDOW ? (size_t)left_of(r) : WINDOW;
	int error = slice_read(r->document, r->at, r->window, r->window_length);
	if (error < 0)
		r->window_length = 0;
	return error;
}

/* The next head. 1, 0 there is none, -errno. */
static int read_head(struct reader *r, struct msgpack_head *ret)
{
	size_t n = left_of(r) < MSGPACK_HEAD_MAX ? (size_t)left_of(r) : MSGPACK_HEAD_MAX;
	int error = fill(r, n);
	if (error < 0)
		return error;
	struct bytes b = bytes_of(r->window + (r->at - r->window_at), n);
	if (!msgpack_head_read(&b, ret))
		return 0;
	r->at += n - b.left;
	return 1;
}

/* Moves past one value. 1, 0 the document ends within it, -errno. */
static int skip(struct reader *r)
{
	struct msgpack_head head;
	for (uint64_t left = 1; left > 0; left--) {
		int error = read_head(r, &head);
		if (error != 1)
			return error;
		if (head.kind == MSGPACK_STR || head.kind == MSGPACK_BIN || head.kind == MSGPACK_EXT) {
			if (head.value > left_of(r))
				return 0;
			r->at += head.value;
		} else if (head.kind == MSGPACK_ARRAY || head.kind == MSGPACK_MAP) {
			left += head.kind == MSGPACK_MAP ? 2 * head.value : head.value;
		}
	}
	return 1;
}

/* The next value, if it is one of these texts: which, `count` none, -errno. Moves past its head at least. */
static int take_text(struct reader *r, const char *const texts[], int count)
{
	struct msgpack_head head;
	int is = read_head(r, &head);
	if (is != 1 || head.kind != MSGPACK_STR || head.value > TEXT_MAX || head.value > left_of(r))
		return is < 0 ? is : count;
	const size_t n = (size_t)head.value;
	is = fill(r, n);
	if (is < 0)
		return is;
	const uint8_t *text = r->window + (r->at - r->window_at);
	int i = 0;
	while (i < count && (n != strlen(texts[i]) || memcmp(text, texts[i], n) != 0))
		i++;
	return i;
}

/* The looks below move on as far as they have to look. 1, 0, -errno. */

static int is_data(struct reader *r)
{
	struct msgpack_head head;
	int is = read_head(r, &head);
	return is == 1 ? head.kind == MSGPACK_BIN : is;
}

static int is_size(struct reader *r)
{
	struct msgpack_head head;
	int is = read_head(r, &head);
	return is == 1 ? head.kind == MSGPACK_UINT || (head.kind == MSGPACK_INT && (int64_t)head.value >= 0) : is;
}

static int is_checksum(struct reader *r)
{
	struct msgpack_head head;
	int is = read_head(r, &head);
	if (is == 1)
		is = head.kind == MSGPACK_ARRAY && head.value == 8;
	for (unsigned i = 0; is == 1 && i < 8; i++) {
		is = read_head(r, &head);
		if (is == 1)
			is = (head.kind == MSGPACK_UINT || head.kind == MSGPACK_INT) && head.value <= 255;
	}
	return is;
}

static int is_format(struct reader *r)
{
	static const char *const formats[] = {"msgpack", "dataframe", "series"};
	int which = take_text(r, formats, 3);
	return which < 0 ? which : which < 3;
}

int msgpack_may_be_whole(const struct slice *document)
{
	uint8_t bytes[MSGPACK_HEAD_MAX];
	const size_t n = document->length < sizeof bytes ? (size_t)document->length : sizeof bytes;
	struct bytes b = bytes_of(bytes, n);
	struct msgpack_head head;
	int r = slice_read(document, 0, bytes, n);
	if (r < 0 || !msgpack_head_read(&b, &head))
		return r < 0 ? r : 0;
	const uint64_t left = document->length - (n - b.left);
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

int msgpack_is_like_envelope(const struct slice *document, const atomic_bool *cancel)
{
	static int (*const members[4])(struct reader *r) = {is_data, is_checksum, is_size, is_format};
	struct reader r;
	struct msgpack_head head;
	reader_init(&r, document, cancel);
	int alike = 0, is = read_head(&r, &head);
	if (is != 1 || head.kind != MSGPACK_ARRAY || head.value != 4)
		return is < 0 ? is : 0;
	for (unsigned i = 0; i < 4; i++) {
		const uint64_t at = r.at;
		int member = members[i](&r);
		r.at = at;
		is = member < 0 ? member : skip(&r);
		if (is != 1)
			return is;
		alike += member;
	}
	return alike >= 3;
}

int msgpack_is_columnar(const struct slice *document, bool series, const atomic_bool *cancel)
{
	/* As the SDK writes them the last one here is the last but for a dtype, so what the columns hold is not looked at. */
	static const char *const of_series[] = {"name", "index", "type", "data"};
	static const char *const of_dataframe[] = {"columns", "index", "data"};
	const char *const *names = series ? of_series : of_dataframe;
	const int count = series ? 4 : 3;
	const unsigned all = (1u << count) - 1;
	struct reader r;
	struct msgpack_head head;
	reader_init(&r, document, cancel);
	unsigned seen = 0;
	int is = read_head(&r, &head);
	if (is != 1 || head.kind != MSGPACK_MAP)
		return is < 0 ? is : 0;
	for (uint64_t pairs = head.value; pairs > 0 && seen != all; pairs--) {
		const uint64_t at = r.at;
		int which = take_text(&r, names, count);
		r.at = at;
		if (which < 0)
			return which;
		seen |= which < count ? 1u << which : 0;
		/* The name, then its value. */
		for (unsigned i = 0; i < 2 && seen != all; i++) {
			is = skip(&r);
			if (is != 1)
				return is;
		}
	}
	return seen == all;
}
