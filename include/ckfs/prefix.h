/*
 * The 8-byte prefix: xxh3-64 (seed 0, big-endian) of the document that follows it.
 */
#ifndef CKFS_PREFIX_H
#define CKFS_PREFIX_H

#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>

#define PREFIX_SIZE 8

enum prefix {
	PREFIX_ABSENT,  /* the magic stands at 0: integrity was off */
	PREFIX_PRESENT, /* the magic stands at 8 */
};

/*
 * Tells by structure whether a payload is [prefix][magic...] or [magic...].
 * 0; -EUCLEAN when the magic stands at neither place; -EIO.
 */
int prefix_locate(const struct slice *payload, const void *magic, size_t n, enum prefix *ret);

/*
 * Hashes what follows the prefix, streaming. 0 when it matches; -EBADMSG; -EUCLEAN
 * under 8 bytes; -EINTR when *cancel (may be NULL) became true; -EIO; -ENOMEM.
 */
int prefix_check(const struct slice *payload, const atomic_bool *cancel);

/*
 * Reads an orjson payload, [prefix][JSON] or [JSON], in one pass: there is a prefix
 * when it hashes the rest. The JSON is checked as a whole (JSON_ORJSON).
 *
 * 0 and *ret; -EUCLEAN for a right prefix over bad JSON, or for under 10 bytes that are
 * no JSON; -EBADMSG for anything else that is not JSON as a whole; -EINTR; -EIO; -ENOMEM.
 */
int prefix_read_json(const struct slice *payload, const atomic_bool *cancel, enum prefix *ret);

#endif
