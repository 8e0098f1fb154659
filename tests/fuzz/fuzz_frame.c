/*
 * What frame_read() tells lies inside the value, and only the value decides it.
 *
 * Also: header and payload of a v3 frame fill the value behind the 7 bytes, its header
 * is JSON, strings keep to their limit, and a failure leaves the result alone and has a reason.
 *
 * Input: a stored value.
 */
#include "ckfs/bytes.h"
#include "ckfs/frame.h"
#include "ckfs/json_scan.h"
#include "fuzz.h"

#include <errno.h>

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct frame *a, const struct frame *b)
{
	CHECK(a->kind == b->kind && a->header_is_json == b->header_is_json);
	CHECK(a->header_offset == b->header_offset && a->header_length == b->header_length);
	CHECK(a->payload_offset == b->payload_offset && a->payload_length == b->payload_length);
	CHECK(same_text(a->meta.serializer, b->meta.serializer) && same_text(a->meta.format, b->meta.format));
	CHECK(same_text(a->meta.encoding, b->meta.encoding) && same_text(a->meta.original_type, b->meta.original_type));
	CHECK(same_text(a->meta.tenant_id, b->meta.tenant_id) && same_text(a->meta.fault, b->meta.fault));
	CHECK(same_text(a->meta.encryption_algorithm, b->meta.encryption_algorithm));
	CHECK(same_text(a->meta.key_fingerprint, b->meta.key_fingerprint));
	CHECK(a->meta.compressed == b->meta.compressed && a->meta.encrypted == b->meta.encrypted);
}

static void check_v3(const struct frame *f, const uint8_t *data, size_t size)
{
	struct json_scan scan;
	CHECK(size >= 7 && memcmp(data, "CK\x03", 3) == 0);
	CHECK(f->header_offset == 7 || f->header_offset == 10);
	CHECK(f->payload_offset == f->header_offset + f->header_length);
	CHECK(f->payload_offset <= size && f->payload_length == size - f->payload_offset);
	json_scan_init(&scan, JSON_PYTHON, NULL, NULL);
	CHECK(json_scan_feed(&scan, data + f->header_offset, (size_t)f->header_length) == 0 && json_scan_end(&scan) == 0);
	CHECK(f->header_is_json == (!scan.nonfinite && !scan.lone_surrogate));
	CHECK(f->meta.serializer && strlen(f->meta.serializer) <= FRAME_STRING_MAX);
	CHECK(f->meta.serializer[0] || f->meta.fault);
	CHECK(!f->meta.format || strlen(f->meta.format) <= FRAME_STRING_MAX);
	CHECK(!f->meta.tenant_id || strlen(f->meta.tenant_id) <= FRAME_STRING_MAX);
	CHECK(f->meta.compressed >= UNKNOWN && f->meta.compressed <= YES);
	CHECK(f->meta.encrypted >= UNKNOWN && f->meta.encrypted <= YES);
}

static void check_whole(const struct frame *f, enum frame_kind kind, size_t size)
{
	CHECK(f->kind == kind && f->payload_offset == 0 && f->payload_length == size);
	CHECK(!f->meta.serializer && !f->meta.format && !f->meta.fault);
	CHECK(f->meta.compressed == UNKNOWN && f->meta.encrypted == UNKNOWN);
}

/* Reads it once more with other bytes around. */
static int read_inside(const uint8_t *data, size_t size, uint8_t around, bool interop, struct frame *ret)
{
	const char *reason = NULL;
	struct slice value = fuzz_slice_inside(data, size, around);
	int r = frame_read(&value, interop, FRAME_HEADER_MAX, NULL, ret, &reason);
	slice_done(&value);
	CHECK((r == -EUCLEAN || r == -EFBIG) == (reason != NULL));
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice value = fuzz_slice(data, size);
	const char *reason = NULL;
	struct frame frame, untouched, other;
	memset(&frame, 0xa5, sizeof frame);
	untouched = frame;
	int r = frame_read(&value, false, FRAME_HEADER_MAX, NULL, &frame, &reason);
	CHECK(r == 0 || r == -EUCLEAN || r == -EFBIG);
	CHECK((r == 0) == (reason == NULL));
	CHECK(read_inside(data, size, '}', false, &other) == r);
	if (r < 0) {
		CHECK(memcmp(&frame, &untouched, sizeof frame) == 0);
		CHECK(size >= 2 && memcmp(data, "CK", 2) == 0);
	} else {
		check_same(&frame, &other);
		if (frame.kind == FRAME_V3)
			check_v3(&frame, data, size);
		else
			check_whole(&frame, FRAME_NONE, size);
		frame_done(&frame);
		frame_done(&other);
	}
	CHECK(read_inside(data, size, 'C', true, &other) == 0);
	check_whole(&other, FRAME_INTEROP, size);
	slice_done(&value);
	return 0;
}
