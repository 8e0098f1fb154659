/*
 * What a line of a dump tells can be written back as such a line, and reads the same.
 *
 * Input: one line, without its end.
 */
#include "backend/memcached/wire/reply.h"
#include "fuzz.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static size_t write_item(const struct mc_item *item, char *to)
{
	char *p = to + sprintf(to, "key=");
	for (size_t i = 0; i < item->length; i++) {
		const unsigned char c = (unsigned char)item->key[i];
		p += isalnum(c) && c < 0x80 ? sprintf(p, "%c", c) : sprintf(p, "%%%02X", c);
	}
	return (size_t)(p + sprintf(p, " exp=-1 la=1 cas=2 fetch=no cls=1 size=%" PRIu64, item->size) - to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mc_item item = {.length = 77}, again;
	enum mc_dump_kind kind = MC_DUMP_OK, kind_again;
	char text[3 * MEMCACHED_KEY_MAX + 128];
	/* A copy of its own: what reads on is seen by the sanitizer. */
	char *copy = malloc(size ? size : 1);
	CHECK(copy);
	memcpy(copy, data, size);
	int r = mc_dump_read(copy, size, &kind, &item);
	CHECK(r == 0 || r == -EIO);
	CHECK((r == 0 && kind == MC_ITEM) || item.length == 77);
	if (r == 0 && kind == MC_ITEM) {
		CHECK(item.length > 0 && item.length <= MEMCACHED_KEY_MAX && item.size <= INT64_MAX);
		CHECK(mc_dump_read(text, write_item(&item, text), &kind_again, &again) == 0 && kind_again == MC_ITEM);
		CHECK(again.length == item.length && again.size == item.size && memcmp(again.key, item.key, item.length) == 0);
	}
	/* No error is taken for an end, nor the other way round. */
	CHECK(r < 0 || kind != MC_DUMP_END || (size == 3 && memcmp(data, "END", 3) == 0));
	CHECK(r < 0 || kind != MC_DUMP_ERROR || mc_errno(copy, size) < 0);
	CHECK(mc_errno(copy, size) != -ENOENT);
	free(copy);
	return 0;
}
