/*
 * A document that has to be read is walked in windows: what its values hold is passed over unread, so that no more of it
 * is looked at than its heads, and none of it after the first fault.
 */
#include "ckfs/msgpack.h"

#include "ckfs/cleanup.h"
#include "msgpack_head.h"

#include <errno.h>
#include <stdlib.h>

/* How far to walk between two looks at *cancel. */
#define STRIDE ((size_t)1 << 20)

#define WINDOW ((size_t)256 << 10)

/* Bytes of a value whose first byte says it all; 0: one with a length or a count to read. */
static const uint8_t spans[256] = {
	[0x00 ... 0x7f] = 1,
	[0xa0] = 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
	[0xb0] = 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
	[0xc0] = 1,  0,  1,  1,
	[0xca] = 5,  9,  2,  3,  5,  9,  2,  3,  5,  9,  3,  4,  6,  10, 18,
	[0xe0 ... 0xff] = 1,
};

struct walk {
	struct bytes b; /* of the window */
	uint64_t rest;  /* bytes of the document behind it */
	uint64_t text;  /* characters that the JSON of what was walked has at least */
	uint64_t left;  /* values still to come in the innermost container */
	unsigned level;
	uint64_t outer[MSGPACK_LEVELS]; /* the same in those around it */
	const char *reason;
};

static bool fail(struct walk *w, const char *reason)
{
	w->reason = reason;
	return false;
}

/* Are the next 8 bytes small positive integers, a value each? */
static bool are_small(const uint8_t *p)
{
	uint64_t bytes;
	memcpy(&bytes, p, sizeof bytes);
	return (bytes & UINT64_C(0x8080808080808080)) == 0;
}

/* Walks values of known size, until another one comes or the bytes before `stop` are done. */
static void walk_spans(struct walk *w, const uint8_t *stop)
{
	const uint8_t *p = w->b.p, *end = p + w->b.left;
	uint64_t left = w->left;
	while (left > 0 && p < stop) {
		if (left >= 8 && end - p >= 8 && are_small(p)) {
			p += 8;
			left -= 8;
			continue;
		}
		/* Each step waits for the byte that the one before leads to; so the look at 8 of them is rare. */
		for (unsigned i = 0; i < 8 && left > 0 && p < stop; i++) {
			/* Short strings are most of what there is, and the next value waits for this one's length: without the table it is sooner known. */
		size_t n = (*p & 0xe0) == 0xa0 ? 1 + (size_t)(*p & 31) : spans[*p];
			/* Also n == 0. */
			if (n - 1 >= (size_t)(end - p))
				goto out;
			p += n;
			left--;
		}
	}
out:
	w->b = bytes_of(p, (size_t)(end - p));
	w->left = left;
}

static bool walk_into(struct walk *w, const struct msgpack_head *head)
{
	/* Each value takes a byte at least. A count is under 2^32. */
	uint64_t values = head->kind == MSGPACK_MAP ? 2 * head->value : head->value;
	if (values > w->b.left + w->rest)
		return fail(w, "document declares more values than there are bytes");
	if (w->level == MSGPACK_LEVELS)
		return fail(w, "document is nested over 1024 levels deep");
	w->outer[w->level++] = w->left;
	w->left = values;
	w->text += 2 * values; /* each, and what stands between them */
	return true;
}

/* Moves past what a value holds, which may end behind the window. */
static bool walk_past(struct walk *w, uint64_t n)
{
	size_t here = n < w->b.left ? (size_t)n : w->b.left;
	if (n - here > w->rest)
		return fail(w, "document declares a value longer than what is left of it");
	w->b = bytes_of(w->b.p + here, w->b.left - here);
	w->rest -= n - here;
	w->text += n;
	return true;
}

static bool walk_value(struct walk *w)
{
	struct msgpack_head head;
	if (!msgpack_head_read(&w->b, &head))
		return fail(w, "document is cut short");
	w->left--;
	switch (head.kind) {
	case MSGPACK_RESERVED:
		return fail(w, "document holds the byte c1 where a value begins");
	case MSGPACK_STR:
	case MSGPACK_BIN:
	case MSGPACK_EXT:
		return walk_past(w, head.value);
	case MSGPACK_ARRAY:
	case MSGPACK_MAP:
		return walk_into(w, &head);
	default:
		return true;
	}
}

/* Walks on to about `stop`. */
static bool walk_to(struct walk *w, const uint8_t *stop)
{
	while (w->b.p < stop) {
		walk_spans(w, stop);
		if (w->left > 0 && w->b.p < stop && !walk_value(w))
			return false;
		while (w->left == 0 && w->level > 0)
			w->left = w->outer[--w->level];
		if (w->left == 0)
			break;
	}
	return true;
}

/* Walks the window: to its end, or to where only a part of a head may be left of it. */
static int walk_window(struct walk *w, const atomic_bool *cancel)
{
	while (w->left > 0 && w->b.left > (w->rest ? MSGPACK_HEAD_MAX : 0)) {
		size_t most = w->b.left - (w->rest ? MSGPACK_HEAD_MAX : 0);
		if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
			return -EINTR;
		if (!walk_to(w, w->b.p + (most < STRIDE ? most : STRIDE)))
			break;
	}
	return 0;
}

static void walk_begin(struct walk *w, struct bytes first, uint64_t rest)
{
	w->b = first;
	w->rest = rest;
	w->text = 0;
	w->left = 1;
	w->level = 0;
	w->reason = NULL;
}

static int walk_end(struct walk *w, uint64_t n, const char **ret_reason)
{
	if (!w->reason && w->left > 0)
		w->reason = n == 0 ? "document is empty" : "document is cut short";
	else if (!w->reason && w->b.left + w->rest > 0)
		w->reason = "bytes follow the document";
	if (w->reason) {
		*ret_reason = w->reason;
		return -EUCLEAN;
	}
	return 0;
}

int msgpack_walk(const uint8_t *document, size_t n, const atomic_bool *cancel, const char **ret_reason)
{
	struct walk w;
	walk_begin(&w, bytes_of(document, n), 0);
	int r = walk_window(&w, cancel);
	return r < 0 ? r : walk_end(&w, n, ret_reason);
}

static int walk_windows(struct walk *w, const struct slice *document, const atomic_bool *cancel)
{
	const uint8_t *here = slice_memory(document);
	cleanup_free uint8_t *window = here ? NULL : malloc(WINDOW);
	if (!here && !window)
		return -ENOMEM;
	walk_begin(w, bytes_of(here, here ? (size_t)document->length : 0), here ? 0 : document->length);
	int r = here ? walk_window(w, cancel) : 0;
	while (r == 0 && w->left > 0 && !w->reason && w->rest > 0) {
		uint64_t left = w->b.left + w->rest;
		size_t n = left < WINDOW ? (size_t)left : WINDOW;
		r = slice_read(document, document->length - left, window, n);
		w->b = bytes_of(window, n);
		w->rest = left - n;
		if (r == 0)
			r = walk_window(w, cancel);
	}
	return r;
}

int msgpack_walk_slice(const struct slice *document, const atomic_bool *cancel, uint64_t *ret_text, const char **ret_reason)
{
	struct walk w;
	int r = walk_windows(&w, document, cancel);
	if (r == 0)
		r = walk_end(&w, document->length, ret_reason);
	if (r == 0)
		*ret_text = w.text;
	return r;
}
