/* msgpack/: the MessagePack document, decompressed. */
#include "views.h"

static int msgpack_status(struct entry *entry, enum level level, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_MSGPACK, level, ret_reason);
}

static int msgpack_content(struct entry *entry, struct content *ret)
{
	slice_copy(entry_body(entry), &ret->body);
	return 0;
}

const struct view msgpack_view = {
	.name = "msgpack",
	.extension = ".msgpack",
	.size_level = LEVEL_SIZED,
	.open_level = LEVEL_BODY,
	.status = msgpack_status,
	.size = entry_document_size,
	.content = msgpack_content,
};
