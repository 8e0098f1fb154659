#include "ckfs/decode.h"

#include "ckfs/key.h"
#include "ckfs/msgpack.h"

#include <errno.h>

#define READ_SIZE ((size_t)1 << 20)

static int fault(struct verdict *verdict, int r, const char *reason)
{
	verdict->fault = r;
	verdict->reason = reason;
	return 0;
}

/* Faults are verdicts; all else ends the decoding. */
static bool is_fault(int r)
{
	return r == -EBADMSG || r == -EUCLEAN || r == -EFBIG;
}

static bool is_cancelled(const struct decoder *decoder)
{
	return decoder->cancel && atomic_load_explicit(decoder->cancel, memory_order_relaxed);
}

/* Reads a slice into the room that the writer has for it. */
static int read_all(const struct decoder *decoder, const struct slice *slice, struct spool_writer *writer)
{
	for (uint64_t at = 0; at < slice->length;) {
		size_t n = slice->length - at < READ_SIZE ? (size_t)(slice->length - at) : READ_SIZE;
		if (is_cancelled(decoder))
			return -EINTR;
		int r = slice_read(slice, at, writer->sink.p, n);
		if (r < 0)
			return r;
		writer->sink.p += n;
		at += n;
	}
	return 0;
}

int decode_with_bytes(const struct decoder *decoder, const struct slice *slice, int (*use)(void *arg, const uint8_t *bytes, size_t n),
	void *arg)
{
	const uint8_t *here = slice_memory(slice);
	if (here || slice->length == 0)
		return use(arg, here ? here : (const uint8_t *)"", (size_t)slice->length);
	struct spool_writer copy;
	int r = spool_begin(decoder->spool, slice->length, false, &copy);
	if (r < 0)
		return r;
	r = read_all(decoder, slice, &copy);
	if (r == 0)
		r = use(arg, copy.memory, (size_t)slice->length);
	spool_abort(&copy);
	return r;
}

/* A document that is being walked. */
struct walk {
	const struct decoder *decoder;
	struct verdict *verdict;
};

static int walk_bytes(void *arg, const uint8_t *bytes, size_t n)
{
	struct walk *walk = arg;
	const char *reason = NULL;
	int r = msgpack_walk(bytes, n, walk->decoder->cancel, &reason);
	return is_fault(r) ? fault(walk->verdict, r, reason) : r;
}

static int check_walk(const struct decoder *decoder, const struct slice *document, struct verdict *verdict)
{
	struct walk walk = {.decoder = decoder, .verdict = verdict};
	verdict->size = document->length;
	return decode_with_bytes(decoder, document, walk_bytes, &walk);
}

/* Decompresses an envelope. The document is not walked yet. */
static int unpack(const struct decoder *decoder, const struct bytestorage *storage, const struct slice *payload, bool verify, bool secret,
	struct verdict *verdict, struct slice *ret)
{
	struct spool_writer writer;
	const char *reason = NULL;
	int r = spool_begin(decoder->spool, bytestorage_room(storage), secret, &writer);
	if (r < 0)
		return r;
	r = bytestorage_decode(storage, payload, verify, decoder->cancel, writer.sink.p, &reason);
	verdict->compared = r == -EBADMSG || (r == 0 && verify);
	if (r < 0) {
		spool_abort(&writer);
		return is_fault(r) ? fault(verdict, r, reason) : r;
	}
	writer.sink.p += storage->original;
	return spool_end(&writer, ret);
}

static int decode_msgpack(const struct decoder *decoder, const struct document *d, const struct slice *payload, bool secret,
	struct verdict *verdict, struct slice *ret)
{
	struct slice body = {0};
	int r = 0;
	bool certain = d->envelope == ENVELOPE_BYTESTORAGE;
	verdict->envelope = d->has_storage ? ENVELOPE_BYTESTORAGE : ENVELOPE_NONE;
	verdict->compressed = d->has_storage ? d->storage.compressed : 0;
	if (d->has_storage)
		r = unpack(decoder, &d->storage, payload, decoder->verify || !certain, secret, verdict, &body);
	/* What only looked like an envelope is a document that happens to hold such an array. */
	if (r == 0 && verdict->fault < 0 && !certain) {
		*verdict = (struct verdict){.envelope = ENVELOPE_NONE, .key = verdict->key};
		slice_copy(payload, &body);
	} else if (!d->has_storage) {
		slice_copy(&d->body, &body);
	}
	if (r == 0 && verdict->fault == 0)
		r = check_walk(decoder, &body, verdict);
	if (r < 0 || verdict->fault < 0)
		slice_done(&body);
	*ret = body;
	return r;
}

/* What the check of an orjson payload tells, as a verdict. */
static int decode_orjson(const struct decoder *decoder, const struct slice *payload, struct verdict *verdict, struct slice *ret)
{
	enum prefix prefix = PREFIX_ABSENT;
	int r = prefix_read_json(payload, decoder->cancel, &prefix);
	verdict->compared = r == -EBADMSG || r == -EUCLEAN || (r == 0 && prefix == PREFIX_PRESENT);
	if (r == -EBADMSG)
		return fault(verdict, -EBADMSG, "checksum does not match");
	if (r == -EUCLEAN)
		return fault(verdict, r, "not JSON as a whole");
	if (r < 0)
		return r;
	uint64_t offset = prefix == PREFIX_PRESENT ? PREFIX_SIZE : 0;
	verdict->envelope = prefix == PREFIX_PRESENT ? ENVELOPE_PREFIX : ENVELOPE_NONE;
	verdict->size = payload->length - offset;
	return slice_sub(payload, offset, verdict->size, ret);
}

static int decode_prefixed(const struct decoder *decoder, const struct document *d, const struct slice *payload, struct verdict *verdict,
	struct slice *ret)
{
	bool compare = decoder->verify && d->envelope == ENVELOPE_PREFIX;
	int r = compare ? prefix_check(payload, decoder->cancel) : 0;
	verdict->envelope = d->envelope;
	verdict->compared = compare;
	verdict->size = d->size;
	if (r == -EBADMSG)
		return fault(verdict, r, "checksum does not match");
	if (r == 0)
		slice_copy(&d->body, ret);
	return r;
}

static int decode_located(const struct decoder *decoder, const struct document *d, const struct slice *payload, bool secret,
	struct verdict *verdict, struct slice *ret)
{
	if (d->kind == DOCUMENT_MSGPACK)
		return decode_msgpack(decoder, d, payload, secret, verdict, ret);
	if (d->kind == DOCUMENT_JSON)
		return decode_orjson(decoder, payload, verdict, ret);
	return decode_prefixed(decoder, d, payload, verdict, ret);
}

int decode_document(const struct decoder *decoder, const struct document *document, const struct slice *payload,
	struct verdict *ret_verdict, struct slice *ret_body)
{
	struct verdict verdict = {.key = -1};
	struct slice body = {0};
	int r = decode_located(decoder, document, payload, false, &verdict, &body);
	if (r < 0)
		return r;
	*ret_verdict = verdict;
	*ret_body = body;
	return 0;
}

/* One try with one key. 0 and the plaintext; -EBADMSG, -EUCLEAN. */
static int open_seal(const struct decoder *decoder, const struct sealed *sealed, unsigned number, const struct slice *payload,
	struct slice *ret)
{
	const struct frame_meta *meta = &sealed->frame->meta;
	bool interop = sealed->frame->kind == FRAME_INTEROP;
	const struct seal seal = {
		.tenant = sealed->tenant,
		.key = sealed->cache_key->text,
		.key_length = sealed->cache_key->length,
		.format = interop ? "msgpack" : meta->format,
		.compressed = !interop && meta->compressed == YES,
		.original_type = interop ? NULL : meta->original_type,
	};
	struct spool_writer writer;
	struct slice whole;
	int r = spool_begin(decoder->spool, payload->length, true, &writer);
	if (r < 0)
		return r;
	r = read_all(decoder, payload, &writer);
	if (r == 0)
		r = seal_open(decoder->keyring, number, &seal, writer.memory, (size_t)payload->length);
	if (r < 0) {
		spool_abort(&writer);
		return r;
	}
	r = spool_end(&writer, &whole);
	if (r < 0)
		return r;
	r = slice_sub(&whole, SEAL_NONCE, whole.length - SEAL_OVERHEAD, ret);
	slice_done(&whole);
	return r;
}

/* The document within an opened payload. */
static int decode_opened(const struct decoder *decoder, const struct frame *frame, const struct slice *plain, struct verdict *verdict,
	struct slice *ret)
{
	struct document document;
	int r = document_locate(frame, plain, true, decoder->cancel, &document);
	if (r < 0)
		return r;
	if (document.fault < 0)
		r = fault(verdict, document.fault, document.reason);
	else
		r = decode_located(decoder, &document, plain, true, verdict, ret);
	document_done(&document);
	return r;
}

/* An interop value says nothing of a seal: each key is tried. What none opens is plain if it is one whole document. */
static int decode_interop(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *verdict, struct slice *ret)
{
	struct slice plain;
	int r = -EBADMSG;
	for (unsigned i = 0; r == -EBADMSG && payload->length >= SEAL_OVERHEAD && i < keyring_count(decoder->keyring); i++) {
		r = open_seal(decoder, sealed, i, payload, &plain);
		verdict->key = r == 0 ? (int)i : -1;
	}
	if (r == 0) {
		r = decode_opened(decoder, sealed->frame, &plain, verdict, ret);
		slice_done(&plain);
		return r;
	}
	if (r != -EBADMSG)
		return r;
	r = check_walk(decoder, payload, verdict);
	if (r < 0)
		return r;
	if (verdict->fault < 0)
		return fault(verdict, -EBADMSG, "no key opens it, and it is no plain document either");
	verdict->envelope = ENVELOPE_NONE;
	slice_copy(payload, ret);
	return 0;
}

static int decode_framed(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *verdict, struct slice *ret)
{
	struct slice plain;
	int r = open_seal(decoder, sealed, (unsigned)sealed->key, payload, &plain);
	if (r == -EBADMSG && sealed->fits)
		return fault(verdict, r, "the seal's tag does not match: altered, or stored under another key");
	if (r == -EBADMSG)
		return fault(verdict, -ENOKEY, "sealed: no key has its fingerprint, and the current one does not open it");
	if (r == -EUCLEAN)
		return fault(verdict, r, "the seal is malformed");
	if (r < 0)
		return r;
	verdict->key = sealed->key;
	r = decode_opened(decoder, sealed->frame, &plain, verdict, ret);
	slice_done(&plain);
	return r;
}

int decode_sealed(const struct decoder *decoder, const struct sealed *sealed, const struct slice *payload,
	struct verdict *ret_verdict, struct slice *ret_body)
{
	struct verdict verdict = {.key = -1};
	struct slice body = {0};
	int r = sealed->key < 0 ? decode_interop(decoder, sealed, payload, &verdict, &body)
				: decode_framed(decoder, sealed, payload, &verdict, &body);
	if (r < 0)
		return r;
	*ret_verdict = verdict;
	*ret_body = body;
	return 0;
}

/* A document that is being rendered. */
struct rendering {
	const struct decoder *decoder;
	bool secret;
	struct rendered *rendered;
	struct slice *text;
};

static int render_bytes(void *arg, const uint8_t *bytes, size_t n)
{
	struct rendering *rendering = arg;
	const char *reason = NULL;
	struct spool_writer writer;
	int r = spool_begin_growing(rendering->decoder->spool, n, rendering->secret, &writer);
	if (r < 0)
		return r;
	r = msgpack_to_json(bytes, n, &writer.sink, rendering->decoder->cancel, &reason);
	if (r < 0) {
		spool_abort(&writer);
		if (!is_fault(r))
			return r;
		*rendering->rendered = (struct rendered){.fault = r, .reason = reason};
		return 0;
	}
	*rendering->rendered = (struct rendered){.size = spool_length(&writer)};
	return spool_end(&writer, rendering->text);
}

int decode_json(const struct decoder *decoder, const struct slice *document, bool secret, struct rendered *ret,
	struct slice *ret_text)
{
	struct slice text = {0};
	struct rendering rendering = {.decoder = decoder, .secret = secret, .rendered = ret, .text = &text};
	int r = decode_with_bytes(decoder, document, render_bytes, &rendering);
	if (r == 0)
		*ret_text = text;
	return r;
}
