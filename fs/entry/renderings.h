/*
 * What is made of a document that was checked. Levels, parts, steps, what is remembered and what is kept follow from the table: a further
 * rendering is its number in enum rendering and its row here.
 */
#ifndef CKFS_RENDERINGS_H
#define CKFS_RENDERINGS_H

#include "decode.h"

#include "ckfs/entry.h"

#include <stdbool.h>

/* What rendering found out. Worth remembering when the content is not kept. */
struct rendered {
	int fault;          /* 0; -EUCLEAN, -EFBIG */
	const char *reason; /* of the fault, static text */
	uint64_t size;      /* bytes of the rendering */
};

struct renderer {
	/* Whether it is made of such a document. */
	bool (*applies)(const struct document *document, const struct frame *frame);

	/* Documents of this kind are served as they are; DOCUMENT_OPAQUE: none is. */
	enum document_kind as_is;

	/* Whether .ckfs/stats counts it as a decoding. */
	bool counted;

	/*
	 * Renders a document, of which `verdict` is known, into the spool: secret content, if it was sealed. 0, what was found out and, when
	 * that is no fault, the content; -EINTR when the decoder's *cancel became true; -EIO, -ENOMEM, -ENOSPC…
	 */
	int (*render)(const struct decoder *decoder, const struct slice *document, const struct verdict *verdict, struct rendered *ret,
		struct slice *ret_content);
};

extern const struct renderer renderings[RENDERING_COUNT];

#endif
