/*
 * MessagePack documents. They are untrusted: msgpack_walk() comes first, and what it has passed the others may trust.
 */
#ifndef CKFS_MSGPACK_H
#define CKFS_MSGPACK_H

#include "ckfs/buf.h"
#include "ckfs/sink.h"
#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Containers within containers. */
#define MSGPACK_LEVELS 1024

/* A longer JSON text is refused (EFBIG). */
#define JSON_TEXT_MAX (UINT64_C(1) << 30)
#define JSON_TOO_LONG "its JSON text is over 1 GiB"

/*
 * Checks that the n bytes are one whole document: at most MSGPACK_LEVELS deep, every length backed by bytes that are there,
 * nothing behind it. Strings need not be UTF-8. Time and memory are bounded by n.
 * 0; -EUCLEAN with static text in *ret_reason; -EINTR when *cancel (may be NULL) became true.
 */
int msgpack_walk(const uint8_t *document, size_t n, const atomic_bool *cancel, const char **ret_reason);

/*
 * The same with a document wherever it lies; what its strings hold is not read. *ret_text: its JSON is no shorter.
 * Also -EIO, -ENODATA…, as slice_read(); -ENOMEM.
 */
int msgpack_walk_slice(const struct slice *document, const atomic_bool *cancel, uint64_t *ret_text, const char **ret_reason);

/*
 * What the first bytes tell: false when this is no whole document, as of a text, which begins with a number and goes on. True: only
 * msgpack_walk() tells. 1, 0, errors as slice_read().
 */
int msgpack_may_be_whole(const struct slice *document);

/*
 * Whether a walked document has the shape of a ByteStorage envelope, or of one with a member that went wrong: an array of four of which
 * three are [bin, array of 8 octets, size, "msgpack" | "dataframe" | "series"]. 1, 0, -EINTR when *cancel (may be NULL) became true, errors as slice_read().
 */
int msgpack_is_like_envelope(const struct slice *document, const atomic_bool *cancel);

/*
 * Whether a walked document is a map with the members without which the SDK makes no dataframe, or no series, of it. An envelope has none of them, whatever
 * form it has. Results as above.
 */
int msgpack_is_columnar(const struct slice *document, bool series, const atomic_bool *cancel);

/*
 * Writes a walked document as JSON, one line and a newline, streaming.
 *
 *   bin     {"$base64": "…"}
 *   ext     {"$ext": [type, "base64"]}
 *   NaN …   {"$float": "NaN" | "Infinity" | "-Infinity"}
 *   a map's key that is no string    the JSON text of the key, as a string
 *
 * Integers are exact; floats are the shortest text that reads back as the same double (a float32 as the double it is). Members
 * keep their order, duplicates too.
 *
 * 0; with static text in *ret_reason: -EUCLEAN a string is not UTF-8, -EFBIG over JSON_TEXT_MAX; -EINTR; -ENOMEM; the sink's error.
 */
int msgpack_to_json(const uint8_t *document, size_t n, struct sink *sink, const atomic_bool *cancel, const char **ret_reason);

/*
 * What a walked "dataframe" or "series" document holds, as JSON for meta/:
 *   {"rows": 3, "columns": [{"name": "a", "type": "numeric", "dtype": "int64"}, {"name": "b", "type": "object"}, …]}
 * A series has one column, whose name may be null. What is not known is null, and so is a name that is
 * no number, boolean or string, or a text of over 4096 bytes; of a column with a longer name nothing is known. At most COLUMNS_SHOWN columns
 * are shown; then "columns_total" tells how many there are. 1; 0 the document is not of that form, and nothing was written; -EINTR when *cancel
 * (may be NULL) became true; -ENOMEM.
 */
#define COLUMNS_SHOWN 1000
int msgpack_describe_columns(const uint8_t *document, size_t n, const atomic_bool *cancel, struct buf *buf);

#endif
