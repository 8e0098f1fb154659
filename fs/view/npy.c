/* npy/: a made .npy header, then the array as it is stored. */
#include "views.h"

#include <errno.h>
#include <stdlib.h>

static int npy_status(struct entry *entry, enum level level, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_NUMPY, level, ret_reason);
}

static int npy_content(struct entry *entry, struct content *ret)
{
	const struct ndarray *array = entry_array(entry);
	struct content content = {0};
	struct storage *storage;
	char *header;
	size_t length;
	int r = numpy_write_header(array, &header, &length);
	if (r < 0)
		return r;
	r = storage_new_memory(header, &storage);
	if (r < 0) {
		free(header);
		return r;
	}
	slice_new(storage, 0, length, &content.head);
	storage_unref(storage);
	r = slice_sub(entry_body(entry), array->data_offset, array->data_length, &content.body);
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
	.size_level = LEVEL_SIZED,
	.open_level = LEVEL_BODY,
	.status = npy_status,
	.size = entry_document_size,
	.content = npy_content,
};
