#include "ckfs/document.h"

#include "ckfs/arrow.h"
#include "ckfs/keyring.h"
#include "ckfs/msgpack.h"

#include <errno.h>
#include <string.h>

static int fail(struct document *d, int fault, const char *reason)
{
	d->fault = fault;
	d->reason = reason;
	return 0;
}

static bool is(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

static void set_size(struct document *d, uint64_t size)
{
	d->has_size = true;
	d->size = size;
}

static bool is_one_of(const char *text, const char *const words[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is(text, words[i]))
			return true;
	return false;
}

static bool is_auto(const struct frame *frame)
{
	return is(frame->meta.serializer, "auto") || is(frame->meta.serializer, "AutoSerializer");
}

/*
 * The SDK's serializer `auto` tells the kind of its documents by more than one mark, and refuses one whose marks disagree.
 * `type` is what the document itself says (NULL: nothing, so the header has to).
 */
static bool marks_agree(const struct frame *frame, const char *type)
{
	static const char *const stored[] = {"msgpack", "dataframe", "series", "arrow"};
	const char *claim = frame->meta.original_type;
	if (!is_auto(frame))
		return true;
	if (!type)
		return is_one_of(claim, stored, 4);
	return is_one_of(type, stored, 4) && (!claim || is(claim, type));
}

/* [prefix][magic...] or [magic...]: the body begins at the magic. */
static int locate_by_magic(const struct slice *payload, const char *magic, const char *missing, struct document *d)
{
	enum prefix prefix;
	int r = prefix_locate(payload, magic, strlen(magic), &prefix);
	if (r == -EUCLEAN)
		return fail(d, -EUCLEAN, missing);
	if (r < 0)
		return r;
	uint64_t offset = prefix == PREFIX_PRESENT ? PREFIX_SIZE : 0;
	d->envelope = prefix == PREFIX_PRESENT ? ENVELOPE_PREFIX : ENVELOPE_NONE;
	set_size(d, payload->length - offset);
	return slice_sub(payload, offset, payload->length - offset, &d->body);
}

static int locate_numpy(const struct slice *payload, struct document *d)
{
	int r = locate_by_magic(payload, NUMPY_MAGIC, "not an array: does not begin with NUMPY_RAW", d);
	if (r < 0 || d->fault < 0)
		return r;
	const char *reason = NULL;
	r = numpy_read(&d->body, &d->array, &reason);
	if (r == -EUCLEAN || r == -EOPNOTSUPP)
		return fail(d, r, reason);
	return r < 0 ? r : numpy_file_size(&d->array, &d->size);
}

static int locate_json(uint64_t length, struct document *d)
{
	return length > JSON_TEXT_MAX + PREFIX_SIZE ? fail(d, -EFBIG, "the JSON text is over 1 GiB") : 0;
}

/* The payload is the document. */
static int locate_bare(const struct slice *payload, struct document *d)
{
	d->envelope = ENVELOPE_NONE;
	set_size(d, payload->length);
	slice_copy(payload, &d->body);
	return 0;
}

static int locate_framed(const struct frame *frame, const struct slice *payload, struct document *d)
{
	if (!marks_agree(frame, NULL))
		return fail(d, -EUCLEAN, "the header's original_type does not allow a document without an envelope");
	return locate_bare(payload, d);
}

/* The SDK's serializer `auto` looks at what it finds without an envelope. */
static enum shape shape_of(const struct frame *frame)
{
	if (!is_auto(frame))
		return SHAPE_ANY;
	if (is(frame->meta.original_type, "dataframe"))
		return SHAPE_DATAFRAME;
	return is(frame->meta.original_type, "series") ? SHAPE_SERIES : SHAPE_NO_ENVELOPE;
}

/*
 * "compressed" says whether there is an envelope. Writers of old wrote one without saying so: what looks like an
 * envelope there is one if its checksum fits.
 */
static int locate_msgpack(const struct frame *frame, const struct slice *payload, bool opened, const atomic_bool *cancel,
	struct document *d)
{
	const char *reason = NULL;
	bool says = frame->meta.compressed == YES;
	if (opened && !says)
		return locate_framed(frame, payload, d);
	d->shape = shape_of(frame);
	int r = bytestorage_read(payload, false, cancel, &d->storage, &reason);
	if (r == 0 && !marks_agree(frame, d->storage.format))
		return fail(d, -EUCLEAN, "the header's original_type is not what the envelope says");
	d->has_storage = r == 0;
	if (r == 0 && !says) {
		d->envelope = ENVELOPE_UNKNOWN;
		return 0;
	}
	if (r == 0) {
		d->envelope = ENVELOPE_BYTESTORAGE;
		set_size(d, d->storage.original);
		return 0;
	}
	if (r != -EUCLEAN && r != -EFBIG)
		return r;
	return says ? fail(d, r, reason) : locate_framed(frame, payload, d);
}

/* An envelope as every writer makes it begins as an array of four. Nothing more is read of what does not. */
static bool may_be_bare_envelope(const struct slice *payload)
{
	uint8_t first;
	return payload->length > 0 && slice_read(payload, 0, &first, 1) == 0 && first == 0x94;
}

/* Whether a payload without a frame is an envelope to the letter. 1, 0, -errno. */
static int read_bare_envelope(const struct slice *payload, const atomic_bool *cancel, struct document *d)
{
	const char *reason = NULL;
	if (!may_be_bare_envelope(payload))
		return 0;
	int r = bytestorage_read(payload, false, cancel, &d->storage, &reason);
	d->has_storage = r == 0 && d->storage.strict;
	return r == -EUCLEAN || r == -EFBIG ? 0 : r < 0 ? r : d->has_storage;
}

/* A value without a frame is opaque, unless it is an envelope, or the mount is told that it is a document. */
static int locate_unframed(const struct frame *frame, const struct slice *payload, const atomic_bool *cancel, struct document *d)
{
	int r = read_bare_envelope(payload, cancel, d);
	if (r == 1) {
		d->kind = DOCUMENT_MSGPACK;
		d->envelope = ENVELOPE_BYTESTORAGE;
		set_size(d, d->storage.original);
		return 0;
	}
	if (r == 0 && frame->declared)
		r = msgpack_may_be_whole(payload);
	if (r != 1)
		return r;
	d->kind = DOCUMENT_MSGPACK;
	return locate_bare(payload, d);
}

/*
 * An interop value is one document: what looks like an envelope is an array of four. But the TypeScript SDK makes keys of the same shape, of a
 * namespace with a colon: where the mount is told of other SDKs, the checksum tells.
 */
static int locate_interop(const struct frame *frame, const struct slice *payload, const atomic_bool *cancel, struct document *d)
{
	char first[2];
	int r = payload->length < sizeof first ? 0 : slice_read(payload, 0, first, sizeof first);
	if (r < 0)
		return r;
	/* The package writes frames, never interop values, that begin so. */
	if (payload->length >= sizeof first && memcmp(first, "CK", sizeof first) == 0)
		return fail(d, -EUCLEAN, "begins with CK, like a frame of cachekit: not an interop value");
	r = frame->declared ? read_bare_envelope(payload, cancel, d) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	return locate_bare(payload, d);
}

/* An array whose header lost its original_type is still told by its structure, as the SDK does. */
static bool looks_like_numpy(const struct frame *frame, const struct slice *payload)
{
	enum prefix prefix;
	return !frame->meta.original_type && frame->meta.compressed != YES &&
		prefix_locate(payload, NUMPY_MAGIC, strlen(NUMPY_MAGIC), &prefix) == 0;
}

static enum document_kind kind_of(const struct frame *frame)
{
	const char *format = frame->meta.format;
	if (is(format, "arrow"))
		return DOCUMENT_ARROW;
	if (is(format, "orjson"))
		return DOCUMENT_JSON;
	if (is(format, "msgpack"))
		return is(frame->meta.original_type, "numpy") ? DOCUMENT_NUMPY : DOCUMENT_MSGPACK;
	return DOCUMENT_OPAQUE;
}

/* The kind, by the frame. False when it tells none; then there is a fault. What is sealed without a frame is MessagePack, whoever wrote it. */
static bool read_kind(const struct frame *frame, struct document *d)
{
	if (frame_is_bare(frame)) {
		d->kind = DOCUMENT_MSGPACK;
		return true;
	}
	if (frame->meta.fault) {
		fail(d, -EUCLEAN, frame->meta.fault);
	} else if (!frame->meta.format) {
		fail(d, -EUCLEAN, "frame header: no format");
	} else {
		d->kind = kind_of(frame);
		if (d->kind == DOCUMENT_OPAQUE)
			fail(d, -EOPNOTSUPP, "format unknown to this build");
	}
	return d->fault == 0;
}

static int locate(const struct frame *frame, const struct slice *payload, bool opened, const atomic_bool *cancel, struct document *d)
{
	if (frame->kind == FRAME_NONE)
		return locate_unframed(frame, payload, cancel, d);
	if (!read_kind(frame, d))
		return 0;
	if (frame->kind == FRAME_INTEROP)
		return locate_interop(frame, payload, cancel, d);
	if (d->kind == DOCUMENT_MSGPACK && !opened && looks_like_numpy(frame, payload))
		d->kind = DOCUMENT_NUMPY;

	int r;
	switch (d->kind) {
	case DOCUMENT_ARROW:
		if (!marks_agree(frame, "arrow"))
			return fail(d, -EUCLEAN, "the header's original_type is not arrow");
		r = locate_by_magic(payload, ARROW_MAGIC, "not an Arrow file: does not begin with ARROW1", d);
		break;
	case DOCUMENT_NUMPY:
		r = locate_numpy(payload, d);
		break;
	case DOCUMENT_JSON:
		return locate_json(payload->length, d);
	default:
		return locate_msgpack(frame, payload, opened, cancel, d);
	}
	/* As the SDK has it: these were never sealed without a checksum. */
	if (r == 0 && opened && d->fault == 0 && d->envelope == ENVELOPE_NONE)
		fail(d, -EUCLEAN, "the decrypted payload has no checksum");
	return r;
}

uint64_t document_locate_cost(const struct frame *frame, const struct slice *payload)
{
	bool looks = !frame_is_bare(frame) ? kind_of(frame) == DOCUMENT_MSGPACK
				     : (frame->kind == FRAME_NONE || frame->declared) && may_be_bare_envelope(payload);
	struct bytestorage storage;
	const char *reason;
	return looks && bytestorage_read(payload, true, NULL, &storage, &reason) == 1 ? payload->length : 0;
}

int document_locate(const struct frame *frame, const struct slice *payload, bool opened, const atomic_bool *cancel,
	struct document *ret)
{
	struct document d = {.kind = DOCUMENT_OPAQUE};
	int r = locate(frame, payload, opened, cancel, &d);
	if (r < 0) {
		document_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

void document_by_frame(const struct frame *frame, struct document *ret)
{
	struct document d = {.kind = DOCUMENT_OPAQUE};
	read_kind(frame, &d);
	*ret = d;
}

void document_of_sealed(const struct frame *frame, const struct slice *payload, struct document *ret)
{
	struct document d = {.kind = DOCUMENT_OPAQUE};
	uint64_t around = SEAL_OVERHEAD;
	const bool framed = !frame_is_bare(frame);
	/* What has no frame may be sealed, or not. */
	if (read_kind(frame, &d) && framed && payload->length < SEAL_OVERHEAD)
		fail(&d, -EUCLEAN, "the sealed payload is under 28 bytes");
	/* What is sealed and over a limit would be over it once it was opened. */
	bool enveloped = d.kind == DOCUMENT_MSGPACK && framed && frame->meta.compressed == YES;
	if (d.fault == 0 && framed && payload->length > SEAL_MAX)
		fail(&d, -EFBIG, "longer than AES-256-GCM allows");
	else if (d.fault == 0 && enveloped && payload->length > around + BYTESTORAGE_MAX)
		fail(&d, -EFBIG, "envelope is over 512 MiB");
	else if (d.fault == 0 && d.kind == DOCUMENT_JSON && payload->length > around)
		locate_json(payload->length - around, &d);
	/* What the seal holds has the same length: the document's follows where its envelope is certain, and a prefix or none. */
	bool prefixed = d.kind == DOCUMENT_ARROW;
	if (prefixed)
		around += PREFIX_SIZE;
	bool bare = d.kind == DOCUMENT_MSGPACK && framed && frame->meta.compressed != YES;
	if (d.fault == 0 && (prefixed || bare) && payload->length >= around)
		set_size(&d, payload->length - around);
	*ret = d;
}

bool document_needs_check(const struct document *document)
{
	return document->fault == 0 && (document->kind == DOCUMENT_JSON || document->kind == DOCUMENT_MSGPACK);
}

bool document_has_check(const struct document *document)
{
	/* Also when what follows the prefix makes no sense: then the check tells whether it was altered. */
	return document_needs_check(document) || document->envelope == ENVELOPE_PREFIX;
}

int document_may_be_read(const struct document *document)
{
	return document->kind == DOCUMENT_NUMPY && document->fault == -EOPNOTSUPP ? numpy_document_may_read(&document->body) : 0;
}

void document_done(struct document *document)
{
	slice_done(&document->body);
}
