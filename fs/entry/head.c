#include "head.h"

#include "ckfs/document.h"
#include "ckfs/frame.h"

#include <string.h>

/* Whether a text stands behind a prefix: a large one begins as an object, an array or a string, which of a hash few do. */
static bool has_prefix(const struct slice *payload)
{
	uint8_t first;
	return payload->length > PREFIX_SIZE && slice_read(payload, 0, &first, 1) == 0 && !memchr("{[\"", first, 3);
}

static uint64_t head_of_payload(const struct frame *frame, const struct slice *payload)
{
	const atomic_bool never = false;
	struct document document;
	uint64_t head = payload->offset;
	if (frame->meta.encrypted == YES || document_locate_cost(frame, payload) > 0 || document_locate(frame, payload, false, &never, &document) < 0)
		return head;
	if (document.body.storage)
		head = document.body.offset;
	else if (document.kind == DOCUMENT_JSON && has_prefix(payload))
		head += PREFIX_SIZE;
	document_done(&document);
	return head;
}

uint64_t value_head(const void *first, size_t n, uint64_t size)
{
	const atomic_bool never = false;
	cleanup_slice struct slice value = {0}, payload = {0};
	struct frame frame;
	const char *reason;
	uint64_t head = 0;
	if (slice_new_partial(first, n, size, &value) < 0 || frame_read(&value, false, (uint32_t)n, &never, &frame, &reason) < 0)
		return 0;
	if (frame.kind == FRAME_V3 && slice_sub(&value, frame.payload_offset, frame.payload_length, &payload) == 0)
		head = head_of_payload(&frame, &payload);
	frame_done(&frame);
	return head <= n ? head : 0;
}
