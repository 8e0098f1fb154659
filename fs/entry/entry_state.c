/* What is known of an entry, and what is not yet. */
#include "entry_private.h"

#include <errno.h>

bool entry_verifies(const struct entry *entry)
{
	return entry->judged || entry->entries->options->verify == VERIFY_FIRST;
}

bool entry_wants_check(const struct entry *entry)
{
	if (entry->opens)
		return entry->document.fault == 0;
	return document_has_check(&entry->document) && (entry_verifies(entry) || document_needs_check(&entry->document));
}

bool entry_is_sound(const struct entry *entry, unsigned have)
{
	const struct document *d = &entry->document;
	if (entry->frame_fault < 0 || !(have & HAVE_DOCUMENT) || d->kind == DOCUMENT_OPAQUE || d->fault < 0)
		return false;
	return !(have & HAVE_VERDICT) || entry->verdict.fault == 0;
}

bool entry_is_rendered(const struct entry *entry, enum level level)
{
	return level >= LEVEL_RENDERINGS && renderings[rendering_of(level)].applies(&entry->document, &entry->frame);
}

/* Of a rendering that is not made of the document: the same of the document itself. */
static enum level level_of_document(const struct entry *entry, enum level level)
{
	if (level < LEVEL_RENDERINGS || entry_is_rendered(entry, level))
		return level;
	return level == LEVEL_RENDERING_SIZED(rendering_of(level)) ? LEVEL_SIZED : LEVEL_BODY;
}

/* Whether a level comes to nothing for such a document: it is not rendered so, nor is it that already. */
static bool is_foreign(const struct entry *entry, enum level level)
{
	return level >= LEVEL_RENDERINGS && !entry_is_rendered(entry, level) && renderings[rendering_of(level)].as_is != entry->document.kind;
}

/* Of a sound document. */
static bool rendering_is_at(const struct entry *entry, unsigned have, enum level level)
{
	const enum rendering n = rendering_of(level);
	if (!(have & HAVE_RENDERED(n)))
		return false;
	return level == LEVEL_RENDERING_SIZED(n) || entry->renderings[n].rendered.fault < 0 || (have & HAVE_RENDERING(n));
}

/* Of a document that was found. */
static bool document_is_at(const struct entry *entry, unsigned have, enum level level)
{
	const struct document *d = &entry->document;
	bool checked = (have & HAVE_VERDICT) || !entry_wants_check(entry), sound = entry_is_sound(entry, have);
	bool here = (have & HAVE_BODY) && ((have & HAVE_WHOLE) || entry->body.storage != entry->payload.storage);
	if (is_foreign(entry, level))
		return true;
	level = level_of_document(entry, level);
	switch (level) {
	case LEVEL_DOCUMENT:
		return true;
	case LEVEL_SIZED:
		return !sound || d->has_size || (have & HAVE_VERDICT);
	case LEVEL_CHECKED:
		return checked;
	case LEVEL_BODY:
		return checked && (!sound || here);
	default:
		return !sound || rendering_is_at(entry, have, level);
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
	LOCK(&entry->lock);
	return entry->have;
}

bool entry_reached(struct entry *entry, enum level level)
{
	return entry_is_at(entry, parts_of(entry), level);
}

bool entry_first_error(struct entry *entry, int error)
{
	return learnt_first_error(entry->entries->learnt, &entry->id, error);
}

const struct key *entry_key(const struct entry *entry)
{
	return &entry->key;
}

bool entry_goes_by_text(const struct entry *entry)
{
	return entry->id.by_text;
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
static const struct slice *touch(const struct entry *entry, enum form form, const struct slice *content)
{
	if (storage_is_charged(content->storage))
		decoded_touch(entry->entries->decoded, &entry->id, form);
	return content;
}

int entry_document_size(struct entry *entry, uint64_t *ret)
{
	const struct document *d = &entry->document;
	*ret = d->has_size ? d->size : entry->verdict.size;
	return 0;
}

const struct slice *entry_body(const struct entry *entry)
{
	return touch(entry, FORM_DOCUMENT, &entry->body);
}

const struct ndarray *entry_array(const struct entry *entry)
{
	return &entry->document.array;
}

uint64_t entry_rendering_size(struct entry *entry, enum rendering rendering)
{
	uint64_t size = entry->renderings[rendering].rendered.size;
	if (!entry_is_rendered(entry, LEVEL_RENDERING(rendering)))
		entry_document_size(entry, &size);
	return size;
}

const struct slice *entry_rendering(const struct entry *entry, enum rendering rendering)
{
	if (!entry_is_rendered(entry, LEVEL_RENDERING(rendering)))
		return entry_body(entry);
	return touch(entry, FORM_RENDERING(rendering), &entry->renderings[rendering].content);
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
	if (opened && !says && entry->frame.kind == FRAME_NONE)
		state.bare_tenant = entries_bare_tenant(entry->entries);
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
	level = level_of_document(entry, level);
	/* An open tells what a check found, and a lookup only if the size hangs on it: each fails at the same place every time. */
	bool asks_verdict = level >= LEVEL_CHECKED || !d->has_size;
	if ((have & HAVE_VERDICT) && asks_verdict && entry->verdict.fault < 0) {
		*ret_reason = entry->verdict.reason;
		return entry->verdict.fault;
	}
	if ((have & HAVE_DOCUMENT) && d->fault < 0) {
		*ret_reason = d->reason;
		return d->fault;
	}
	if (level < LEVEL_RENDERINGS || !(have & HAVE_RENDERED(rendering_of(level))))
		return 0;
	const struct rendered *rendered = &entry->renderings[rendering_of(level)].rendered;
	if (rendered->fault < 0)
		*ret_reason = rendered->reason;
	return rendered->fault;
}
