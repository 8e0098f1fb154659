/* npy/: a made .npy header, then the array as it is stored. */
#include "views.h"

#include <errno.h>
#include <stdlib.h>

static int npy_status(const struct entry *entry, enum level known, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_NUMPY, known, ret_reason);
}

static int npy_content(struct entry *entry, struct content *ret)
{
	const struct document *document = entry_document(entry);
	struct content content = {0};
	struct storage *storage;
	char *header;
	size_t length;
	int r = numpy_write_header(&document->array, &header, &length);
	if (r < 0)
		return r;
	r = storage_new_memory(header, &storage);
	if (r < 0) {
		free(header);
		return r;
	}
	slice_new(storage, 0, length, &content.head);
	storage_unref(storage);
	r = slice_sub(&document->body, document->array.data_offset, document->array.data_length, &content.body);
	if (r < 0) {
		content_done(&content);
		return r;
	}
	*ret = content;
	return 0;
}

const struct view npy_view = {
	.name = "npy",
	.extension = ".npy",
	.size_level = LEVEL_DOCUMENT,
	.open_level = LEVEL_CHECKED,
	.status = npy_status,
	.content = npy_content,
};
