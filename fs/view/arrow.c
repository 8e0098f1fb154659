/* arrow/: an Arrow IPC file, from its ARROW1 on. All offsets inside it count from there. */
#include "views.h"

static int arrow_status(const struct entry *entry, enum level known, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_ARROW, known, ret_reason);
}

static int arrow_content(struct entry *entry, struct content *ret)
{
	slice_copy(&entry_document(entry)->body, &ret->body);
	return 0;
}

const struct view arrow_view = {
	.name = "arrow",
	.extension = ".arrow",
	.size_level = LEVEL_DOCUMENT,
	.open_level = LEVEL_CHECKED,
	.status = arrow_status,
	.content = arrow_content,
};
