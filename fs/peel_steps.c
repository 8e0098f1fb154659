/* The first steps of peeling: as far as the document is found. */
#include "entry_private.h"

#include "ckfs/learnt.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int peel_stored(struct entry *entry)
{
	const char *reason = NULL;
	const struct slice *value = &entry->stored.value;
	int r = frame_read(value, entry->interop, &entry->frame, &reason);
	entry->frame_unread = r == -ENODATA;
	if (r == -EUCLEAN || r == -EFBIG) {
		entry->frame_fault = r;
		entry->frame_reason = reason;
		return 0;
	}
	return entry->frame_unread ? 0 : r;
}

/* --- the rest of a value that was found by its head --- */

static int run_fetch(struct entry *entry, unsigned *have)
{
	struct entries *entries = entry->entries;
	struct storage *storage = entry->stored.value.storage;
	struct slice whole;
	int r = 0;
	if (!storage_is_whole(storage)) {
		r = backend_fetch(entries->backend, &entry->key, &entry->stored, &entries->spool, &entry->cancel, &whole);
		if (r == 0) {
			r = storage_complete(storage, &whole);
			slice_done(&whole);
		}
	}
	/* Somebody may have found this version whole meanwhile. */
	if (r == -ESTALE && storage_is_whole(storage))
		r = 0;
	if (r == 0)
		*have |= HAVE_WHOLE;
	return r;
}

static uint64_t cost_of_fetch(struct entry *entry, unsigned have)
{
	(void)have;
	/* It waits for a network, whatever the size. */
	return storage_is_whole(entry->stored.value.storage) ? 0 : UINT64_MAX;
}

/* --- the payload --- */

static int write_spool(void *arg, const void *bytes, size_t n)
{
	return spool_write(arg, bytes, n);
}

static int restart_spool(void *arg)
{
	spool_restart(arg);
	return 0;
}

/* A legacy frame's payload is always a copy. */
static int peel_legacy(struct entry *entry)
{
	const struct slice *value = &entry->stored.value;
	struct spool_writer writer;
	struct frame frame;
	int r = spool_begin(&entry->entries->spool, value->length / 4 * 3 + 3, false, &writer);
	if (r < 0)
		return r;
	const struct legacy_sink sink = {.write = write_spool, .restart = restart_spool, .arg = &writer};
	r = legacy_read(value, &sink, &entry->cancel, &frame);
	if (r < 0 || frame.kind == FRAME_NONE) {
		spool_abort(&writer);
		if (r < 0)
			return r;
		slice_copy(value, &entry->payload);
	} else {
		r = spool_end(&writer, &entry->payload);
		if (r < 0) {
			frame_done(&frame);
			return r;
		}
	}
	frame_done(&entry->frame);
	entry->frame = frame;
	return 0;
}

static int run_payload(struct entry *entry, unsigned *have)
{
	int r = entry->frame_unread ? peel_stored(entry) : 0;
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
	if (entry->frame_fault == 0)
		entry->locate_cost = document_locate_cost(&entry->frame, &entry->payload);
	*have |= HAVE_PAYLOAD;
	return 0;
}

static uint64_t cost_of_payload(struct entry *entry, unsigned have)
{
	(void)have;
	return entry->frame.maybe_legacy ? entry->stored.value.length : 0;
}

/* --- the document, by its head --- */

static int refuse(struct entry *entry, int fault, const char *reason)
{
	entry->document.fault = fault;
	entry->document.reason = reason;
	return 0;
}

/* Which key is to be tried on a sealed payload, or why none is. */
static int choose_key(struct entry *entry)
{
	const struct entries *entries = entry->entries;
	const struct frame_meta *meta = &entry->frame.meta;
	document_of_sealed(&entry->frame, &entry->payload, &entry->document);
	if (entry->document.fault < 0)
		return 0;
	if (meta->encryption_algorithm && strcmp(meta->encryption_algorithm, "AES-256-GCM") != 0)
		return refuse(entry, -EOPNOTSUPP, "sealed by an algorithm unknown to this build");
	if (!entries->keyring)
		return refuse(entry, -ENOKEY, "sealed, and no master key is configured (CACHEKIT_MASTER_KEY, -o master_key_file=)");
	if (!entry->key.text)
		return refuse(entry, -ENOKEY, "sealed: it opens by its key only, not by its hash");
	if (!meta->tenant_id)
		return refuse(entry, -EUCLEAN, "sealed, but the frame header names no tenant");
	int r = keyring_choose(entries->keyring, meta->tenant_id, meta->key_fingerprint);
	if (r == -EUCLEAN)
		return refuse(entry, r, "sealed for a tenant for which no key can be derived");
	if (r == -ENOKEY && entries->options->fail_closed)
		return refuse(entry, r, "sealed: no key has its fingerprint");
	if (r < 0 && r != -ENOKEY)
		return r;
	entry->opens = true;
	entry->unfit = r == -ENOKEY;
	entry->key_number = r < 0 ? 0 : r;
	return 0;
}

/* What was learnt of this version before. */
static void recall_learnt(struct entry *entry, unsigned *have)
{
	struct version record = entry_record(entry);
	if (learnt_get(entry->entries->learnt, &record, &entry->verdict))
		*have |= HAVE_VERDICT;
	if (entry->document.kind == DOCUMENT_MSGPACK && learnt_get_json(entry->entries->learnt, &record, &entry->rendered))
		*have |= HAVE_RENDERED;
}

static void recall(struct entry *entry, unsigned *have)
{
	if (entry_wants_check(entry))
		recall_learnt(entry, have);
}

/* A fault that no check follows may lie beyond what a listing has at hand of a remote value: it is told of it. */
static void remember_fault(struct entry *entry)
{
	const struct document *d = &entry->document;
	struct version record = entry_record(entry);
	if (d->fault < 0 && entry->entries->backend->ops->remote && !entry->opens && !document_has_check(d))
		learnt_put(entry->entries->learnt, &record, &(struct verdict){.fault = d->fault, .reason = d->reason, .key = -1});
}

static int run_document(struct entry *entry, unsigned *have)
{
	int r = 0;
	if (entry->frame_fault == 0 && entry->frame.meta.encrypted == YES) {
		r = choose_key(entry);
	} else if (entry->interop && entry->entries->keyring) {
		document_of_sealed(&entry->frame, &entry->payload, &entry->document);
		entry->opens = true;
		entry->key_number = -1;
	} else if (entry->frame_fault == 0) {
		r = document_locate(&entry->frame, &entry->payload, false, &entry->cancel, &entry->document);
	}
	if (r < 0)
		return r;
	recall(entry, have);
	remember_fault(entry);
	*have |= HAVE_DOCUMENT;
	return 0;
}

int entry_assume_document(struct entry *entry)
{
	assert(!entry->shared);
	if (entry->frame_unread || entry->frame.kind == FRAME_NONE)
		return -ENODATA;
	document_of_sealed(&entry->frame, &entry->payload, &entry->document);
	entry->document.has_size = false;
	entry->have |= HAVE_DOCUMENT;
	recall_learnt(entry, &entry->have);
	return 0;
}

static uint64_t cost_of_document(struct entry *entry, unsigned have)
{
	(void)have;
	return entry->locate_cost;
}

const struct step step_fetch = {run_fetch, cost_of_fetch};

static const struct step
	step_payload = {run_payload, cost_of_payload},
	step_document = {run_document, cost_of_document};

const struct step *step_towards(const struct entry *entry, unsigned have, enum level level)
{
	bool json = level == LEVEL_JSON_SIZED || level == LEVEL_JSON;
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
	if (json && entry->document.kind == DOCUMENT_MSGPACK)
		return &step_json;
	return level == LEVEL_SUMMARY ? &step_summary : &step_body;
}
