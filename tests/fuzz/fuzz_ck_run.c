/*
 * What `ck run` stores becomes one whole MessagePack document that ends in the output, or is refused.
 *
 * Input: a byte, odd for a failure, then what is stored.
 */
#include "ckfs/ck_run.h"
#include "ckfs/msgpack.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static int no_more(struct sink *sink, size_t n)
{
	(void)sink;
	(void)n;
	return -ENOSPC;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool failure = size > 0 && data[0] % 2;
	const size_t n = size > 0 ? size - 1 : 0;
	/* Memory of its own: reading over the end is seen. */
	uint8_t *bytes = calloc(1, n ? n : 1), *room = malloc(n + 1024);
	struct sink sink = {.p = room, .end = room + n + 1024, .more = no_more}, none = {.p = room, .end = room, .more = no_more};
	const char *reason = NULL;
	CHECK(bytes && room);
	if (n > 0)
		memcpy(bytes, data + 1, n);
	int r = ck_run_to_msgpack(failure, bytes, n, &sink, &reason);
	CHECK(r == ((failure ? n == 16 : n >= 8) ? 0 : -EUCLEAN) && (r == 0) == (reason == NULL));
	CHECK(ck_run_to_msgpack(failure, bytes, n, &none, &reason) == (r == 0 ? -ENOSPC : r));
	if (r == 0) {
		const size_t made = (size_t)(sink.p - room);
		CHECK(msgpack_walk(room, made, NULL, &reason) == 0);
		CHECK(failure || memcmp(room + made - (n - 8), bytes + 8, n - 8) == 0);
	}
	free(room);
	free(bytes);
	return 0;
}
