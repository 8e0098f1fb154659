/* The last steps of peeling: the document itself and what is made of it. What is kept is taken from there. */
#include "steps.h"

#include <errno.h>

static struct decoder decoder_of(struct entry *entry)
{
	struct entries *entries = entry->entries;
	return (struct decoder){
		.spool = &entries->spool,
		.keyring = entries->keyring,
		.verify = entry_verifies(entry),
		.cancel = &entry->cancel,
	};
}

/* The document as a window of the payload, where it is one. 1, 0, -errno. */
static int body_in_payload(const struct entry *entry, unsigned have, struct slice *ret)
{
	const struct document *d = &entry->document;
	const struct verdict *v = have & HAVE_VERDICT ? &entry->verdict : NULL;
	if (entry->opens && (!v || v->key >= 0))
		return 0;
	if (d->body.storage && (!v || v->envelope == d->envelope)) {
		slice_copy(&d->body, ret);
		return 1;
	}
	if (!v || v->envelope == ENVELOPE_BYTESTORAGE)
		return 0;
	uint64_t offset = v->envelope == ENVELOPE_PREFIX ? PREFIX_SIZE : 0;
	int r = slice_sub(&entry->payload, offset, v->size, ret);
	return r < 0 ? r : 1;
}

/* Whether the document can be had without decoding it. */
static bool is_at_hand(struct entry *entry, unsigned have)
{
	cleanup_slice struct slice body = {0};
	if (entry_wants_check(entry) && !(have & HAVE_VERDICT))
		return false;
	return body_in_payload(entry, have, &body) == 1 || decoded_has(entry->entries->decoded, &entry->id, FORM_DOCUMENT);
}

bool entry_body_at_hand(struct entry *entry, struct slice *ret)
{
	unsigned have;
	{
		LOCK(&entry->lock);
		have = entry->have;
	}
	if (!(have & HAVE_DOCUMENT))
		return false;
	return body_in_payload(entry, have, ret) == 1 || decoded_get(entry->entries->decoded, &entry->id, FORM_DOCUMENT, ret);
}

static void count_decoding(struct entry *entry, const struct verdict *verdict)
{
	struct stats *stats = entry->entries->stats;
	stats_add(stats, checks, 1);
	stats_add(stats, checked_bytes, entry->payload.length);
	if (verdict->fault < 0)
		stats_add(stats, check_failures, 1);
	if (verdict->key >= 0 || verdict->envelope == ENVELOPE_BYTESTORAGE)
		stats_add(stats, decodes, 1);
}

static struct seal seal_of_bare(const char *tenant, const struct key *key, bool compressed)
{
	return (struct seal){.tenant = tenant, .key = key->text, .key_length = key->length, .format = "msgpack", .compressed = compressed};
}

/* What a seal without a frame may be bound to: that of an interop value; those of other SDKs, with an envelope inside and without. */
#define BARE_SEALS_MAX 5

static unsigned list_bare_seals(const struct entry *entry, const struct key *stored, struct seal ret[static BARE_SEALS_MAX])
{
	const struct entries *entries = entry->entries;
	const struct key *const keys[] = {stored, &entry->key};
	const char *tenant = entries_bare_tenant(entries);
	unsigned n = 0;
	if (!entry->key.text)
		return 0;
	/* It binds the key without what the mount leaves out before it. Others may have it from their server's client, or not. */
	if (entry->frame.kind == FRAME_INTEROP)
		ret[n++] = seal_of_bare(keyring_deployment(entries->keyring), &entry->key, false);
	for (unsigned i = 0; entries->opens_bare && i < (stored->length == entry->key.length ? 1 : 2); i++) {
		ret[n++] = seal_of_bare(tenant, keys[i], true);
		ret[n++] = seal_of_bare(tenant, keys[i], false);
	}
	return n;
}

/* What the seal of a frame is bound to. */
static struct seal seal_of_frame(const struct frame_meta *meta, const struct key *stored)
{
	return (struct seal){
		.tenant = meta->tenant_id,
		.key = stored->text,
		.key_length = stored->length,
		.format = meta->format,
		.compressed = meta->compressed == YES,
		.original_type = meta->original_type,
	};
}

static int decode_seal(struct entry *entry, const struct decoder *decoder, struct verdict *verdict, struct slice *body)
{
	cleanup_key struct key stored = {0};
	struct seal seals[BARE_SEALS_MAX];
	struct sealed sealed = {.frame = &entry->frame, .seals = seals, .seal_count = 1, .key = entry->key_number, .fits = !entry->unfit};
	int r = entry->key.text ? backend_stored_key(entry->entries->backend, &entry->key, &stored) : 0;
	if (r < 0)
		return r;
	if (sealed.key < 0)
		sealed.seal_count = list_bare_seals(entry, &stored, seals);
	else
		seals[0] = seal_of_frame(&entry->frame.meta, &stored);
	return decode_sealed(decoder, &sealed, &entry->payload, verdict, body);
}

static int decode(struct entry *entry, unsigned *have, struct slice *ret)
{
	const struct decoder decoder = decoder_of(entry);
	struct entries *entries = entry->entries;
	struct slice body = {0};
	struct verdict verdict;
	int r;
	if (entry->opens)
		r = decode_seal(entry, &decoder, &verdict, &body);
	else
		r = decode_document(&decoder, &entry->document, &entry->payload, &verdict, &body);
	/* What was sound before is not any more: the file was shortened under us. */
	if (r == 0 && verdict.fault < 0 && (*have & HAVE_VERDICT) && entry_is_sound(entry, *have))
		r = -EIO;
	if (r < 0)
		return r;
	count_decoding(entry, &verdict);
	if (!entry->judged)
		learnt_put(entries->learnt, &entry->id, &verdict);
	/* The verdict stays as it was first found: others read it by now. */
	if (!(*have & HAVE_VERDICT)) {
		entry->verdict = verdict;
		*have |= HAVE_VERDICT;
	}
	if (body.storage != entry->payload.storage && !entry->judged)
		decoded_put(entries->decoded, &entry->id, FORM_DOCUMENT, &body);
	*ret = body;
	return 0;
}

/* What is kept of an entry. */
static bool get_kept(const struct entry *entry, enum form form, struct slice *ret)
{
	if (!decoded_get(entry->entries->decoded, &entry->id, form, ret))
		return false;
	stats_add(entry->entries->stats, decoded_hits, 1);
	return true;
}

/* The document: where it lies, kept, or decoded. Empty when it turns out to have a fault. */
static int obtain_body(struct entry *entry, unsigned *have, struct slice *ret)
{
	if (!entry_wants_check(entry) || ((*have & HAVE_VERDICT) && entry_is_sound(entry, *have))) {
		int r = body_in_payload(entry, *have, ret);
		if (r != 0)
			return r < 0 ? r : 0;
		if (get_kept(entry, FORM_DOCUMENT, ret))
			return 0;
	}
	return decode(entry, have, ret);
}

/* The same for a step that only passes through: the entry does not hold on to it. */
static int take_body(struct entry *entry, unsigned *have, struct slice *ret)
{
	if (!(*have & HAVE_BODY))
		return obtain_body(entry, have, ret);
	slice_copy(&entry->body, ret);
	return 0;
}

static int run_body(struct entry *entry, enum level level, unsigned *have)
{
	(void)level;
	cleanup_slice struct slice body = {0};
	const char *reason;
	int r = obtain_body(entry, have, &body);
	if (r < 0 || !entry_is_sound(entry, *have))
		return r;
	if (entry->opens && entry->document.kind == DOCUMENT_NUMPY)
		r = numpy_read(&body, &entry->document.array, &reason);
	if (r < 0)
		return r;
	entry->body = slice_steal(&body);
	*have |= HAVE_BODY;
	return 0;
}

static uint64_t cost_of_body(struct entry *entry, enum level level, unsigned have)
{
	(void)level;
	if (is_at_hand(entry, have))
		return 0;
	return entry->payload.length + (entry->document.has_storage ? entry->document.storage.original : 0);
}

/* --- what is made of it --- */

/* Whether a rendering may be taken from where it is kept: the document was checked then, and what it tells is known. */
static bool may_be_kept(unsigned have, enum rendering n)
{
	return have & (HAVE_VERDICT | HAVE_RENDERED(n));
}

/* Notes what rendering found out. Others read by now what was known before. */
static void note_rendered(struct entry *entry, enum rendering n, const struct rendered *rendered, unsigned *have)
{
	if (!(*have & HAVE_RENDERED(n)))
		entry->renderings[n].rendered = *rendered;
	*have |= HAVE_RENDERED(n);
}

/* Renders a document that is there. */
static int render(struct entry *entry, enum rendering n, const struct slice *body, unsigned *have)
{
	const struct decoder decoder = decoder_of(entry);
	struct entries *entries = entry->entries;
	struct slice *content = &entry->renderings[n].content;
	struct rendered rendered;
	int r = renderings[n].render(&decoder, body, &entry->verdict, &rendered, content);
	if (r < 0)
		return r;
	if (renderings[n].counted)
		stats_add(entries->stats, decodes, 1);
	learnt_put_rendered(entries->learnt, &entry->id, n, &rendered);
	note_rendered(entry, n, &rendered, have);
	if (rendered.fault == 0) {
		decoded_put(entries->decoded, &entry->id, FORM_RENDERING(n), content);
		*have |= HAVE_RENDERING(n);
	}
	return 0;
}

static int run_rendering(struct entry *entry, enum level level, unsigned *have)
{
	const enum rendering n = rendering_of(level);
	struct slice *content = &entry->renderings[n].content;
	if (may_be_kept(*have, n) && get_kept(entry, FORM_RENDERING(n), content)) {
		note_rendered(entry, n, &(struct rendered){.size = content->length}, have);
		*have |= HAVE_RENDERING(n);
		return 0;
	}
	cleanup_slice struct slice body = {0};
	int r = take_body(entry, have, &body);
	if (r == 0 && entry_is_sound(entry, *have))
		r = render(entry, n, &body, have);
	return r;
}

static uint64_t cost_of_rendering(struct entry *entry, enum level level, unsigned have)
{
	const enum rendering n = rendering_of(level);
	if (may_be_kept(have, n) && decoded_has(entry->entries->decoded, &entry->id, FORM_RENDERING(n)))
		return 0;
	uint64_t cost = have & HAVE_BODY ? 0 : cost_of_body(entry, level, have);
	/* Rendering is never free, whatever the document is. */
	return cost + entry->payload.length + 1;
}

const struct step step_body = {run_body, cost_of_body};
const struct step step_rendering = {run_rendering, cost_of_rendering};
