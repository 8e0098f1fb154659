/* json/: a MessagePack document rendered as JSON; one that is stored as JSON is shown unchanged. */
#include "views.h"

static int json_status(struct entry *entry, enum level level, const char **ret_reason)
{
	bool rendered = entry_document(entry)->kind == DOCUMENT_MSGPACK;
	return view_document_status(entry, rendered ? DOCUMENT_MSGPACK : DOCUMENT_JSON, level, ret_reason);
}

static int json_size(struct entry *entry, uint64_t *ret)
{
	*ret = entry_rendering_size(entry, RENDERING_JSON);
	return 0;
}

static int json_content(struct entry *entry, struct content *ret)
{
	slice_copy(entry_rendering(entry, RENDERING_JSON), &ret->body);
	return 0;
}

const struct view json_view = {
	.name = "json",
	.extension = ".json",
	.size_level = LEVEL_RENDERING_SIZED(RENDERING_JSON),
	.open_level = LEVEL_RENDERING(RENDERING_JSON),
	.status = json_status,
	.size = json_size,
	.content = json_content,
};
