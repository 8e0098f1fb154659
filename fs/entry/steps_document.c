/* The step of peeling that finds the document, by its head: what it is, or which key is to open it. */
#include "steps.h"

#include <errno.h>
#include <string.h>

static int refuse(struct entry *entry, int fault, const char *reason)
{
	entry->document.fault = fault;
	entry->document.reason = reason;
	return 0;
}

/*
 * With tenant=, what is sealed for another one does not belong there, whoever has its key. An application that serves one tenant seals for its deployment,
 * or for nobody in particular.
 */
static bool is_our_tenant(const struct entries *entries, const char *tenant)
{
	const char *ours = entries->options->tenant;
	return !ours || strcmp(tenant, ours) == 0 || strcmp(tenant, keyring_deployment(entries->keyring)) == 0 ||
		strcmp(tenant, KEYRING_DEFAULT_TENANT) == 0;
}

/* Locks and other texts lie among the values of an application. Of random bytes, not one seal in a billion is printable as far as this. */
static bool begins_as_text(const struct slice *payload)
{
	uint8_t bytes[SEAL_OVERHEAD];
	if (slice_read(payload, 0, bytes, sizeof bytes) < 0)
		return false;
	for (size_t i = 0; i < sizeof bytes; i++)
		if ((bytes[i] < ' ' && !memchr("\t\n\r", bytes[i], 3)) || bytes[i] > '~')
			return false;
	return true;
}

/* Whether a value that no frame calls sealed may be: then each key is tried. */
static bool may_be_sealed(const struct entry *entry)
{
	const struct entries *entries = entry->entries;
	const struct slice *payload = &entry->payload;
	if (entry->frame_fault < 0 || !entries->keyring)
		return false;
	return entry->frame.kind == FRAME_INTEROP ||
		(entry->frame.kind == FRAME_NONE && entries->opens_bare && payload->length >= SEAL_OVERHEAD && !begins_as_text(payload));
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
	if (!is_our_tenant(entries, meta->tenant_id))
		return refuse(entry, -EBADMSG, "sealed for another tenant than that of tenant=");
	int r = keyring_choose(entries->keyring, meta->tenant_id, meta->key_fingerprint);
	if (r == -EUCLEAN)
		return refuse(entry, r, "sealed for a tenant for which no key can be derived");
	if (r == -ENOKEY && entries->options->fail_closed)
		return refuse(entry, r, "sealed: no key has its fingerprint");
	if (r < 0 && r != -ENOKEY)
		return r;
	if (entry->payload.length > spool_secret_max(&entries->spool))
		return refuse(entry, -EFBIG, DECODE_TOO_SECRET);
	entry->opens = true;
	entry->unfit = r == -ENOKEY;
	entry->key_number = r < 0 ? 0 : r;
	return 0;
}

/* What was learnt of this version before. */
static void recall_learnt(struct entry *entry, unsigned *have)
{
	if (learnt_get(entry->entries->learnt, &entry->id, &entry->verdict))
		*have |= HAVE_VERDICT;
	for (unsigned i = 0; i < RENDERING_COUNT; i++)
		if (entry_is_rendered(entry, LEVEL_RENDERING(i)) && learnt_get_rendered(entry->entries->learnt, &entry->id, i, &entry->renderings[i].rendered))
			*have |= HAVE_RENDERED(i);
}

static void recall(struct entry *entry, unsigned *have)
{
	if (entry_wants_check(entry))
		recall_learnt(entry, have);
}

/*
 * A fault that no check follows may lie beyond what a listing has at hand of a remote value, or reads of any: it is told of it. Not of what is sealed:
 * its frame tells all, and that it does not open by its hash is not true of its key.
 */
static void remember_fault(struct entry *entry)
{
	const struct document *d = &entry->document;
	bool unseen = entry->entries->backend->ops->remote || entry->locate_cost > 0;
	if (d->fault < 0 && unseen && !entry->judged && entry->frame.meta.encrypted != YES && !entry->opens && !document_has_check(d))
		learnt_put(entry->entries->learnt, &entry->id, &(struct verdict){.fault = d->fault, .reason = d->reason, .key = -1});
}

/*
 * Whether a listing goes by the kind of document that the frame names, where the beginning of the payload does not tell more. Of a value without one
 * its beginning alone tells.
 */
static bool frame_will_do(const struct entry *entry)
{
	return entry->listed && !entry->frame_unread && !frame_is_bare(&entry->frame);
}

static int assume_document(struct entry *entry, unsigned *have)
{
	document_by_frame(&entry->frame, &entry->document);
	recall_learnt(entry, have);
	*have |= HAVE_DOCUMENT;
	return 0;
}

static int run_document(struct entry *entry, enum level level, unsigned *have)
{
	(void)level;
	int r = 0;
	if (entry->frame_fault == 0 && entry->frame.meta.encrypted == YES) {
		r = choose_key(entry);
	} else if (may_be_sealed(entry)) {
		document_of_sealed(&entry->frame, &entry->payload, &entry->document);
		entry->opens = true;
		entry->unfit = !entry->key.text;
		entry->key_number = -1;
	} else if (entry->frame_fault == 0) {
		bool tells = entry->locate_cost == 0 || !frame_will_do(entry);
		r = tells ? document_locate(&entry->frame, &entry->payload, false, &entry->cancel, &entry->document) : -ENODATA;
	}
	if (r == -ENODATA && frame_will_do(entry))
		return assume_document(entry, have);
	if (r < 0)
		return r;
	recall(entry, have);
	remember_fault(entry);
	*have |= HAVE_DOCUMENT;
	return 0;
}

static uint64_t cost_of_document(struct entry *entry, enum level level, unsigned have)
{
	(void)level;
	(void)have;
	return frame_will_do(entry) ? 0 : entry->locate_cost;
}

const struct step step_document = {run_document, cost_of_document};
