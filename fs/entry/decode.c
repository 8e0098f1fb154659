#include "decode_private.h"

#include "ckfs/msgpack.h"

#include <errno.h>
#include <string.h>

#define READ_SIZE ((size_t)1 << 20)

int decode_fault(struct verdict *verdict, int r, const char *reason)
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

int decode_read_all(const struct decoder *decoder, const struct slice *slice, struct spool_writer *writer,
	int (*stop)(const uint8_t *bytes, size_t n))
{
	for (uint64_t at = 0; at < slice->length;) {
		size_t n = slice->length - at < READ_SIZE ? (size_t)(slice->length - at) : READ_SIZE;
		if (is_cancelled(decoder))
			return -EINTR;
		int r = sink_room(&writer->sink, n);
		if (r == 0)
			r = slice_read(slice, at, writer->sink.p, n);
		if (r == 0 && stop)
			r = stop(writer->sink.p, n);
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
	cleanup_spool struct spool_writer copy = {0};
	int r = spool_begin(decoder->spool, slice->length, false, &copy);
	if (r == 0)
		r = decode_read_all(decoder, slice, &copy, NULL);
	if (r == 0)
		r = use(arg, spool_bytes(&copy), (size_t)slice->length);
	return r;
}

/* Of a walked document. 0; -EUCLEAN with static text in *ret_reason; -errno. */
static int check_shape(const struct decoder *decoder, const struct slice *document, enum shape shape, const char **ret_reason)
{
	int r;
	if (shape == SHAPE_ANY)
		return 0;
	if (shape == SHAPE_NO_ENVELOPE) {
		*ret_reason = "has the form of an envelope, but is not a valid one";
		r = msgpack_is_like_envelope(document, decoder->cancel);
		return r == 1 ? -EUCLEAN : r;
	}
	*ret_reason = shape == SHAPE_SERIES ? "neither a valid envelope nor a series" : "neither a valid envelope nor a dataframe";
	r = msgpack_is_columnar(document, shape == SHAPE_SERIES, decoder->cancel);
	return r == 0 ? -EUCLEAN : r < 0 ? r : 0;
}

int decode_walk(const struct decoder *decoder, const struct slice *document, enum shape shape, struct verdict *verdict)
{
	const char *reason = NULL;
	verdict->size = document->length;
	int r = msgpack_walk_slice(document, decoder->cancel, &verdict->text, &reason);
	if (r == 0)
		r = check_shape(decoder, document, shape, &reason);
	return is_fault(r) ? decode_fault(verdict, r, reason) : r;
}

/*
 * Memory for a document. It is decompressed at a stroke, so all that it claims is taken at once: a claim of more than a step is
 * looked at first. With a verdict there is none.
 */
static int make_room(const struct decoder *decoder, struct bytestorage *storage, const struct slice *payload, bool secret,
	struct verdict *verdict, struct spool_writer *ret)
{
	const char *reason = NULL;
	int r = bytestorage_measure(storage, payload, SPOOL_STEP, decoder->cancel, &reason);
	if (r < 0)
		return is_fault(r) ? decode_fault(verdict, r, reason) : r;
	const size_t room = bytestorage_room(storage);
	if (secret && room + payload->length > spool_secret_max(decoder->spool))
		return decode_fault(verdict, -EFBIG, DECODE_TOO_SECRET);
	r = spool_begin(decoder->spool, room, secret, ret);
	return r < 0 ? r : sink_room(&ret->sink, room);
}

/* Decompresses a block that could not be read to where its document goes. */
static int unpack_copy(const struct decoder *decoder, const struct bytestorage *storage, const struct slice *payload, bool verify,
	bool secret, uint8_t *to, const char **ret_reason)
{
	cleanup_spool struct spool_writer copy = {0};
	int r = spool_begin(decoder->spool, storage->compressed, secret, &copy);
	return r < 0 ? r : bytestorage_decode(storage, payload, verify, decoder->cancel, to, &copy.sink, ret_reason);
}

/* Decompresses an envelope. The document is not walked yet. */
static int unpack(const struct decoder *decoder, const struct bytestorage *claim, const struct slice *payload, bool verify, bool secret,
	struct verdict *verdict, struct slice *ret)
{
	struct bytestorage storage = *claim;
	cleanup_spool struct spool_writer writer = {0};
	const char *reason = NULL;
	int r = make_room(decoder, &storage, payload, secret, verdict, &writer);
	if (r < 0 || verdict->fault < 0)
		return r;
	r = bytestorage_decode(&storage, payload, verify, decoder->cancel, writer.sink.p, NULL, &reason);
	if (r == 1)
		r = unpack_copy(decoder, &storage, payload, verify, secret, writer.sink.p, &reason);
	verdict->compared = r == -EBADMSG || (r == 0 && verify);
	if (r < 0)
		return is_fault(r) ? decode_fault(verdict, r, reason) : r;
	writer.sink.p += storage.original;
	return spool_end(&writer, ret);
}

static int decode_msgpack(const struct decoder *decoder, const struct document *d, const struct slice *payload, bool secret,
	struct verdict *verdict, struct slice *ret)
{
	cleanup_slice struct slice body = {0};
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
		r = decode_walk(decoder, &body, verdict->envelope == ENVELOPE_NONE ? d->shape : SHAPE_ANY, verdict);
	if (r == 0 && verdict->fault == 0)
		*ret = slice_steal(&body);
	return r;
}

/* What the check of an orjson payload tells, as a verdict. */
static int decode_orjson(const struct decoder *decoder, const struct slice *payload, struct verdict *verdict, struct slice *ret)
{
	enum prefix prefix = PREFIX_ABSENT;
	int r = prefix_read_json(payload, decoder->cancel, &prefix);
	verdict->compared = r == -EBADMSG || r == -EUCLEAN || (r == 0 && prefix == PREFIX_PRESENT);
	if (r == -EBADMSG)
		return decode_fault(verdict, -EBADMSG, "checksum does not match");
	if (r == -EUCLEAN)
		return decode_fault(verdict, r, "not one whole JSON document");
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
		return decode_fault(verdict, r, "checksum does not match");
	if (r == 0)
		slice_copy(&d->body, ret);
	return r;
}

int decode_located(const struct decoder *decoder, const struct document *d, const struct slice *payload, bool secret,
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
