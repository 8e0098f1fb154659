/*
 * Whatever a key is, what tells applications of it are at most two events, which the SDK takes: a MessagePack map of the function, and of the key unless
 * that is too long, with nothing behind it.
 *
 * Input: the key.
 */
#include "backend/redis/value/invalidation.h"
#include "fuzz.h"

#include "ckfs/bytes.h"

#include <string.h>

/* The SDK drops what is longer. */
#define FIELD_MAX 1024
#define EVENT_MAX 4096

#define HEX 16

static struct bytes take_text(struct bytes *b)
{
	uint8_t mark;
	uint16_t n;
	const uint8_t *p;
	CHECK(bytes_u8(b, &mark) && mark == 0xda && bytes_u16be(b, &n) && n <= FIELD_MAX && bytes_take(b, n, &p));
	return bytes_of(p, n);
}

static void check_event(const struct buf *event, const uint8_t *key, size_t n)
{
	static const char begins[] = "ck:reg:";
	struct bytes b = bytes_of(event->p, event->length);
	const bool has_key = bytes_match(&b, "\x82", 1);
	CHECK(event->length <= EVENT_MAX && (has_key || bytes_match(&b, "\x81", 1)) && bytes_match(&b, "\xa1r", 2));
	struct bytes function = take_text(&b);
	CHECK(function.left > HEX && function.p[function.left - HEX - 1] == ':' && bytes_match(&function, begins, sizeof begins - 1));
	for (size_t i = function.left - HEX; i < function.left; i++)
		CHECK(function.p[i] && strchr("0123456789abcdef", function.p[i]));
	if (has_key) {
		CHECK(bytes_match(&b, "\xa1k", 2));
		struct bytes told = take_text(&b);
		CHECK(told.left > 0 && told.left <= n && memcmp(told.p, key + n - told.left, told.left) == 0);
	} else {
		CHECK(n > FIELD_MAX);
	}
	CHECK(b.left == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct invalidation told;
	/* Without a byte behind it. */
	uint8_t *copy = malloc(size ? size : 1);
	CHECK(copy);
	if (size)
		memcpy(copy, data, size);
	const struct key key = {.text = (char *)copy, .length = size};
	CHECK(invalidation_of(&key, &told) == 0 && told.count <= INVALIDATION_EVENTS);
	for (unsigned i = 0; i < told.count; i++)
		check_event(&told.events[i], copy, size);
	invalidation_done(&told);
	CHECK(told.count == 0);
	free(copy);
	return 0;
}
