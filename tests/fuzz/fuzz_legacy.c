/*
 * A legacy payload is as long as legacy_read() says, with a sink or without, and
 * wherever the reads happen to cut the text.
 *
 * Also: what is no legacy object is its own payload, and a sink's error comes back.
 *
 * Input: a stored value.
 */
#include "ckfs/bytes.h"
#include "ckfs/frame.h"
#include "ckfs/json_scan.h"
#include "fuzz.h"

#include <errno.h>

struct sink {
	size_t n;      /* bytes since the last restart */
	uint64_t hash; /* of them */
	int error;     /* to give at the first write */
};

static int sink_write(void *arg, const void *bytes, size_t n)
{
	struct sink *sink = arg;
	const uint8_t *p = bytes;
	CHECK(n > 0);
	for (size_t i = 0; i < n; i++)
		sink->hash = (sink->hash ^ p[i]) * 0x100000001b3;
	sink->n += n;
	return sink->error;
}

static int sink_restart(void *arg)
{
	struct sink *sink = arg;
	sink->n = 0;
	sink->hash = 0;
	return 0;
}

static int read_into(const struct slice *value, struct sink *sink, struct frame *ret)
{
	struct legacy_sink target = {.write = sink_write, .restart = sink_restart, .arg = sink};
	return legacy_read(value, &target, NULL, ret);
}

/* The same text with spaces behind its first brace: the reads cut it elsewhere. */
static void check_shifted(const uint8_t *data, size_t size, size_t at, const struct frame *frame, const struct sink *expect)
{
	const size_t read_size = (size_t)64 << 10;
	size_t spaces = read_size - at;
	uint8_t *shifted = malloc(size + spaces);
	struct sink sink = {0};
	struct frame other;
	CHECK(shifted);
	shifted[0] = data[0];
	memset(shifted + 1, ' ', spaces);
	memcpy(shifted + 1 + spaces, data + 1, size - 1);
	struct slice value = fuzz_slice(shifted, size + spaces);
	CHECK(read_into(&value, &sink, &other) == 0 && other.kind == frame->kind);
	if (frame->kind == FRAME_LEGACY) {
		CHECK(other.payload_length == frame->payload_length && sink.n == expect->n && sink.hash == expect->hash);
		CHECK(strcmp(other.meta.serializer, frame->meta.serializer) == 0);
	}
	frame_done(&other);
	slice_done(&value);
	free(shifted);
}

static void check_legacy(const struct slice *value, const uint8_t *data, size_t size, const struct frame *frame,
			 const struct sink *sink)
{
	struct json_scan scan;
	struct sink failing = {.error = -ENOSPC};
	struct frame other;
	const char *reason = NULL;
	size_t spaces = 0;
	while (spaces < size && strchr(" \t\n\r", data[spaces]) && data[spaces])
		spaces++;
	CHECK(spaces < size && data[spaces] == '{');
	CHECK(frame_read(value, false, FRAME_HEADER_MAX, NULL, &other, &reason) == 0 && other.kind == FRAME_NONE && other.maybe_legacy);
	json_scan_init(&scan, JSON_PYTHON, NULL, NULL);
	CHECK(json_scan_feed(&scan, data, size) == 0 && json_scan_end(&scan) == 0);
	CHECK(frame->meta.serializer && (frame->meta.serializer[0] || frame->meta.fault));
	CHECK(frame->payload_offset == 0 && frame->payload_length == sink->n && sink->n <= size / 4 * 3);
	if (sink->n > 0)
		CHECK(read_into(value, &failing, &other) == -ENOSPC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice value = fuzz_slice(data, size), inside = fuzz_slice_inside(data, size, ' ');
	struct sink sink = {0};
	struct frame frame, other;
	atomic_bool cancel = true;
	CHECK(read_into(&value, &sink, &frame) == 0);
	CHECK(legacy_read(&inside, NULL, NULL, &other) == 0);
	CHECK(frame.kind == other.kind && frame.payload_length == other.payload_length);
	frame_done(&other);
	if (size > 0)
		CHECK(legacy_read(&value, NULL, &cancel, &other) == -EINTR);
	if (frame.kind == FRAME_LEGACY)
		check_legacy(&value, data, size, &frame, &sink);
	else
		CHECK(frame.kind == FRAME_NONE && frame.payload_offset == 0 && frame.payload_length == size);
	if (size > 1 && data[0] == '{')
		check_shifted(data, size, size / 2, &frame, &sink);
	frame_done(&frame);
	slice_done(&inside);
	slice_done(&value);
	return 0;
}
