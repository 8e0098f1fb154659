#include "ckfs/frame.h"

#include "ckfs/bytes.h"
#include "ckfs/cleanup.h"
#include "frame_meta.h"

#include <errno.h>

#define MAGIC "CK"
#define VERSION 3
#define PREFIX_LENGTH 7 /* magic, version, header length */

/* What is read first: nearly always the whole header. */
#define FIRST_READ 512
#define NEXT_READS ((size_t)64 << 10)

/* The bytes of the value that were read first. */
struct first {
	uint8_t bytes[FIRST_READ];
	size_t n;
};

/* The fixed part. 0 and the window of the header; or FRAME_NONE's sign, 1. */
static int read_prefix(const struct slice *value, const struct first *first, uint32_t *ret_length, const char **ret_reason)
{
	struct bytes b = bytes_of(first->bytes, first->n);
	uint8_t version;
	uint32_t length;
	if (!bytes_match(&b, MAGIC, 2))
		return 1;
	if (!bytes_u8(&b, &version) || !bytes_u32be(&b, &length)) {
		*ret_reason = "frame is cut short: under 7 bytes";
		return -EUCLEAN;
	}
	if (version != VERSION) {
		*ret_reason = "frame version is not 3";
		return -EUCLEAN;
	}
	if (length > value->length - PREFIX_LENGTH) {
		*ret_reason = "frame header is longer than the value";
		return -EUCLEAN;
	}
	if (length > FRAME_HEADER_MAX) {
		*ret_reason = "frame header is over 16 MiB";
		return -EFBIG;
	}
	*ret_length = length;
	return 0;
}

/* Feeds the header from where the first read ends. */
static int feed_rest(struct json_scan *scan, const struct slice *value, uint64_t from, uint64_t to, const atomic_bool *cancel)
{
	cleanup_free uint8_t *buf = malloc(NEXT_READS);
	if (!buf)
		return -ENOMEM;
	while (from < to) {
		size_t n = to - from < NEXT_READS ? (size_t)(to - from) : NEXT_READS;
		if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
			return -EINTR;
		int r = slice_read(value, from, buf, n);
		if (r < 0)
			return r;
		r = json_scan_feed(scan, buf, n);
		if (r != 0)
			return r;
		from += n;
	}
	return 0;
}

static int feed_header(struct json_scan *scan, const struct slice *value, const struct first *first, uint64_t offset,
		       uint64_t length, const atomic_bool *cancel)
{
	size_t here = first->n - (size_t)offset;
	if (length <= here)
		return json_scan_feed(scan, first->bytes + offset, (size_t)length);
	int r = json_scan_feed(scan, first->bytes + offset, here);
	return r != 0 ? r : feed_rest(scan, value, first->n, offset + length, cancel);
}

static int read_header(const struct slice *value, const struct first *first, uint32_t length, const atomic_bool *cancel,
		       struct frame *ret, const char **ret_reason)
{
	struct frame frame = {.kind = FRAME_V3, .header_offset = PREFIX_LENGTH, .header_length = length};
	cleanup_with(frame_capture_done) struct frame_capture capture;
	struct json_scan scan;
	struct bytes b = bytes_of(first->bytes, first->n);
	const uint8_t *prefix;

	/* A byte order mark is not part of the JSON; the SDK reads such a header too. */
	if (length >= 3 && bytes_take(&b, PREFIX_LENGTH, &prefix) && bytes_match(&b, "\xef\xbb\xbf", 3)) {
		frame.header_offset += 3;
		frame.header_length -= 3;
	}
	frame_capture_init(&capture, "s", "m");
	json_scan_init(&scan, JSON_PYTHON, frame_capture_event, &capture);
	scan.levels = FRAME_LEVELS_V3;
	int r = feed_header(&scan, value, first, frame.header_offset, frame.header_length, cancel);
	if (r == 0)
		r = json_scan_end(&scan);
	if (r == 0 && !frame_capture_take(&capture, &frame.meta, ret_reason))
		return -EUCLEAN;
	if (r == -EUCLEAN)
		*ret_reason = "frame header is not JSON in UTF-8 that Python reads";
	if (r < 0)
		return r;
	frame.header_is_json = !scan.nonfinite && !scan.lone_surrogate;
	frame.payload_offset = PREFIX_LENGTH + (uint64_t)length;
	frame.payload_length = value->length - frame.payload_offset;
	*ret = frame;
	return 0;
}

/* As far as was read, is this JSON white space and then an object? */
static bool may_begin_object(const struct first *first)
{
	size_t spaces = 0;
	while (spaces < first->n && memchr(" \t\n\r", first->bytes[spaces], 4))
		spaces++;
	return spaces == first->n ? first->n == FIRST_READ : first->bytes[spaces] == '{';
}

int frame_read(const struct slice *value, bool interop, uint32_t most, const atomic_bool *cancel, struct frame *ret, const char **ret_reason)
{
	struct frame whole = {
		.kind = interop ? FRAME_INTEROP : FRAME_NONE,
		.meta = FRAME_META_UNKNOWN,
		.payload_length = value->length,
	};
	struct first first;
	uint32_t length;
	if (interop || value->length == 0) {
		*ret = whole;
		return 0;
	}
	first.n = value->length < FIRST_READ ? (size_t)value->length : FIRST_READ;
	int r = slice_read(value, 0, first.bytes, first.n);
	if (r == 0)
		r = read_prefix(value, &first, &length, ret_reason);
	if (r == 0)
		return length > most ? -ENODATA : read_header(value, &first, length, cancel, ret, ret_reason);
	if (r < 0)
		return r;
	whole.maybe_legacy = may_begin_object(&first);
	*ret = whole;
	return 0;
}

void frame_done(struct frame *frame)
{
	frame_meta_done(&frame->meta);
}
