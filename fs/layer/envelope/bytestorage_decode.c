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
#include <xxhash.h>

#define READ_SIZE ((size_t)1 << 20)
#define MATCH_MIN 4

static bool is_cancelled(const atomic_bool *cancel)
{
	return cancel && atomic_load_explicit(cancel, memory_order_relaxed);
}

static void reader_done(struct envelope_reader *reader)
{
	envelope_reader_done(reader);
}

/* Reads the block to the end of what was written, piece by piece: there is room for no more than what has been read, and a piece. */
static int read_block(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, struct sink *to,
	const char **ret_reason)
{
	cleanup_with(reader_done) struct envelope_reader reader;
	envelope_reader_init(&reader, payload, e->data_offset, cancel);
	int r = e->integers ? envelope_reader_widen(&reader) : 0;
	for (size_t at = 0, n; r == 0 && at < e->compressed; at += n) {
		n = e->compressed - at < READ_SIZE ? e->compressed - at : READ_SIZE;
		if (is_cancelled(cancel))
			return -EINTR;
		r = sink_room(to, n);
		if (r == 0)
			r = e->integers ? envelope_reader_octets(&reader, n, to->p) : slice_read(payload, e->data_offset + at, to->p, n);
		to->p += r == 0 ? n : 0;
	}
	if (r == -EUCLEAN)
		*ret_reason = reader.reason;
	return r == 0 && is_cancelled(cancel) ? -EINTR : r;
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

/*
 * Decodes sequence by sequence into `room` bytes at `to`, or (NULL) only looks whether it could. False: it cannot, or *cancel
 * became true.
 */
static bool sequences_decode(struct bytes b, uint8_t *to, size_t room, const atomic_bool *cancel, size_t *ret)
{
	size_t done = 0, literals, match;
	const uint8_t *p;
	uint16_t offset;
	uint8_t token;
	for (;;) {
		if (is_cancelled(cancel) || !bytes_u8(&b, &token) || !length_read(&b, token >> 4, &literals) || literals > room - done)
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

static bool block_decode(const uint8_t *block, size_t n, uint8_t *to, size_t room, const atomic_bool *cancel, size_t *ret)
{
	uint8_t nothing;
	int made = LZ4_decompress_safe((const char *)block, room ? (char *)to : (char *)&nothing, (int)n, (int)room);
	if (made < 0)
		return sequences_decode(bytes_of(block, n), to, room, cancel, ret);
	*ret = (size_t)made;
	return true;
}

/* Of a block that was decoded: whether liblz4 took what is malformed. */
static bool is_malformed(const uint8_t *block, size_t n, size_t room, const atomic_bool *cancel)
{
	size_t made;
	return has_zeros(block, n) && !sequences_decode(bytes_of(block, n), NULL, room, cancel, &made);
}

static bool checksum_is(const uint8_t *document, size_t n, const uint8_t checksum[static 8])
{
	XXH64_canonical_t canonical;
	XXH64_canonicalFromHash(&canonical, XXH3_64bits(document, n));
	return memcmp(canonical.digest, checksum, sizeof canonical.digest) == 0;
}

size_t bytestorage_room(const struct bytestorage *envelope)
{
	size_t most = envelope->room > envelope->compressed ? envelope->room : envelope->compressed;
	return LZ4_DECOMPRESS_INPLACE_BUFFER_SIZE(most);
}

/* 1: that is the document. 0: it has to be looked at with care. -errno. */
static int decode_in_place(const struct bytestorage *e, const struct slice *payload, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	uint8_t *block = to + bytestorage_room(e) - e->compressed;
	struct sink there = {.p = block, .end = block + e->compressed};
	int r = read_block(e, payload, cancel, &there, ret_reason);
	if (r < 0)
		return r;
	int made = LZ4_decompress_safe((const char *)block, (char *)to, (int)e->compressed, (int)e->room);
	return made == (int)e->original && checksum_is(to, e->original, e->checksum);
}

static int decode_with_care(const struct bytestorage *e, const uint8_t *block, bool verify, const atomic_bool *cancel, uint8_t *to,
	const char **ret_reason)
{
	size_t made;
	bool decoded = block_decode(block, e->compressed, to, e->room, cancel, &made);
	bool right = decoded && !is_cancelled(cancel) && verify && checksum_is(to, made, e->checksum);
	bool sound = right || (decoded && !is_malformed(block, e->compressed, e->room, cancel));
	if (is_cancelled(cancel))
		return -EINTR;
	if (!sound) {
		*ret_reason = BYTESTORAGE_MALFORMED;
		return -EUCLEAN;
	}
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
	uint8_t *to, struct sink *spare, const char **ret_reason)
{
	const uint8_t *block = block_in_memory(envelope, payload);
	if (is_cancelled(cancel))
		return -EINTR;
	if (block)
		return decode_with_care(envelope, block, verify, cancel, to, ret_reason);
	/* Without the checksum nobody can tell whether it went well. */
	if (verify && !spare) {
		int r = decode_in_place(envelope, payload, cancel, to, ret_reason);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	if (!spare)
		return 1;
	int r = read_block(envelope, payload, cancel, spare, ret_reason);
	return r < 0 ? r : decode_with_care(envelope, spare->p - envelope->compressed, verify, cancel, to, ret_reason);
}
