/* npy/: a made .npy header, then the array as it is stored. */
#include "views.h"

#include "ckfs/cleanup.h"

static int npy_status(struct entry *entry, enum level level, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_NUMPY, level, ret_reason);
}

static int npy_content(struct entry *entry, struct content *ret)
{
	const struct ndarray *array = entry_array(entry);
	cleanup_slice struct slice body = {0};
	cleanup_free char *header = NULL;
	struct storage *storage;
	size_t length;
	int r = slice_sub(entry_body(entry), array->data_offset, array->data_length, &body);
	if (r == 0)
		r = numpy_write_header(array, &header, &length);
	if (r == 0)
		r = storage_new_memory(header, &storage);
	if (r < 0)
		return r;
	header = NULL;
	slice_new(storage, 0, length, &ret->head);
	storage_unref(storage);
	ret->body = slice_steal(&body);
	return 0;
}

const struct view npy_view = {
	.name = "npy",
	.extension = ".npy",
	.size_level = LEVEL_SIZED,
	.open_level = LEVEL_BODY,
	.mapped = true,
	.status = npy_status,
	.size = entry_document_size,
	.content = npy_content,
};
