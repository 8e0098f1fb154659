/*
 * The document: what a payload holds below its envelope, and where it lies.
 *
 * What it is, the frame's metadata says; where it begins, its structure says.
 */
#ifndef CKFS_DOCUMENT_H
#define CKFS_DOCUMENT_H

#include "ckfs/frame.h"
#include "ckfs/numpy.h"
#include "ckfs/prefix.h"
#include "ckfs/slice.h"

#include <stdatomic.h>
#include <stdbool.h>

#define ARROW_MAGIC "ARROW1"

enum document_kind {
	DOCUMENT_OPAQUE, /* nobody says that it is a document, or what it says cannot be used (then there is a fault) */
	DOCUMENT_ARROW,
	DOCUMENT_NUMPY,
	DOCUMENT_JSON,
	DOCUMENT_MSGPACK,
};

struct document {
	enum document_kind kind;
	int fault;          /* 0, or why no decoded view opens: -EUCLEAN, -EOPNOTSUPP, -EFBIG */
	const char *reason; /* of the fault, static text */
	enum prefix prefix; /* ARROW, NUMPY */
	struct slice body;  /* ARROW, NUMPY: the document itself. JSON: the payload, whose prefix a check tells */
	struct ndarray array; /* NUMPY */
};

/*
 * Finds the document by the heads of frame and payload; reads no more than those. 0, with the
 * document's own fault inside; -EIO. document_done() drops what it holds.
 */
int document_locate(const struct frame *frame, const struct slice *payload, struct document *ret);

/* Whether there is a checksum to compare before the document is served. */
bool document_has_check(const struct document *document);

/* Whether even its place is known only once it was checked: nothing else tells a JSON document's prefix. */
bool document_needs_check(const struct document *document);

/* The outcome of a check. */
struct verdict {
	int fault;          /* 0; -EBADMSG, -EUCLEAN */
	enum prefix prefix; /* PREFIX_PRESENT when a checksum was compared */
};

/*
 * Compares the checksum, streaming over the whole payload. 0 and the verdict; -EINTR when *cancel became
 * true; -EIO; -ENOMEM.
 */
int document_check(const struct document *document, const struct slice *payload, const atomic_bool *cancel,
	struct verdict *ret);

/* Why a verdict is a fault, static text. */
const char *document_fault_reason(const struct verdict *verdict);

void document_done(struct document *document);

/* "arrow", "numpy", "json", "msgpack", "dataframe", "series"; NULL for an opaque one. */
const char *document_name(const struct document *document, const struct frame *frame);

#endif
