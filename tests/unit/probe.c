/*
 * layer-probe: what the layers make of bytes, for tests/unit/layers.py to compare
 * with cachekit, json, orjson and numpy.
 *
 * Requests come on stdin: mode, length u32 BE, bytes. Each is answered by one line of JSON.
 *
 *   f  a stored value (i: under an interop key)       its frame and payload
 *   p  JSON as Python reads it (s: as orjson does)    its events
 *   d  the name of a NumPy dtype                      descr and item size
 *   n  a NUMPY_RAW document                           .npy header, where the array lies
 *   o  an orjson payload                              has it a prefix
 *   c  a payload with a prefix                        does the prefix match
 */
#include "ckfs/bytes.h"
#include "ckfs/cleanup.h"
#include "ckfs/frame.h"
#include "ckfs/json_scan.h"
#include "ckfs/numpy.h"
#include "ckfs/prefix.h"

#include <errno.h>
#include <stdio.h>

static void print_hex(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	putchar('"');
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
	putchar('"');
}

/* A member whose value is a text in hex, or null. */
static void print_text(const char *name, const char *text)
{
	printf(", \"%s\": ", name);
	if (text)
		print_hex(text, strlen(text));
	else
		printf("null");
}

static void print_error(int r, const char *reason)
{
	printf("{\"errno\": %d", -r);
	print_text("reason", reason);
}

/* A sink that keeps what it gets. */
struct kept {
	uint8_t *bytes;
	size_t n;
};

static int kept_write(void *arg, const void *bytes, size_t n)
{
	struct kept *kept = arg;
	uint8_t *grown = realloc(kept->bytes, kept->n + n);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + kept->n, bytes, n);
	kept->bytes = grown;
	kept->n += n;
	return 0;
}

static int kept_restart(void *arg)
{
	((struct kept *)arg)->n = 0;
	return 0;
}

static void kept_done(struct kept *kept)
{
	free(kept->bytes);
}

static void print_frame(const struct frame *frame, const uint8_t *payload, size_t n)
{
	static const char *const kinds[] = {"none", "interop", "v3", "legacy"};
	static const char *const tristates[] = {"null", "false", "true"};
	const struct frame_meta *m = &frame->meta;
	printf("{\"errno\": 0, \"kind\": \"%s\"", kinds[frame->kind]);
	print_text("serializer", m->serializer);
	print_text("format", m->format);
	print_text("encoding", m->encoding);
	print_text("original_type", m->original_type);
	print_text("tenant_id", m->tenant_id);
	print_text("encryption_algorithm", m->encryption_algorithm);
	print_text("key_fingerprint", m->key_fingerprint);
	print_text("fault", m->fault);
	printf(", \"compressed\": %s, \"encrypted\": %s", tristates[m->compressed + 1], tristates[m->encrypted + 1]);
	printf(", \"header_is_json\": %s, \"header_offset\": %llu, \"header_length\": %llu, \"payload_length\": %llu, \"payload\": ",
	       frame->header_is_json ? "true" : "false", (unsigned long long)frame->header_offset,
	       (unsigned long long)frame->header_length, (unsigned long long)frame->payload_length);
	print_hex(payload, n);
}

static int probe_frame(const struct slice *value, const uint8_t *bytes, bool interop)
{
	cleanup_with(frame_done) struct frame frame = {0};
	cleanup_with(kept_done) struct kept kept = {0};
	const struct legacy_sink sink = {.write = kept_write, .restart = kept_restart, .arg = &kept};
	const char *reason = NULL;
	int r = frame_read(value, interop, &frame, &reason);
	if (r == 0 && frame.kind == FRAME_NONE && value->length > 0 && bytes[0] == '{')
		r = legacy_read(value, &sink, NULL, &frame);
	if (r < 0)
		print_error(r, reason);
	else if (frame.kind == FRAME_LEGACY)
		print_frame(&frame, kept.bytes, kept.n);
	else
		print_frame(&frame, bytes + frame.payload_offset, (size_t)frame.payload_length);
	return 0;
}

/* Prints each event: its letter, or a text in hex behind its letter. */
static int print_event(void *arg, enum json_event event, unsigned level, const uint8_t *bytes, size_t n)
{
	static const char letters[] = "{}[]kKsS#tf0";
	bool *in_text = arg;
	(void)level;
	if (event == JSON_KEY_PART || event == JSON_STRING_PART) {
		if (!*in_text)
			putchar(letters[event]);
		for (size_t i = 0; i < n; i++)
			printf("%02x", bytes[i]);
	} else {
		putchar(letters[event]);
	}
	*in_text = event == JSON_KEY_PART || event == JSON_STRING_PART;
	return 0;
}

static int probe_json(const uint8_t *bytes, size_t n, enum json_dialect dialect)
{
	struct json_scan scan, slow;
	bool in_text = false;
	int r = 0, r_slow = 0;
	printf("{\"events\": \"");
	json_scan_init(&scan, dialect, print_event, &in_text);
	json_scan_init(&slow, dialect, NULL, NULL);
	r = json_scan_feed(&scan, bytes, n);
	for (size_t i = 0; i < n && r_slow == 0; i++)
		r_slow = json_scan_feed(&slow, bytes + i, 1);
	if (r == 0)
		r = json_scan_end(&scan);
	if (r_slow == 0)
		r_slow = json_scan_end(&slow);
	printf("\", \"errno\": %d, \"errno_bytewise\": %d, \"nonfinite\": %s", -r, -r_slow, scan.nonfinite ? "true" : "false");
	return 0;
}

static int probe_dtype(const uint8_t *bytes, size_t n)
{
	struct ndarray array = {0};
	int r = numpy_descr((const char *)bytes, n, &array);
	if (r < 0)
		print_error(r, NULL);
	else
		printf("{\"errno\": 0, \"descr\": \"%s\", \"itemsize\": %llu", array.descr, (unsigned long long)array.itemsize);
	return 0;
}

static int probe_numpy(const struct slice *document)
{
	struct ndarray array;
	const char *reason = NULL;
	cleanup_free char *header = NULL;
	size_t n;
	int r = numpy_read(document, &array, &reason);
	if (r == 0)
		r = numpy_write_header(&array, &header, &n);
	if (r < 0) {
		print_error(r, reason);
		return 0;
	}
	printf("{\"errno\": 0, \"data_offset\": %llu, \"data_length\": %llu, \"header\": ",
	       (unsigned long long)array.data_offset, (unsigned long long)array.data_length);
	print_hex(header, n);
	return 0;
}

static int probe_orjson(const struct slice *payload)
{
	enum prefix prefix = PREFIX_ABSENT;
	int r = prefix_read_json(payload, NULL, &prefix);
	printf("{\"errno\": %d, \"prefix\": %s", -r, prefix == PREFIX_PRESENT ? "true" : "false");
	return 0;
}

static int probe(uint8_t mode, const uint8_t *bytes, size_t n)
{
	cleanup_with(slice_done) struct slice slice = {0};
	int r = slice_new_copy(bytes, n, &slice);
	if (r < 0)
		return r;
	switch (mode) {
	case 'f':
	case 'i':
		return probe_frame(&slice, bytes, mode == 'i');
	case 'p':
	case 's':
		return probe_json(bytes, n, mode == 's' ? JSON_STRICT : JSON_PYTHON);
	case 'd':
		return probe_dtype(bytes, n);
	case 'n':
		return probe_numpy(&slice);
	case 'o':
		return probe_orjson(&slice);
	case 'c':
		printf("{\"errno\": %d", -prefix_check(&slice, NULL));
		return 0;
	default:
		return -EINVAL;
	}
}

int main(void)
{
	uint8_t head[5];
	while (fread(head, 1, sizeof head, stdin) == sizeof head) {
		struct bytes b = bytes_of(head, sizeof head);
		uint8_t mode = 0;
		uint32_t n = 0;
		(void)(bytes_u8(&b, &mode) && bytes_u32be(&b, &n));
		cleanup_free uint8_t *bytes = malloc(n ? n : 1);
		if (!bytes || fread(bytes, 1, n, stdin) != n || probe(mode, bytes, n) < 0)
			return 1;
		puts("}");
		fflush(stdout);
	}
	return 0;
}
