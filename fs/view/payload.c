/* The root and raw/: the payload, as SerializationWrapper.unwrap returns it. Never verified. */
#include "views.h"

static int payload_status(struct entry *entry, enum level level, const char **ret_reason)
{
	(void)level;
	return entry_fault(entry, LEVEL_PAYLOAD, ret_reason);
}

/* A malformed frame has no payload. It is listed and can be looked up all the same, as large as what is stored. */
static int payload_size(struct entry *entry, uint64_t *ret)
{
	*ret = entry_frame(entry) ? entry_payload(entry)->length : entry_stored(entry)->value.length;
	return 0;
}

static int payload_content(struct entry *entry, struct content *ret)
{
	slice_copy(entry_payload(entry), &ret->body);
	return 0;
}

/* The root and raw/ show the same. */
#define PAYLOAD_VIEW(directory) \
	{ \
		.name = directory, .extension = "", .size_level = LEVEL_PAYLOAD, .open_level = LEVEL_PAYLOAD_WHOLE, .shows_failing = true, \
		.status = payload_status, .size = payload_size, .content = payload_content, \
	}

const struct view root_view = PAYLOAD_VIEW("");
const struct view raw_view = PAYLOAD_VIEW("raw");
