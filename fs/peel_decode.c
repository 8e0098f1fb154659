/* The last steps of peeling: the document itself and what is made of it. What is kept is taken from there. */
#include "entry_private.h"

#include "ckfs/learnt.h"
#include "ckfs/msgpack.h"

#include <errno.h>

static struct decoder decoder_of(struct entry *entry)
{
	struct entries *entries = entry->entries;
	return (struct decoder){
		.spool = &entries->spool,
		.keyring = entries->keyring,
		.verify = entries->options->verify == VERIFY_FIRST,
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
	struct slice body = {0};
	struct version record = entry_record(entry);
	if (entry_wants_check(entry) && !(have & HAVE_VERDICT))
		return false;
	bool here = body_in_payload(entry, have, &body) == 1;
	slice_done(&body);
	return here || cache_has(entry->entries->cache, &record, FORM_DOCUMENT);
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

/* A seal binds the key as it is stored; that of an interop value the bare one. */
static int decode_seal(struct entry *entry, const struct decoder *decoder, struct verdict *verdict, struct slice *body)
{
	struct entries *entries = entry->entries;
	bool any = entry->key_number < 0;
	struct key key = {0};
	int r = any || !entry->key.text ? key_copy(&entry->key, &key) : backend_stored_key(entries->backend, &entry->key, &key);
	if (r < 0)
		return r;
	const struct sealed sealed = {
		.cache_key = &key,
		.frame = &entry->frame,
		.tenant = any ? keyring_deployment(entries->keyring) : entry->frame.meta.tenant_id,
		.key = entry->key_number,
		.fits = !entry->unfit,
	};
	r = decode_sealed(decoder, &sealed, &entry->payload, verdict, body);
	key_done(&key);
	return r;
}

static int decode(struct entry *entry, unsigned *have, struct slice *ret)
{
	const struct decoder decoder = decoder_of(entry);
	struct entries *entries = entry->entries;
	struct version record = entry_record(entry);
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
	learnt_put(entries->learnt, &record, &verdict);
	/* The verdict stays as it was first found: others read it by now. */
	if (!(*have & HAVE_VERDICT)) {
		entry->verdict = verdict;
		*have |= HAVE_VERDICT;
	}
	if (body.storage != entry->payload.storage)
		cache_put(entries->cache, &record, FORM_DOCUMENT, &body);
	*ret = body;
	return 0;
}

/* The document: where it lies, kept, or decoded. Empty when it turns out to have a fault. */
static int obtain_body(struct entry *entry, unsigned *have, struct slice *ret)
{
	struct version record = entry_record(entry);
	if (!entry_wants_check(entry) || ((*have & HAVE_VERDICT) && entry_is_sound(entry, *have))) {
		int r = body_in_payload(entry, *have, ret);
		if (r != 0)
			return r < 0 ? r : 0;
		if (cache_get(entry->entries->cache, &record, FORM_DOCUMENT, ret))
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

static int run_body(struct entry *entry, unsigned *have)
{
	struct slice body = {0};
	const char *reason;
	int r = obtain_body(entry, have, &body);
	if (r < 0)
		return r;
	if (!entry_is_sound(entry, *have)) {
		slice_done(&body);
		return 0;
	}
	if (entry->opens && entry->document.kind == DOCUMENT_NUMPY)
		r = numpy_read(&body, &entry->document.array, &reason);
	if (r < 0) {
		slice_done(&body);
		return r;
	}
	entry->body = body;
	*have |= HAVE_BODY;
	return 0;
}

static uint64_t cost_of_body(struct entry *entry, unsigned have)
{
	if (is_at_hand(entry, have))
		return 0;
	return entry->payload.length + (entry->document.has_storage ? entry->document.storage.original : 0);
}

/* --- its JSON --- */

/* Renders a document that is there; what it holds is secret when it was sealed. */
static int render(struct entry *entry, unsigned *have, const struct slice *body)
{
	const struct decoder decoder = decoder_of(entry);
	struct version record = entry_record(entry);
	struct rendered rendered;
	int r = decode_json(&decoder, body, entry->verdict.key >= 0, &rendered, &entry->json);
	if (r < 0)
		return r;
	stats_add(entry->entries->stats, decodes, 1);
	learnt_put_json(entry->entries->learnt, &record, &rendered);
	if (!(*have & HAVE_RENDERED))
		entry->rendered = rendered;
	*have |= HAVE_RENDERED;
	if (rendered.fault == 0) {
		cache_put(entry->entries->cache, &record, FORM_JSON, &entry->json);
		*have |= HAVE_JSON;
	}
	return 0;
}

static int run_json(struct entry *entry, unsigned *have)
{
	struct version record = entry_record(entry);
	if ((*have & HAVE_RENDERED) && cache_get(entry->entries->cache, &record, FORM_JSON, &entry->json)) {
		*have |= HAVE_JSON;
		return 0;
	}
	struct slice body = {0};
	int r = take_body(entry, have, &body);
	if (r == 0 && entry_is_sound(entry, *have))
		r = render(entry, have, &body);
	slice_done(&body);
	return r;
}

static uint64_t cost_of_json(struct entry *entry, unsigned have)
{
	struct version record = entry_record(entry);
	if ((have & HAVE_RENDERED) && cache_has(entry->entries->cache, &record, FORM_JSON))
		return 0;
	uint64_t cost = have & HAVE_BODY ? 0 : cost_of_body(entry, have);
	/* Rendering is never free, whatever the document is. */
	return cost + entry->payload.length + 1;
}

/* --- what meta/ tells of its columns --- */

static int describe_bytes(void *arg, const uint8_t *bytes, size_t n)
{
	struct buf *buf = arg;
	(void)msgpack_describe_columns(bytes, n, buf);
	return buf->failed ? -ENOMEM : 0;
}

/* Columns of a document that is there. Their names are secret when it was sealed. */
static int describe(struct entry *entry, const struct slice *body)
{
	const struct decoder decoder = decoder_of(entry);
	struct version record = entry_record(entry);
	struct buf buf = {0};
	struct spool_writer writer;
	int r = decode_with_bytes(&decoder, body, describe_bytes, &buf);
	if (r == 0)
		r = spool_begin(decoder.spool, buf.length, entry->verdict.key >= 0, &writer);
	if (r == 0) {
		r = spool_write(&writer, buf.p, buf.length);
		if (r == 0)
			r = spool_end(&writer, &entry->columns);
		else
			spool_abort(&writer);
	}
	buf_done(&buf);
	if (r == 0)
		cache_put(entry->entries->cache, &record, FORM_COLUMNS, &entry->columns);
	return r;
}

static int run_summary(struct entry *entry, unsigned *have)
{
	struct version record = entry_record(entry);
	struct slice body = {0};
	int r = 0;
	if ((*have & HAVE_VERDICT) && cache_get(entry->entries->cache, &record, FORM_COLUMNS, &entry->columns)) {
		*have |= HAVE_SUMMARY;
		return 0;
	}
	r = take_body(entry, have, &body);
	if (r == 0 && entry_is_sound(entry, *have)) {
		r = describe(entry, &body);
		*have |= r == 0 ? HAVE_SUMMARY : 0;
	}
	slice_done(&body);
	return r;
}

static uint64_t cost_of_summary(struct entry *entry, unsigned have)
{
	struct version record = entry_record(entry);
	if ((have & HAVE_VERDICT) && cache_has(entry->entries->cache, &record, FORM_COLUMNS))
		return 0;
	return (have & HAVE_BODY ? 0 : cost_of_body(entry, have)) + entry->payload.length + 1;
}

const struct step step_body = {run_body, cost_of_body};
const struct step step_json = {run_json, cost_of_json};
const struct step step_summary = {run_summary, cost_of_summary};
