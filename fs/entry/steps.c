/* The first steps of peeling: as far as the payload is found. And which step is the next one. */
#include "steps.h"

#include <errno.h>
#include <string.h>

/* Reads the frame, if its header is no longer than `most`. */
static int read_frame(struct entry *entry, uint32_t most)
{
	const char *reason = NULL;
	const struct slice *value = &entry->stored.value;
	int r = frame_read(value, key_is_interop(&entry->key), most, &entry->cancel, &entry->frame, &reason);
	entry->frame_unread = r == -ENODATA;
	if (r == -EUCLEAN || r == -EFBIG) {
		entry->frame_fault = r;
		entry->frame_reason = reason;
		return 0;
	}
	return entry->frame_unread ? 0 : r;
}

int step_begin(struct entry *entry)
{
	return read_frame(entry, FRAME_HEADER_QUICK);
}

/* --- the rest of a value that was found by its head --- */

/* Whether what is shown lies in the value itself. What is decoded of it is kept by itself then, and one of the two is enough. */
static bool shows_value(const struct entry *entry, enum level level, unsigned have)
{
	const bool lies_there = (have & HAVE_DOCUMENT) && !entry->opens && !entry->document.has_storage;
	return level <= LEVEL_PAYLOAD_WHOLE || lies_there;
}

static int fetch(struct entry *entry, enum level level, unsigned have)
{
	struct entries *entries = entry->entries;
	cleanup_slice struct slice whole = {0};
	int r = 0;
	if (!decoded_get(entries->decoded, &entry->id, FORM_VALUE, &whole)) {
		r = backend_fetch(entries->backend, &entry->key, &entry->stored, &entries->spool, &entry->cancel, &whole);
		if (r == 0 && !entry->judged && shows_value(entry, level, have))
			decoded_put(entries->decoded, &entry->id, FORM_VALUE, &whole);
	}
	return r < 0 ? r : storage_complete(entry->stored.value.storage, &whole);
}

static int run_fetch(struct entry *entry, enum level level, unsigned *have)
{
	struct storage *storage = entry->stored.value.storage;
	int r = storage_is_whole(storage) ? 0 : fetch(entry, level, *have);
	/* Somebody may have found this version whole meanwhile. */
	if (r == -ESTALE && storage_is_whole(storage))
		r = 0;
	if (r == 0)
		*have |= HAVE_WHOLE;
	return r;
}

static uint64_t cost_of_fetch(struct entry *entry, enum level level, unsigned have)
{
	(void)level;
	(void)have;
	/* It waits for a network, whatever the size. */
	return storage_is_whole(entry->stored.value.storage) || decoded_has(entry->entries->decoded, &entry->id, FORM_VALUE) ? 0 : UINT64_MAX;
}

/* --- the payload --- */

/* So much of a legacy frame's payload tells a listing what it is. */
#define LEGACY_HEAD 4096

static int write_spool(void *arg, const void *bytes, size_t n)
{
	return spool_write(arg, bytes, n);
}

static int restart_spool(void *arg)
{
	spool_restart(arg);
	return 0;
}

/* The beginning of a legacy frame's payload. */
struct head {
	size_t n;
	uint8_t bytes[LEGACY_HEAD];
};

static int write_head(void *arg, const void *bytes, size_t n)
{
	struct head *head = arg;
	size_t room = sizeof head->bytes - head->n;
	n = n < room ? n : room;
	memcpy(head->bytes + head->n, bytes, n);
	head->n += n;
	return 0;
}

static int restart_head(void *arg)
{
	((struct head *)arg)->n = 0;
	return 0;
}

/* Reads a legacy frame, and of its payload no more than the beginning. */
static int read_legacy_head(struct entry *entry, struct frame *ret)
{
	struct head head = {.n = 0};
	struct storage *storage;
	const struct legacy_sink sink = {.write = write_head, .restart = restart_head, .arg = &head};
	int r = legacy_read(&entry->stored.value, &sink, &entry->cancel, ret);
	if (r < 0 || ret->kind == FRAME_NONE)
		return r;
	r = storage_new_partial(head.bytes, head.n, &storage);
	if (r < 0) {
		frame_done(ret);
		return r;
	}
	slice_new(storage, 0, ret->payload_length, &entry->payload);
	storage_unref(storage);
	return 0;
}

/* Reads a legacy frame with its payload, which is always a copy. */
static int decode_legacy(struct entry *entry, struct frame *ret)
{
	const struct slice *value = &entry->stored.value;
	cleanup_spool struct spool_writer writer = {0};
	int r = spool_begin(&entry->entries->spool, value->length / 4 * 3 + 3, false, &writer);
	if (r < 0)
		return r;
	const struct legacy_sink sink = {.write = write_spool, .restart = restart_spool, .arg = &writer};
	r = legacy_read(value, &sink, &entry->cancel, ret);
	if (r < 0 || ret->kind == FRAME_NONE)
		return r;
	r = spool_end(&writer, &entry->payload);
	if (r < 0)
		frame_done(ret);
	return r;
}

static int peel_legacy(struct entry *entry)
{
	struct frame frame;
	int r = entry->listed ? read_legacy_head(entry, &frame) : decode_legacy(entry, &frame);
	if (r < 0)
		return r;
	if (frame.kind == FRAME_NONE)
		slice_copy(&entry->stored.value, &entry->payload);
	frame_done(&entry->frame);
	entry->frame = frame;
	return 0;
}

static int run_payload(struct entry *entry, enum level level, unsigned *have)
{
	(void)level;
	int r = entry->frame_unread ? read_frame(entry, FRAME_HEADER_MAX) : 0;
	if (r == 0 && entry->frame_unread)
		r = -ENODATA;
	if (r < 0)
		return r;
	if (entry->frame_fault == 0 && entry->frame.maybe_legacy)
		r = peel_legacy(entry);
	else if (entry->frame_fault == 0)
		r = slice_sub(&entry->stored.value, entry->frame.payload_offset, entry->frame.payload_length, &entry->payload);
	if (r < 0)
		return r;
	entry->frame.declared = entry->entries->options->bare == BARE_MSGPACK && frame_is_bare(&entry->frame);
	if (entry->frame_fault == 0)
		entry->locate_cost = document_locate_cost(&entry->frame, &entry->payload);
	*have |= HAVE_PAYLOAD;
	return 0;
}

static uint64_t cost_of_payload(struct entry *entry, enum level level, unsigned have)
{
	(void)level;
	(void)have;
	/* Where there is more of the value, its header was too long to be read at once. */
	if (entry->frame_unread)
		return storage_is_whole(entry->stored.value.storage) ? UINT64_MAX : 0;
	return entry->frame.maybe_legacy ? entry->stored.value.length : 0;
}

const struct step step_fetch = {run_fetch, cost_of_fetch};

static const struct step step_payload = {run_payload, cost_of_payload};

const struct step *step_towards(const struct entry *entry, unsigned have, enum level level)
{
	if (!(have & HAVE_WHOLE) && (entry->needs_whole || level == LEVEL_WHOLE))
		return &step_fetch;
	if (!(have & HAVE_PAYLOAD))
		return &step_payload;
	if (level == LEVEL_PAYLOAD_WHOLE)
		return &step_fetch;
	if (!(have & HAVE_DOCUMENT))
		return &step_document;
	/* The document is a window of what is not all there. */
	if (!(have & HAVE_WHOLE) && (have & HAVE_BODY) && entry->body.storage == entry->payload.storage)
		return &step_fetch;
	return entry_is_rendered(entry, level) ? &step_rendering : &step_body;
}
