/* What is known of an entry, and what is not yet. */
#include "entry_private.h"

#include <errno.h>

bool entry_wants_check(const struct entry *entry)
{
	if (entry->opens)
		return entry->document.fault == 0;
	bool verify = entry->entries->options->verify == VERIFY_FIRST;
	return document_has_check(&entry->document) && (verify || document_needs_check(&entry->document));
}

bool entry_is_sound(const struct entry *entry, unsigned have)
{
	const struct document *d = &entry->document;
	if (entry->frame_fault < 0 || !(have & HAVE_DOCUMENT) || d->kind == DOCUMENT_OPAQUE || d->fault < 0)
		return false;
	return !(have & HAVE_VERDICT) || entry->verdict.fault == 0;
}

static bool is_rendered(const struct entry *entry, unsigned have, bool with_text)
{
	if (!(have & HAVE_RENDERED))
		return false;
	return !with_text || entry->rendered.fault < 0 || (have & HAVE_JSON);
}

/* Of a document that was found. */
static bool document_is_at(const struct entry *entry, unsigned have, enum level level)
{
	const struct document *d = &entry->document;
	bool checked = (have & HAVE_VERDICT) || !entry_wants_check(entry), sound = entry_is_sound(entry, have);
	bool sized = !sound || d->has_size || (have & HAVE_VERDICT);
	bool here = (have & HAVE_BODY) && ((have & HAVE_WHOLE) || entry->body.storage != entry->payload.storage);
	bool at_hand = checked && (!sound || here);
	switch (level) {
	case LEVEL_SIZED:
		return sized;
	case LEVEL_CHECKED:
		return checked;
	case LEVEL_BODY:
		return at_hand;
	case LEVEL_JSON_SIZED:
	case LEVEL_JSON:
		if (d->kind == DOCUMENT_MSGPACK)
			return !sound || is_rendered(entry, have, level == LEVEL_JSON);
		return d->kind != DOCUMENT_JSON || (level == LEVEL_JSON ? at_hand : sized);
	case LEVEL_SUMMARY:
		return !document_has_columns(d, &entry->frame) || (checked && !sound) || (have & HAVE_SUMMARY);
	default:
		return true;
	}
}

bool entry_is_at(const struct entry *entry, unsigned have, enum level level)
{
	if (level == LEVEL_STORED)
		return true;
	if (level == LEVEL_WHOLE)
		return have & HAVE_WHOLE;
	if (!(have & HAVE_PAYLOAD))
		return false;
	if (level == LEVEL_PAYLOAD || level == LEVEL_PAYLOAD_WHOLE)
		return level == LEVEL_PAYLOAD || (have & HAVE_WHOLE);
	if (!(have & HAVE_DOCUMENT))
		return false;
	if (entry->frame_fault < 0 || entry->document.kind == DOCUMENT_OPAQUE)
		return true;
	return document_is_at(entry, have, level);
}

static unsigned parts_of(struct entry *entry)
{
	pthread_mutex_lock(&entry->lock);
	unsigned have = entry->have;
	pthread_mutex_unlock(&entry->lock);
	return have;
}

bool entry_reached(struct entry *entry, enum level level)
{
	return entry_is_at(entry, parts_of(entry), level);
}

struct version entry_record(const struct entry *entry)
{
	struct version record = entry->stored.version;
	record.id[sizeof record.id - 1] ^= entry->interop;
	return record;
}

const struct key *entry_key(const struct entry *entry)
{
	return &entry->key;
}

bool entry_is_interop(const struct entry *entry)
{
	return entry->interop;
}

const struct stored *entry_stored(const struct entry *entry)
{
	return &entry->stored;
}

struct backend *entry_backend(const struct entry *entry)
{
	return entry->entries->backend;
}

const struct frame *entry_frame(const struct entry *entry)
{
	return entry->frame_fault < 0 ? NULL : &entry->frame;
}

const struct slice *entry_payload(const struct entry *entry)
{
	return &entry->payload;
}

const struct document *entry_document(const struct entry *entry)
{
	return &entry->document;
}

/* Who has an entry at hand uses what is kept of it without asking for it. */
static void touch(const struct entry *entry, enum form form)
{
	struct version record = entry_record(entry);
	const struct slice *slice = form == FORM_JSON ? &entry->json : &entry->body;
	if (storage_is_charged(slice->storage))
		cache_touch(entry->entries->cache, &record, form);
}

int entry_document_size(struct entry *entry, uint64_t *ret)
{
	const struct document *d = &entry->document;
	*ret = d->has_size ? d->size : entry->verdict.size;
	return 0;
}

const struct slice *entry_body(const struct entry *entry)
{
	touch(entry, FORM_DOCUMENT);
	return &entry->body;
}

const struct ndarray *entry_array(const struct entry *entry)
{
	return &entry->document.array;
}

uint64_t entry_json_size(const struct entry *entry)
{
	return entry->rendered.size;
}

const struct slice *entry_json(const struct entry *entry)
{
	touch(entry, FORM_JSON);
	return &entry->json;
}

enum envelope entry_envelope(struct entry *entry)
{
	unsigned have = parts_of(entry);
	if (entry->frame_fault < 0 || !(have & HAVE_DOCUMENT))
		return ENVELOPE_UNKNOWN;
	return have & HAVE_VERDICT ? entry->verdict.envelope : entry->document.envelope;
}

bool entry_compression(struct entry *entry, uint64_t *ret_compressed, uint64_t *ret_original)
{
	unsigned have = parts_of(entry);
	const struct document *d = &entry->document;
	if (entry_envelope(entry) != ENVELOPE_BYTESTORAGE)
		return false;
	bool decoded = (have & HAVE_VERDICT) && entry->verdict.compressed > 0 && entry->verdict.size > 0;
	*ret_compressed = decoded ? entry->verdict.compressed : d->storage.compressed;
	*ret_original = decoded ? entry->verdict.size : d->storage.original;
	return decoded || d->has_storage;
}

const struct slice *entry_columns(const struct entry *entry)
{
	return &entry->columns;
}

struct seal_state entry_seal(struct entry *entry)
{
	unsigned have = parts_of(entry);
	bool opened = (have & HAVE_VERDICT) && entry->verdict.key >= 0;
	bool says = entry->frame_fault == 0 && entry->frame.meta.encrypted == YES;
	struct seal_state state = {
		.sealed = says || opened,
		.verified = opened,
		.has_keyring = entry->entries->keyring,
		.unfit = (have & HAVE_DOCUMENT) && (entry->unfit || entry->document.fault == -ENOKEY),
		.key = -1,
	};
	if (opened)
		state.key = entry->verdict.key;
	else if ((have & HAVE_DOCUMENT) && entry->opens && !entry->unfit)
		state.key = entry->key_number;
	return state;
}

/* What claims to be plain may have been put there by anybody, where keys are configured: its checksum proves nothing. */
enum checksum entry_checksum(struct entry *entry)
{
	unsigned have = parts_of(entry);
	if (entry->frame_fault < 0 || !(have & HAVE_DOCUMENT) || entry->document.kind == DOCUMENT_OPAQUE)
		return CHECKSUM_NONE;
	const struct verdict *v = have & HAVE_VERDICT ? &entry->verdict : NULL;
	if (v && v->compared && v->fault == -EBADMSG)
		return CHECKSUM_MISMATCH;
	if (v && v->compared)
		return entry->entries->keyring && v->key < 0 ? CHECKSUM_UNCHECKED : CHECKSUM_OK;
	enum envelope envelope = v ? v->envelope : entry->document.envelope;
	return envelope == ENVELOPE_NONE ? CHECKSUM_NONE : CHECKSUM_UNCHECKED;
}

int entry_fault(struct entry *entry, enum level level, const char **ret_reason)
{
	unsigned have = parts_of(entry);
	if (entry->frame_fault < 0) {
		*ret_reason = entry->frame_reason;
		return entry->frame_fault;
	}
	/* Its document may just be located, by who wants more of the entry. */
	if (level <= LEVEL_PAYLOAD_WHOLE)
		return 0;
	const struct document *d = &entry->document;
	bool asks_json = level == LEVEL_JSON_SIZED || level == LEVEL_JSON;
	/* An open tells what a check found, and a lookup only if the size hangs on it: each fails at the same place every time. */
	bool asks_verdict = level >= LEVEL_CHECKED || !d->has_size;
	if (asks_json && level == LEVEL_JSON_SIZED && d->kind != DOCUMENT_MSGPACK)
		asks_verdict = !d->has_size;
	if ((have & HAVE_VERDICT) && asks_verdict && entry->verdict.fault < 0) {
		*ret_reason = entry->verdict.reason;
		return entry->verdict.fault;
	}
	if ((have & HAVE_DOCUMENT) && d->fault < 0) {
		*ret_reason = d->reason;
		return d->fault;
	}
	if ((have & HAVE_RENDERED) && asks_json && entry->rendered.fault < 0) {
		*ret_reason = entry->rendered.reason;
		return entry->rendered.fault;
	}
	return 0;
}
