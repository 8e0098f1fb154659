/*
 * How large the document of an envelope is, by its LZ4 block alone: nothing is decompressed. bytestorage_decode.c draws the
 * sequences. The block is read in windows.
 */
#include "ckfs/bytestorage.h"

#include "ckfs/cleanup.h"
#include "envelope_reader.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW ((size_t)64 << 10)
#define MATCH_MIN 4

/* A claim of up to so many times the block is believed once the block begins well. */
#define CREDIT 32

/* A block that is being looked at. */
struct block {
	const struct bytestorage *envelope;
	const struct slice *payload;
	const atomic_bool *cancel;
	struct envelope_reader reader; /* of integers */
	struct bytes b; /* of the window */
	size_t at;      /* where the window ends, in the block */
	uint8_t window[WINDOW];
};

static size_t left_of(const struct block *k)
{
	return k->envelope->compressed - k->at + k->b.left;
}

/* The next window. 0; -EUCLEAN the block has ended; errors of reading. */
static int next_window(struct block *k)
{
	const struct bytestorage *e = k->envelope;
	size_t left = e->compressed - k->at, n = left < WINDOW ? left : WINDOW;
	if (n == 0)
		return -EUCLEAN;
	if (k->cancel && atomic_load_explicit(k->cancel, memory_order_relaxed))
		return -EINTR;
	int r = e->integers ? envelope_reader_octets(&k->reader, n, k->window) : slice_read(k->payload, e->data_offset + k->at, k->window, n);
	k->at += n;
	k->b = bytes_of(k->window, n);
	return r;
}

static int take_u8(struct block *k, uint8_t *ret)
{
	int r = k->b.left == 0 ? next_window(k) : 0;
	if (r == 0)
		bytes_u8(&k->b, ret);
	return r;
}

static int skip(struct block *k, size_t n)
{
	size_t here = n < k->b.left ? n : k->b.left;
	k->b = bytes_of(k->b.p + here, k->b.left - here);
	n -= here;
	if (n > k->envelope->compressed - k->at)
		return -EUCLEAN;
	k->at += n;
	return n > 0 && k->envelope->integers ? envelope_reader_octets(&k->reader, n, NULL) : 0;
}

/* A document of zeros is hardly anything else. */
static size_t take_full_bytes(struct bytes *b)
{
	size_t n = 0;
	for (uint64_t eight; b->left - n >= sizeof eight; n += sizeof eight) {
		memcpy(&eight, b->p + n, sizeof eight);
		if (eight != UINT64_MAX)
			break;
	}
	*b = bytes_of(b->p + n, b->left - n);
	return n;
}

static int take_length(struct block *k, unsigned in_token, size_t *ret)
{
	size_t length = in_token;
	uint8_t more = in_token == 15 ? 255 : 0;
	while (more == 255) {
		length += 255 * take_full_bytes(&k->b);
		int r = take_u8(k, &more);
		if (r < 0)
			return r;
		length += more;
	}
	*ret = length;
	return 0;
}

/* One sequence, or (1) the literals that end the block. `done`: bytes that are made so far, of at most `room`. */
static int take_sequence(struct block *k, size_t room, size_t *done)
{
	size_t literals = 0, match = 0;
	uint8_t token, low, high;
	int r = take_u8(k, &token);
	if (r == 0)
		r = take_length(k, token >> 4, &literals);
	if (r == 0)
		r = literals > room - *done ? -EUCLEAN : skip(k, literals);
	if (r < 0)
		return r;
	*done += literals;
	if (left_of(k) == 0)
		return 1;
	r = take_u8(k, &low);
	if (r == 0)
		r = take_u8(k, &high);
	if (r == 0)
		r = take_length(k, token & 15, &match);
	if (r < 0)
		return r;
	size_t offset = (size_t)low | (size_t)high << 8;
	if (offset == 0 || offset > *done || room - *done < MATCH_MIN || match > room - *done - MATCH_MIN)
		return -EUCLEAN;
	*done += match + MATCH_MIN;
	return 0;
}

static void block_free(struct block **k)
{
	if (*k)
		envelope_reader_done(&(*k)->reader);
	free(*k);
}

/* No block that makes n bytes is longer: only literals take more than they make, one byte of 255. */
static uint64_t block_max(uint64_t n)
{
	return n + n / 255 + 16;
}

static int measure(struct bytestorage *envelope, const struct slice *payload, const atomic_bool *cancel)
{
	cleanup_with(block_free) struct block *k = malloc(sizeof *k);
	bool all = envelope->original / CREDIT > envelope->compressed;
	size_t done = 0;
	if (!k)
		return -ENOMEM;
	k->envelope = envelope;
	k->payload = payload;
	k->cancel = cancel;
	k->b = bytes_of(k->window, 0);
	k->at = 0;
	envelope_reader_init(&k->reader, payload, envelope->data_offset, cancel);
	int r = envelope->integers ? envelope_reader_widen(&k->reader) : 0;
	while (r == 0 && (all || k->at <= WINDOW))
		r = take_sequence(k, envelope->original, &done);
	if (r == 1)
		envelope->room = (uint32_t)done;
	return r < 0 ? r : 0;
}

int bytestorage_measure(struct bytestorage *envelope, const struct slice *payload, size_t believed, const atomic_bool *cancel,
	const char **ret_reason)
{
	int r = envelope->compressed > block_max(envelope->original) ? -EUCLEAN : 0;
	if (r == 0 && envelope->original > believed)
		r = measure(envelope, payload, cancel);
	if (r == -EUCLEAN)
		*ret_reason = BYTESTORAGE_MALFORMED;
	return r;
}
