/*
 * What a reply to a meta command tells can be written back, and reads the same. A line of statistics is read within its bounds.
 *
 * Input: one line, without its end.
 */
#include "backend/memcached/wire/reply.h"
#include "fuzz.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void check_written(const struct mc_reply *reply)
{
	char text[200];
	struct mc_reply again;
	const char *const words[] = {[MC_VALUE] = "VA", [MC_HEAD] = "HD", [MC_MISS] = "EN", [MC_CHANGED] = "EX"};
	int n = reply->kind == MC_VALUE ? sprintf(text, "VA %" PRIu64, reply->size) : sprintf(text, "%s", words[reply->kind]);
	n += reply->kind == MC_HEAD && reply->has_size ? sprintf(text + n, " s%" PRIu64, reply->size) : 0;
	n += sprintf(text + n, " t%" PRId64 " c%" PRIu64 " f%" PRIu32 " O%" PRIu64, reply->ttl, reply->cas, reply->flags, reply->opaque);
	CHECK(mc_reply_read(text, (size_t)n, &again) == 0);
	CHECK(again.kind == reply->kind && again.ttl == reply->ttl && again.cas == reply->cas && again.flags == reply->flags);
	CHECK(again.opaque == reply->opaque && again.has_size == (reply->has_size && reply->kind != MC_MISS));
	CHECK(reply->kind == MC_MISS || again.size == reply->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mc_reply reply = {.opaque = 77};
	struct bytes name, value;
	char *copy = malloc(size ? size : 1);
	CHECK(copy);
	memcpy(copy, data, size);
	int r = mc_reply_read(copy, size, &reply);
	CHECK(r == 0 || (r == -EIO && reply.opaque == 77));
	if (r == 0 && reply.kind == MC_ERROR)
		CHECK(mc_errno(copy, size) < 0 && mc_errno(copy, size) != -ENOENT);
	if (r == 0 && reply.kind != MC_ERROR) {
		CHECK(reply.size <= MC_VALUE_MAX && reply.ttl >= -1);
		check_written(&reply);
	}
	if (mc_stat_read(copy, size, &name, &value)) {
		uint64_t number = 77;
		CHECK(name.left > 0 && name.p >= (uint8_t *)copy && value.left <= size && name.left + value.left < size);
		CHECK(mc_number(value, &number) || number == 77);
	}
	free(copy);
	return 0;
}
