/* json/: a MessagePack document rendered as JSON; one that is stored as JSON is shown unchanged. */
#include "views.h"

static bool is_rendered(const struct entry *entry)
{
	return entry_document(entry)->kind == DOCUMENT_MSGPACK;
}

static int json_status(struct entry *entry, enum level level, const char **ret_reason)
{
	return view_document_status(entry, is_rendered(entry) ? DOCUMENT_MSGPACK : DOCUMENT_JSON, level, ret_reason);
}

static int json_size(struct entry *entry, uint64_t *ret)
{
	if (!is_rendered(entry))
		return entry_document_size(entry, ret);
	*ret = entry_json_size(entry);
	return 0;
}

static int json_content(struct entry *entry, struct content *ret)
{
	slice_copy(is_rendered(entry) ? entry_json(entry) : entry_body(entry), &ret->body);
	return 0;
}

const struct view json_view = {
	.name = "json",
	.extension = ".json",
	.size_level = LEVEL_JSON_SIZED,
	.open_level = LEVEL_JSON,
	.status = json_status,
	.size = json_size,
	.content = json_content,
};
