/*
 * A reply's head means the same however it arrives, and what it means can be written back.
 *
 * For any bytes: as long as the head is not whole more is asked for, from then on the answer stays the same whatever follows,
 * and so does a refusal. What was read lies inside the bytes, within its limits, and written in the usual form it reads the same.
 *
 * Input: what a server sends.
 */
#include "backend/redis/wire/reply.h"
#include "fuzz.h"

#include <errno.h>
#include <inttypes.h>

static bool same(const struct reply *a, const struct reply *b)
{
	return a->kind == b->kind && a->number == b->number && a->text.left == b->text.left &&
		(a->text.left == 0 || memcmp(a->text.p, b->text.p, a->text.left) == 0);
}

static void check_limits(const struct reply *reply, const uint8_t *data, int used)
{
	CHECK(used >= 3 && used <= REPLY_HEAD_MAX && memcmp(data + used - 2, "\r\n", 2) == 0);
	switch (reply->kind) {
	case REPLY_STATUS:
	case REPLY_ERROR:
		CHECK(reply->text.p == data + 1 && reply->text.left == (size_t)used - 3 && reply->number == 0);
		CHECK(reply_errno(&reply->text) < 0 && reply_errno(&reply->text) != -ENOENT);
		break;
	case REPLY_STRING:
		CHECK(reply->number >= 0 && reply->number <= REPLY_STRING_MAX);
		break;
	case REPLY_ARRAY:
	case REPLY_PUSH:
		CHECK(reply->number >= 0 && reply->number <= REPLY_ARRAY_MAX);
		break;
	default:
		CHECK(reply->text.left == 0);
	}
}

static void check_written(const struct reply *reply)
{
	static const char types[] = {[REPLY_INTEGER] = ':', [REPLY_STRING] = '$', [REPLY_ARRAY] = '*', [REPLY_PUSH] = '>'};
	char text[32];
	struct reply again;
	if (reply->kind == REPLY_STATUS || reply->kind == REPLY_ERROR)
		return;
	int n = reply->kind == REPLY_NIL       ? snprintf(text, sizeof text, "$-1\r\n")
		: reply->kind == REPLY_NOTHING ? snprintf(text, sizeof text, "*-1\r\n")
					       : snprintf(text, sizeof text, "%c%" PRId64 "\r\n", types[reply->kind], reply->number);
	CHECK(reply_read(text, (size_t)n, &again) == n && same(reply, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply first = {.number = 77}, reply;
	int answer = 0;
	for (size_t n = 0; n <= size && n <= REPLY_HEAD_MAX + 8; n++) {
		/* A copy that ends with what has arrived: what reads on is seen by the sanitizer. */
		uint8_t *copy = malloc(n ? n : 1);
		CHECK(copy);
		memcpy(copy, data, n);
		reply = (struct reply){.number = 77};
		int r = reply_read(copy, n, &reply);
		CHECK(r == 0 || r == -EIO || (r > 0 && (size_t)r <= n));
		CHECK(answer == 0 || r == answer);
		CHECK(r > 0 || reply.number == 77);
		if (r > 0) {
			check_limits(&reply, copy, r);
			check_written(&reply);
		}
		if (answer == 0 && r > 0) {
			CHECK((size_t)r == n);
			first = (struct reply){.kind = reply.kind, .number = reply.number, .text = {data + 1, reply.text.left}};
		}
		CHECK(r <= 0 || same(&first, &reply));
		answer = r;
		free(copy);
		/* Nothing changes any more; a few more bytes show that. */
		if (answer != 0 && n > (size_t)(answer > 0 ? answer : 0) + 16)
			break;
	}
	return 0;
}
