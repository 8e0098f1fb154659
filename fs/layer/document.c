#include "ckfs/document.h"

#include <errno.h>
#include <string.h>

/* A longer JSON text is refused. */
#define JSON_TEXT_MAX (UINT64_C(1) << 30)

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

/* [prefix][magic...] or [magic...]: the body begins at the magic. */
static int locate_by_magic(const struct slice *payload, const char *magic, const char *missing, struct document *d)
{
	int r = prefix_locate(payload, magic, strlen(magic), &d->prefix);
	if (r == -EUCLEAN)
		return fail(d, -EUCLEAN, missing);
	if (r < 0)
		return r;
	uint64_t offset = d->prefix == PREFIX_PRESENT ? PREFIX_SIZE : 0;
	return slice_sub(payload, offset, payload->length - offset, &d->body);
}

static int locate_numpy(const struct slice *payload, struct document *d)
{
	int r = locate_by_magic(payload, NUMPY_MAGIC, "not an array: no NUMPY_RAW where one begins", d);
	if (r < 0 || d->fault < 0)
		return r;
	const char *reason = NULL;
	r = numpy_read(&d->body, &d->array, &reason);
	return r == -EUCLEAN || r == -EOPNOTSUPP ? fail(d, r, reason) : r;
}

/* An array whose header lost its original_type is still told by its structure, as the SDK does. */
static bool looks_like_numpy(const struct frame *frame, const struct slice *payload)
{
	enum prefix prefix;
	return !frame->meta.original_type && prefix_locate(payload, NUMPY_MAGIC, strlen(NUMPY_MAGIC), &prefix) == 0;
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

static int locate(const struct frame *frame, const struct slice *payload, struct document *d)
{
	if (frame->kind == FRAME_NONE)
		return 0;
	if (frame->kind == FRAME_INTEROP) {
		d->kind = DOCUMENT_MSGPACK;
		return fail(d, -EOPNOTSUPP, "interop values are not decoded by this build");
	}
	if (frame->meta.fault)
		return fail(d, -EUCLEAN, frame->meta.fault);
	if (!frame->meta.format)
		return fail(d, -EUCLEAN, "frame header: no format");
	d->kind = kind_of(frame);
	if (d->kind == DOCUMENT_OPAQUE)
		return fail(d, -EOPNOTSUPP, "format unknown to this build");
	if (frame->meta.encrypted == YES)
		return fail(d, -EOPNOTSUPP, "sealed entries are not decrypted by this build");
	if (d->kind == DOCUMENT_MSGPACK && looks_like_numpy(frame, payload))
		d->kind = DOCUMENT_NUMPY;

	switch (d->kind) {
	case DOCUMENT_ARROW:
		return locate_by_magic(payload, ARROW_MAGIC, "not an Arrow file: no ARROW1 where one begins", d);
	case DOCUMENT_NUMPY:
		return locate_numpy(payload, d);
	case DOCUMENT_MSGPACK:
		return fail(d, -EOPNOTSUPP, "MessagePack documents are not decoded by this build");
	default:
		if (payload->length > JSON_TEXT_MAX + PREFIX_SIZE)
			return fail(d, -EFBIG, "the JSON text is over 1 GiB");
		slice_copy(payload, &d->body);
		return 0;
	}
}

int document_locate(const struct frame *frame, const struct slice *payload, struct document *ret)
{
	struct document d = {.kind = DOCUMENT_OPAQUE};
	int r = locate(frame, payload, &d);
	if (r < 0) {
		document_done(&d);
		return r;
	}
	*ret = d;
	return 0;
}

bool document_needs_check(const struct document *document)
{
	return document->fault == 0 && document->kind == DOCUMENT_JSON;
}

bool document_has_check(const struct document *document)
{
	/* Also when what follows the prefix makes no sense: then the check tells whether it was altered. */
	bool hashed = document->kind == DOCUMENT_ARROW || document->kind == DOCUMENT_NUMPY;
	return document_needs_check(document) || (hashed && document->prefix == PREFIX_PRESENT);
}

int document_check(const struct document *document, const struct slice *payload, const atomic_bool *cancel,
	struct verdict *ret)
{
	enum prefix prefix = document->prefix;
	int r = document->kind == DOCUMENT_JSON ? prefix_read_json(payload, cancel, &prefix) : prefix_check(payload, cancel);
	if (r < 0 && r != -EBADMSG && r != -EUCLEAN)
		return r;
	*ret = (struct verdict){.fault = r, .prefix = prefix};
	return 0;
}

const char *document_fault_reason(const struct verdict *verdict)
{
	return verdict->fault == -EBADMSG ? "checksum does not match" : "not JSON as a whole";
}

void document_done(struct document *document)
{
	slice_done(&document->body);
}

const char *document_name(const struct document *document, const struct frame *frame)
{
	switch (document->kind) {
	case DOCUMENT_ARROW:
		return "arrow";
	case DOCUMENT_NUMPY:
		return "numpy";
	case DOCUMENT_JSON:
		return "json";
	case DOCUMENT_MSGPACK:
		if (is(frame->meta.original_type, "dataframe"))
			return "dataframe";
		return is(frame->meta.original_type, "series") ? "series" : "msgpack";
	default:
		return NULL;
	}
}
