/* frame/: the stored value, whole, as the backend's get returns it. */
#include "views.h"

static int frame_status(struct entry *entry, enum level level, const char **ret_reason)
{
	(void)entry;
	(void)level;
	(void)ret_reason;
	return 0;
}

static int frame_content(struct entry *entry, struct content *ret)
{
	slice_copy(&entry_stored(entry)->value, &ret->body);
	return 0;
}

const struct view frame_view = {
	.name = "frame",
	.extension = "",
	.size_level = LEVEL_STORED,
	.open_level = LEVEL_WHOLE,
	.status = frame_status,
	.content = frame_content,
};
