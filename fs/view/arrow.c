/* arrow/: an Arrow IPC file, from its ARROW1 on. All offsets inside it count from there. */
#include "views.h"

static int arrow_status(struct entry *entry, enum level level, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_ARROW, level, ret_reason);
}

static int arrow_content(struct entry *entry, struct content *ret)
{
	slice_copy(entry_body(entry), &ret->body);
	return 0;
}

const struct view arrow_view = {
	.name = "arrow",
	.extension = ".arrow",
	.size_level = LEVEL_SIZED,
	.open_level = LEVEL_BODY,
	.mapped = true,
	.status = arrow_status,
	.size = entry_document_size,
	.content = arrow_content,
};
