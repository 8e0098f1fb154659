#include "ckfs/ck_run.h"

#include "ckfs/bytes.h"
#include "ckfs/utf8.h"

#include <errno.h>

/* Heads, names and numbers take no more than this. */
#define ROOM 128

static const char failure_suffix[] = ":neg";

bool ck_run_is_failure(const char *key, size_t length)
{
	const size_t n = strlen(failure_suffix);
	return length >= n && memcmp(key + length - n, failure_suffix, n) == 0;
}

static bool is_utf8(const uint8_t *p, size_t n)
{
	while (n > 0) {
		const unsigned length = utf8_length(p, n);
		if (length == 0)
			return false;
		p += length;
		n -= length;
	}
	return true;
}

/* All of these write where there is room. */

static void put_byte(struct sink *sink, uint8_t byte)
{
	*sink->p++ = byte;
}

/* A head that is followed by a number of so many bytes. */
static void put_number(struct sink *sink, uint8_t head, uint64_t number, unsigned bytes)
{
	put_byte(sink, head);
	while (bytes-- > 0)
		put_byte(sink, (uint8_t)(number >> (8 * bytes)));
}

static void put_name(struct sink *sink, const char *name)
{
	put_byte(sink, (uint8_t)(0xa0 | strlen(name)));
	sink->p = mempcpy(sink->p, name, strlen(name));
}

static int write_output(struct bytes b, struct sink *sink, const char **ret_reason)
{
	uint64_t stored;
	if (!bytes_u64be(&b, &stored) || b.left > UINT32_MAX) {
		*ret_reason = "not what ck run stores: an output has 8 bytes at least";
		return -EUCLEAN;
	}
	int r = sink_room(sink, ROOM + b.left);
	if (r < 0)
		return r;
	put_byte(sink, 0x82);
	put_name(sink, "stored_at_ms");
	put_number(sink, 0xcf, stored, 8);
	put_name(sink, "stdout");
	put_number(sink, is_utf8(b.p, b.left) ? 0xdb : 0xc6, b.left, 4);
	sink->p = mempcpy(sink->p, b.p, b.left);
	return 0;
}

static int write_failure(struct bytes b, struct sink *sink, const char **ret_reason)
{
	uint32_t status, failures;
	uint64_t retry;
	if (!bytes_u32be(&b, &status) || !bytes_u32be(&b, &failures) || !bytes_u64be(&b, &retry) || b.left > 0) {
		*ret_reason = "not what ck run stores: a failure has 16 bytes";
		return -EUCLEAN;
	}
	int r = sink_room(sink, ROOM);
	if (r < 0)
		return r;
	put_byte(sink, 0x83);
	put_name(sink, "exit");
	put_number(sink, 0xd2, status, 4);
	put_name(sink, "failures");
	put_number(sink, 0xce, failures, 4);
	put_name(sink, "retry_at_ms");
	put_number(sink, 0xcf, retry, 8);
	return 0;
}

int ck_run_to_msgpack(bool failure, const uint8_t *bytes, size_t n, struct sink *sink, const char **ret_reason)
{
	return (failure ? write_failure : write_output)(bytes_of(bytes, n), sink, ret_reason);
}
