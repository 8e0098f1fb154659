/* What a document is called. */
#include "ckfs/document.h"

#include <string.h>

static bool is(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

/* What the application stored, as its writer called it. */
static const char *type_of(const struct document *document, const struct frame *frame)
{
	if (frame->kind == FRAME_NONE)
		return document->has_storage ? document->storage.format : NULL;
	return frame->meta.original_type;
}

const char *document_name(const struct document *document, const struct frame *frame)
{
	switch (document->kind) {
	case DOCUMENT_ARROW:
		return "arrow";
	case DOCUMENT_NUMPY:
		return "numpy";
	case DOCUMENT_JSON:
		return "json";
	case DOCUMENT_MSGPACK:
		if (is(type_of(document, frame), "dataframe"))
			return "dataframe";
		return is(type_of(document, frame), "series") ? "series" : "msgpack";
	default:
		return NULL;
	}
}

bool document_has_columns(const struct document *document, const struct frame *frame)
{
	const char *type = type_of(document, frame);
	return document->kind == DOCUMENT_MSGPACK && (is(type, "dataframe") || is(type, "series"));
}
