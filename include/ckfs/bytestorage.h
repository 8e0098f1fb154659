/*
 * ByteStorage: the envelope of compressed documents.
 *
 *   one MessagePack array  [compressed_data, checksum, original_size, format]
 *   or a map with these four names, in any order
 *
 *   compressed_data   an LZ4 block: bin, str, or an array of integers 0..255 (what writers made before protocol 1.1)
 *   checksum          xxh3-64, seed 0, big-endian, of the document: an array of 8 integers, or bin
 *   original_size     bytes of the document
 *   format            a name; any
 *
 * Bytes may follow the envelope; the SDK's reader does not look at them.
 */
#ifndef CKFS_BYTESTORAGE_H
#define CKFS_BYTESTORAGE_H

#include "ckfs/sink.h"
#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* No envelope, compressed data or document is larger (EFBIG). */
#define BYTESTORAGE_MAX (UINT32_C(512) << 20)

/* A document is at most this many times its compressed size (EFBIG). */
#define BYTESTORAGE_RATIO_MAX 1000u

#define BYTESTORAGE_FORMAT_MAX 31

#define BYTESTORAGE_MALFORMED "the LZ4 block is malformed, or larger than its envelope says"

struct bytestorage {
	bool integers;          /* the data is an array of integers */
	uint64_t data_offset;   /* in the payload: where the data lies; integers: where its first element lies */
	uint64_t data_length;   /* bytes it takes there */
	uint32_t compressed;    /* bytes of the LZ4 block */
	uint32_t original;      /* bytes of the document, as it claims */
	uint32_t room;          /* bytes that the block makes at most */
	uint8_t checksum[8];
	char format[BYTESTORAGE_FORMAT_MAX + 1]; /* "" when it is longer, or holds a NUL */
	bool strict;            /* written as every writer does: an array, bin or integers, and nothing behind it */
};

/*
 * Finds the envelope. Reads no more than its heads, but for what must be walked: data that is an array of integers, other
 * members of a map, a very long name. With `quick` such an envelope is answered with 1 instead.
 *
 * 0; -EUCLEAN no envelope, or malformed; -EFBIG over a limit, checked before anything is allocated; both with static text in
 * *ret_reason; -EINTR when *cancel (may be NULL) became true; -EIO; -ENOMEM.
 */
int bytestorage_read(const struct slice *payload, bool quick, const atomic_bool *cancel, struct bytestorage *ret,
	const char **ret_reason);

/*
 * Looks at the block before room is taken for a document that claims more than `believed` bytes: at how it begins, and all through where
 * that is more than 32 times its size. Then envelope->room is what it makes. 0; -EUCLEAN it is malformed, or makes another document than is
 * claimed, with static text in *ret_reason; -EINTR; -EIO; -ENOMEM.
 */
int bytestorage_measure(struct bytestorage *envelope, const struct slice *payload, size_t believed, const atomic_bool *cancel,
	const char **ret_reason);

/* Bytes of memory that bytestorage_decode() wants: somewhat more than the document, which is at their start. */
size_t bytestorage_room(const struct bytestorage *envelope);

/*
 * Decompresses the document to `to`, which has bytestorage_room() bytes, and (with `verify`) compares the checksum. A block that does not
 * lie in memory may have to be read to `spare`: without one, that is 1.
 *
 * 0; 1; -EUCLEAN the block is malformed, or the size is another one; -EBADMSG the checksum does not match; both with static text
 * in *ret_reason; -EINTR; -EIO; -ENOMEM; what `spare` fails with.
 */
int bytestorage_decode(const struct bytestorage *envelope, const struct slice *payload, bool verify, const atomic_bool *cancel,
	uint8_t *to, struct sink *spare, const char **ret_reason);

#endif
