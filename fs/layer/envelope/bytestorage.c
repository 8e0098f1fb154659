/*
 * Reads envelopes as leniently as the SDK's reader, and no more so:
 *
 *   envelope   array of exactly 4 | map: each of the four once, others anywhere and ignored
 *   a name     str or bin | an unsigned integer: 0..3 are the four in order, others are ignored
 *   data       bin | str | array of integers 0..255
 *   checksum   array of exactly 8 integers 0..255 | bin of 8 bytes or more, of which the first 8 count
 *   original   an integer that fits 32 bits
 *   format     str or bin, in UTF-8
 *
 * An integer may have any encoding, signed ones too (but not as a name).
 */
#include "ckfs/bytestorage.h"

#include "ckfs/cleanup.h"
#include "envelope_reader.h"

#include <errno.h>

/* The SDK's reader ends at this many levels, the envelope itself being one; an ext value is a level too. */
#define LEVELS 1023

enum field {
	FIELD_DATA,
	FIELD_CHECKSUM,
	FIELD_ORIGINAL,
	FIELD_FORMAT,
	FIELDS,
};

struct reading {
	struct envelope_reader reader;
	bool quick;
	bool text; /* the data is a str */
	struct bytestorage envelope;
};

static int fail(struct reading *reading, const char *reason)
{
	reading->reader.reason = reason;
	return -EUCLEAN;
}

static bool is_integer(const struct msgpack_head *head, uint64_t most)
{
	/* A negative one is larger than any. */
	return (head->kind == MSGPACK_UINT || head->kind == MSGPACK_INT) && head->value <= most;
}

static bool is_string(const struct msgpack_head *head)
{
	return head->kind == MSGPACK_STR || head->kind == MSGPACK_BIN;
}

static int read_integers(struct reading *reading, uint64_t count)
{
	struct envelope_reader *reader = &reading->reader;
	if (reading->quick)
		return 1;
	if (count > envelope_reader_left(reader))
		return fail(reading, "envelope is cut short");
	int r = envelope_reader_widen(reader);
	return r < 0 ? r : envelope_reader_octets(reader, count, NULL);
}

static int read_data(struct reading *reading, const struct msgpack_head *head)
{
	struct envelope_reader *reader = &reading->reader;
	struct bytestorage *e = &reading->envelope;
	e->integers = head->kind == MSGPACK_ARRAY;
	e->data_offset = envelope_reader_at(reader);
	reading->text = head->kind == MSGPACK_STR;
	if (!e->integers && !is_string(head))
		return fail(reading, "envelope's data is not bytes");
	int r = e->integers ? read_integers(reading, head->value) : envelope_reader_skip(reader, head->value);
	e->data_length = envelope_reader_at(reader) - e->data_offset;
	/* It lies within the payload, so it is no more than BYTESTORAGE_MAX. */
	e->compressed = (uint32_t)head->value;
	return r;
}

static int read_checksum(struct reading *reading, const struct msgpack_head *head)
{
	struct envelope_reader *reader = &reading->reader;
	uint8_t *checksum = reading->envelope.checksum;
	const size_t size = sizeof reading->envelope.checksum;
	if (head->kind == MSGPACK_ARRAY && head->value == size)
		return envelope_reader_octets(reader, size, checksum);
	if (head->kind != MSGPACK_BIN || head->value < size)
		return fail(reading, "envelope's checksum is not of 8 bytes");
	int r = envelope_reader_take(reader, checksum, size);
	return r < 0 ? r : envelope_reader_skip(reader, head->value - size);
}

static int read_original(struct reading *reading, const struct msgpack_head *head)
{
	if (!is_integer(head, UINT32_MAX))
		return fail(reading, "envelope's original size is not a 32-bit number");
	reading->envelope.original = reading->envelope.room = (uint32_t)head->value;
	return 0;
}

static int read_format(struct reading *reading, const struct msgpack_head *head)
{
	struct envelope_reader *reader = &reading->reader;
	char *format = reading->envelope.format;
	if (!is_string(head))
		return fail(reading, "envelope's format is not a string");
	if (head->value > sizeof reader->small && reading->quick)
		return 1;
	bool shown = head->value <= BYTESTORAGE_FORMAT_MAX;
	int r = envelope_reader_text(reader, head->value, shown ? format : NULL);
	if (shown && memchr(format, 0, (size_t)head->value))
		format[0] = 0;
	return r;
}

static int read_field(struct reading *reading, enum field field)
{
	struct msgpack_head head;
	int r = envelope_reader_head(&reading->reader, &head);
	if (r < 0)
		return r;
	switch (field) {
	case FIELD_DATA:
		return read_data(reading, &head);
	case FIELD_CHECKSUM:
		return read_checksum(reading, &head);
	case FIELD_ORIGINAL:
		return read_original(reading, &head);
	default:
		return read_format(reading, &head);
	}
}

/* Which of the four a map's name means; FIELDS: another one. */
static int read_name(struct reading *reading, enum field *ret)
{
	static const char *const names[FIELDS] = {"compressed_data", "checksum", "original_size", "format"};
	struct envelope_reader *reader = &reading->reader;
	struct msgpack_head head;
	char name[16];
	int r = envelope_reader_head(reader, &head);
	if (r < 0)
		return r;
	*ret = FIELDS;
	if (head.kind == MSGPACK_UINT) {
		*ret = head.value < FIELDS ? (enum field)head.value : FIELDS;
		return 0;
	}
	if (!is_string(&head))
		return fail(reading, "envelope is a map with a name that is not valid");
	if (head.value >= sizeof name)
		return envelope_reader_skip(reader, head.value);
	r = envelope_reader_take(reader, name, (size_t)head.value);
	for (unsigned i = 0; i < FIELDS && r == 0; i++)
		if (head.value == strlen(names[i]) && memcmp(name, names[i], (size_t)head.value) == 0)
			*ret = (enum field)i;
	return r;
}

/* Moves past a value that the map holds beside the four. */
static int skip_value(struct reading *reading)
{
	struct envelope_reader *reader = &reading->reader;
	struct msgpack_head head;
	uint64_t outer[LEVELS], left = 1;
	unsigned level = 1;
	do {
		int r = envelope_reader_head(reader, &head);
		if (r < 0)
			return r;
		left--;
		bool container = head.kind == MSGPACK_ARRAY || head.kind == MSGPACK_MAP;
		if ((container || head.kind == MSGPACK_EXT) && level == LEVELS)
			return fail(reading, "envelope is nested too deep");
		if (container) {
			outer[level++] = left;
			left = head.kind == MSGPACK_MAP ? 2 * head.value : head.value;
		} else if (is_string(&head) || head.kind == MSGPACK_EXT) {
			r = envelope_reader_skip(reader, head.value);
			if (r < 0)
				return r;
		}
		while (left == 0 && level > 1)
			left = outer[--level];
	} while (left > 0);
	return 0;
}

static int read_map(struct reading *reading, uint64_t count)
{
	unsigned seen = 0;
	for (; count > 0; count--) {
		enum field field;
		int r = read_name(reading, &field);
		if (r < 0)
			return r;
		if (field == FIELDS) {
			r = reading->quick ? 1 : envelope_reader_widen(&reading->reader);
			if (r == 0)
				r = skip_value(reading);
		} else if (seen & 1u << field) {
			return fail(reading, "envelope is a map with one of its names twice");
		} else {
			seen |= 1u << field;
			r = read_field(reading, field);
		}
		if (r != 0)
			return r;
	}
	return seen == (1u << FIELDS) - 1 ? 0 : fail(reading, "envelope is a map with one of its names missing");
}

static int read_envelope(struct reading *reading)
{
	struct msgpack_head head;
	int r = envelope_reader_head(&reading->reader, &head);
	if (r < 0)
		return r;
	if (head.kind == MSGPACK_MAP) {
		r = read_map(reading, head.value);
	} else if (head.kind == MSGPACK_ARRAY && head.value == FIELDS) {
		for (unsigned field = 0; field < FIELDS && r == 0; field++)
			r = read_field(reading, (enum field)field);
	} else {
		return fail(reading, "not an envelope: neither an array of four nor a map");
	}
	reading->envelope.strict = head.kind == MSGPACK_ARRAY && !reading->text && envelope_reader_left(&reading->reader) == 0;
	return r;
}

static const char *over_limit(const struct bytestorage *envelope)
{
	if (envelope->original > BYTESTORAGE_MAX)
		return "document is over 512 MiB";
	if (envelope->compressed == 0)
		return "envelope has no compressed bytes, but claims a document";
	if (envelope->original > (uint64_t)BYTESTORAGE_RATIO_MAX * envelope->compressed)
		return "document is over 1000 times its compressed size";
	return NULL;
}

static void reading_done(struct reading *reading)
{
	envelope_reader_done(&reading->reader);
}

int bytestorage_read(const struct slice *payload, bool quick, const atomic_bool *cancel, struct bytestorage *ret,
	const char **ret_reason)
{
	if (payload->length > BYTESTORAGE_MAX) {
		*ret_reason = "envelope is over 512 MiB";
		return -EFBIG;
	}
	cleanup_with(reading_done) struct reading reading;
	envelope_reader_init(&reading.reader, payload, 0, cancel);
	reading.quick = quick;
	reading.text = false;
	reading.envelope = (struct bytestorage){0};
	int r = read_envelope(&reading);
	if (r == -EUCLEAN)
		*ret_reason = reading.reader.reason;
	if (r != 0)
		return r;
	const char *reason = over_limit(&reading.envelope);
	if (reason) {
		*ret_reason = reason;
		return -EFBIG;
	}
	*ret = reading.envelope;
	return 0;
}
