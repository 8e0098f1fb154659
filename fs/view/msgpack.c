/* msgpack/: the MessagePack document. This build finds none it can decode, and says so. */
#include "views.h"

#include <errno.h>

static int msgpack_status(const struct entry *entry, enum level known, const char **ret_reason)
{
	return view_document_status(entry, DOCUMENT_MSGPACK, known, ret_reason);
}

static int msgpack_content(struct entry *entry, struct content *ret)
{
	(void)entry;
	(void)ret;
	return -EOPNOTSUPP;
}

const struct view msgpack_view = {
	.name = "msgpack",
	.extension = ".msgpack",
	.size_level = LEVEL_DOCUMENT,
	.open_level = LEVEL_CHECKED,
	.status = msgpack_status,
	.content = msgpack_content,
};
