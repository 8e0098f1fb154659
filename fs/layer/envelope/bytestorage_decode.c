/*
 * The LZ4 block of an envelope: sequences of
 *
 *   token | more literal length… | literals | offset u16 LE | more match length…
 *
 * of which the last ends behind its literals. The SDK's decoder takes any such block; liblz4 is faster, but wants 5 literals
 * at the end and takes an offset of 0. So liblz4 goes first, and where the two may differ the sequences are looked at one by one,
 * unless the checksum says that the document is the right one anyhow.
 *
 * A block that has to be read is read to the end of where the document goes, which overtakes it only when all is done: fresh
 * memory for it would cost as much as reading it. That spoils the block, so when anything is wrong with it, it is read once more.
 */
#include "ckfs/bytestorage.h"

#include "ckfs/cleanup.h"
#include "envelope_reader.h"

#include <errno.h>
#define LZ4_STATIC_LINKING_ONLY /* for the margin */
#include <lz4.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xxhash.h>

#define READ_SIZE ((size_t)1 << 20)
#define MATCH_MIN 4
#define HUGE_PAGE ((size_t)2 << 20)

static void reader_done(struct envelope_reader *reader)
{
	envelope_reader_done(reader);
}

static int read_integers(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	cleanup_with(reader_done) struct envelope_reader reader;
	envelope_reader_init(&reader, payload, e->data_offset, cancel);
	int r = envelope_reader_widen(&reader);
	if (r == 0)
		r = envelope_reader_octets(&reader, e->compressed, to);
	if (r == -EUCLEAN)
		*ret_reason = reader.reason;
	return r;
}

static int read_bytes(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, uint8_t *to)
{
	for (size_t at = 0, n; at < e->compressed; at += n) {
		n = e->compressed - at < READ_SIZE ? e->compressed - at : READ_SIZE;
		if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
			return -EINTR;
		int r = slice_read(payload, e->data_offset + at, to + at, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Room for a block. Large ones get huge pages: touching small ones for the first time costs as much as reading the block. */
static uint8_t *block_new(size_t n)
{
	void *block = NULL;
	if (n < HUGE_PAGE)
		return malloc(n ? n : 1);
	if (posix_memalign(&block, HUGE_PAGE, n) != 0)
		return NULL;
	(void)madvise(block, n, MADV_HUGEPAGE);
	return block;
}

/* Where the block lies in memory; NULL: it has to be read. */
static const uint8_t *block_in_memory(const struct bytestorage *e, const struct slice *payload)
{
	const uint8_t *memory = e->integers ? NULL : slice_memory(payload);
	return memory ? memory + e->data_offset : NULL;
}

/* A length that did not fit the token goes on in bytes, until one is not 255. */
static bool length_read(struct bytes *b, unsigned in_token, size_t *ret)
{
	size_t length = in_token;
	uint8_t more = in_token == 15 ? 255 : 0;
	while (more == 255) {
		if (!bytes_u8(b, &more))
			return false;
		length += more;
	}
	*ret = length;
	return true;
}

/* Decodes sequence by sequence into `room` bytes at `to`, or (NULL) only looks whether it could. */
static bool sequences_decode(struct bytes b, uint8_t *to, size_t room, size_t *ret)
{
	size_t done = 0, literals, match;
	const uint8_t *p;
	uint16_t offset;
	uint8_t token;
	for (;;) {
		if (!bytes_u8(&b, &token) || !length_read(&b, token >> 4, &literals) || literals > room - done)
			return false;
		if (!bytes_take(&b, literals, &p))
			return false;
		if (to && literals > 0)
			memcpy(to + done, p, literals);
		done += literals;
		if (b.left == 0)
			break;
		if (!bytes_u16le(&b, &offset) || offset == 0 || offset > done)
			return false;
		if (!length_read(&b, token & 15, &match) || room - done < MATCH_MIN || match > room - done - MATCH_MIN)
			return false;
		match += MATCH_MIN;
		/* It may overlap what it makes. */
		for (size_t i = 0; to && i < match; i++)
			to[done + i] = to[done + i - offset];
		done += match;
	}
	*ret = done;
	return true;
}

/* Only a block with two zero bytes in a row can hold an offset of 0. */
static bool has_zeros(const uint8_t *block, size_t n)
{
	for (size_t at = 0; at + 1 < n; at += 2) {
		const uint8_t *zero = memchr(block + at, 0, n - 1 - at);
		if (!zero)
			break;
		if (zero[1] == 0)
			return true;
		at = (size_t)(zero - block);
	}
	return false;
}

static bool block_decode(const uint8_t *block, size_t n, uint8_t *to, size_t room, size_t *ret)
{
	uint8_t nothing;
	int made = LZ4_decompress_safe((const char *)block, room ? (char *)to : (char *)&nothing, (int)n, (int)room);
	if (made < 0)
		return sequences_decode(bytes_of(block, n), to, room, ret);
	*ret = (size_t)made;
	return true;
}

/* Of a block that was decoded: whether liblz4 took what is malformed. */
static bool is_malformed(const uint8_t *block, size_t n, size_t room)
{
	size_t made;
	return has_zeros(block, n) && !sequences_decode(bytes_of(block, n), NULL, room, &made);
}

static bool checksum_is(const uint8_t *document, size_t n, const uint8_t checksum[static 8])
{
	XXH64_canonical_t canonical;
	XXH64_canonicalFromHash(&canonical, XXH3_64bits(document, n));
	return memcmp(canonical.digest, checksum, sizeof canonical.digest) == 0;
}

/* Whether the block can be read to where the document goes. */
static bool fits_in_place(const struct bytestorage *e)
{
	return e->compressed < e->original;
}

size_t bytestorage_room(const struct bytestorage *envelope)
{
	size_t original = envelope->original;
	return fits_in_place(envelope) ? LZ4_DECOMPRESS_INPLACE_BUFFER_SIZE(original) : original;
}

static int read_block(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	int r = e->integers ? read_integers(e, payload, cancel, to, ret_reason) : read_bytes(e, payload, cancel, to);
	return r == 0 && cancel && atomic_load_explicit(cancel, memory_order_relaxed) ? -EINTR : r;
}

/* 1: that is the document. 0: it has to be looked at with care. -errno. */
static int decode_in_place(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	uint8_t *block = to + bytestorage_room(e) - e->compressed;
	int r = read_block(e, payload, cancel, block, ret_reason);
	if (r < 0)
		return r;
	int made = LZ4_decompress_safe((const char *)block, (char *)to, (int)e->compressed, (int)e->original);
	return made == (int)e->original && checksum_is(to, e->original, e->checksum);
}

static int decode_with_care(const struct bytestorage *e, const uint8_t *block, bool verify, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	size_t made;
	bool decoded = block_decode(block, e->compressed, to, e->original, &made);
	bool right = decoded && verify && checksum_is(to, made, e->checksum);
	if (!decoded || (!right && is_malformed(block, e->compressed, e->original))) {
		*ret_reason = "the LZ4 block is malformed, or larger than its envelope says";
		return -EUCLEAN;
	}
	if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
		return -EINTR;
	/* Before the size: also of a document that is too short, the checksum tells whether it was altered. */
	if (verify && !right) {
		*ret_reason = "checksum does not match";
		return -EBADMSG;
	}
	if (made != e->original) {
		*ret_reason = "document's size is not what its envelope says";
		return -EUCLEAN;
	}
	return 0;
}

int bytestorage_decode(const struct bytestorage *envelope, const struct slice *payload, bool verify, const atomic_bool *cancel,
	uint8_t *to, const char **ret_reason)
{
	cleanup_free uint8_t *copy = NULL;
	const uint8_t *block = block_in_memory(envelope, payload);
	int r;
	if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
		return -EINTR;
	if (block)
		return decode_with_care(envelope, block, verify, cancel, to, ret_reason);
	/* Without the checksum nobody can tell whether it went well. */
	if (verify && fits_in_place(envelope)) {
		r = decode_in_place(envelope, payload, cancel, to, ret_reason);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	copy = block_new(envelope->compressed);
	r = copy ? read_block(envelope, payload, cancel, copy, ret_reason) : -ENOMEM;
	return r < 0 ? r : decode_with_care(envelope, copy, verify, cancel, to, ret_reason);
}
