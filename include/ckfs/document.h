/*
 * The document: what a payload holds below its envelope, and where it lies.
 *
 * What it is, the frame's metadata says; without a frame, the key, the structure, or what the mount is told. Where it begins, its structure
 * says. Of a sealed payload the metadata alone decides (without a frame, what the seal is bound to), also after it was opened: plaintext is
 * never sniffed.
 */
#ifndef CKFS_DOCUMENT_H
#define CKFS_DOCUMENT_H

#include "ckfs/bytestorage.h"
#include "ckfs/frame.h"
#include "ckfs/numpy.h"
#include "ckfs/prefix.h"
#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>

enum document_kind {
	DOCUMENT_OPAQUE, /* nobody says that it is a document, or what it says cannot be used (then there is a fault) */
	DOCUMENT_ARROW,
	DOCUMENT_NUMPY,
	DOCUMENT_JSON,
	DOCUMENT_MSGPACK,
};

enum envelope {
	ENVELOPE_UNKNOWN, /* only a check tells */
	ENVELOPE_NONE,
	ENVELOPE_PREFIX,
	ENVELOPE_BYTESTORAGE,
};

/* What a MessagePack document has to be where no envelope is found. What went wrong with an envelope makes a document of it, too. */
enum shape {
	SHAPE_ANY,
	SHAPE_NO_ENVELOPE, /* not like an array of four that was one */
	SHAPE_DATAFRAME,   /* what the SDK makes columns of, as the header says */
	SHAPE_SERIES,
};

struct document {
	enum document_kind kind;
	int fault;          /* 0, or why no decoded view opens: -EUCLEAN, -EOPNOTSUPP, -EFBIG, -ENOKEY */
	const char *reason; /* of the fault, static text */
	enum envelope envelope;
	struct slice body;  /* where it lies in the payload, if that is known: ARROW, NUMPY, MSGPACK without an envelope */
	bool has_size;
	uint64_t size;      /* bytes of the document, of an array those of its .npy file, as far as the heads tell: a check may find that they lie */
	struct ndarray array; /* NUMPY */
	bool has_storage;   /* MSGPACK: the payload looks like an envelope; it is one if ENVELOPE_BYTESTORAGE, else its checksum tells */
	struct bytestorage storage;
	enum shape shape;   /* MSGPACK, where no envelope is found */
};

/* What document_locate() would have to read beyond the heads, in bytes: 0 for nearly all. */
uint64_t document_locate_cost(const struct frame *frame, const struct slice *payload);

/*
 * Finds the document by the heads of frame and payload. `opened`: the payload is what a seal held. 0, with the
 * document's own fault inside; -EINTR when *cancel became true; -EIO; -ENOMEM. document_done() drops what it holds.
 */
int document_locate(const struct frame *frame, const struct slice *payload, bool opened, const atomic_bool *cancel,
	struct document *ret);

/* The kind alone, by the frame's metadata. `ret` as above. */
void document_by_frame(const struct frame *frame, struct document *ret);

/* All that is known of a sealed payload: the kind, and what its length tells. `ret` as above. */
void document_of_sealed(const struct frame *frame, const struct slice *payload, struct document *ret);

/* Whether there is anything to be checked or decoded before the document is served. */
bool document_has_check(const struct document *document);

/* Whether that cannot be left out: it finds the document's place, or that it is one at all. */
bool document_needs_check(const struct document *document);

/* Of one that is refused with -EOPNOTSUPP: whether the SDK may read it all the same. 1, 0, errors as slice_read(). */
int document_may_be_read(const struct document *document);

void document_done(struct document *document);

/* "arrow", "numpy", "json", "msgpack", "dataframe", "series"; NULL for an opaque one. */
const char *document_name(const struct document *document, const struct frame *frame);

/* Whether meta/ can show columns of it: a dataframe or a series in MessagePack. */
bool document_has_columns(const struct document *document, const struct frame *frame);

#endif
