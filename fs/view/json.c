/* json/: the document as JSON; one that is stored as JSON is shown unchanged. */
#include "views.h"

#include <errno.h>

static int json_status(const struct entry *entry, enum level known, const char **ret_reason)
{
	const struct document *document = entry_document(entry);
	/* MessagePack has a JSON form: its own fault says why it is not shown. */
	if (document->kind == DOCUMENT_MSGPACK)
		return view_document_status(entry, DOCUMENT_MSGPACK, known, ret_reason);
	return view_document_status(entry, DOCUMENT_JSON, known, ret_reason);
}

static int json_content(struct entry *entry, struct content *ret)
{
	return entry_checked_body(entry, &ret->body);
}

const struct view json_view = {
	.name = "json",
	.extension = ".json",
	.size_level = LEVEL_CHECKED,
	.open_level = LEVEL_CHECKED,
	.status = json_status,
	.content = json_content,
};
