#include "nested.h"

#include <errno.h>

#define DEPTH_MAX 8

/* Elements of all arrays of one reply that is of no interest. */
#define SKIPPED_MAX 65536

/* Bytes of a string that is of no interest. */
#define STRING_MAX (1 << 20)

static int skip_string(struct redis_connection *c, int64_t n)
{
	int r = n > STRING_MAX ? -EIO : connection_skip(c, (uint64_t)n);
	return r < 0 ? r : connection_string_end(c);
}

static int skip(struct redis_connection *c, unsigned depth, int64_t *left)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	if (r < 0 || (reply.kind != REPLY_STRING && reply.kind != REPLY_ARRAY))
		return r;
	if (reply.kind == REPLY_STRING)
		return skip_string(c, reply.number);
	*left -= reply.number;
	if (depth == DEPTH_MAX || *left < 0)
		return -EIO;
	for (int64_t i = 0; r == 0 && i < reply.number; i++)
		r = skip(c, depth + 1, left);
	return r;
}

int nested_skip(struct redis_connection *c)
{
	int64_t left = SKIPPED_MAX;
	return skip(c, 0, &left);
}

int nested_skip_rest(struct redis_connection *c, int64_t count)
{
	int r = 0;
	for (int64_t i = 0; r == 0 && i < count; i++)
		r = nested_skip(c);
	return r;
}

int nested_text(struct redis_connection *c, char *ret, size_t size)
{
	struct reply reply = {0};
	int r = connection_head(c, &reply);
	ret[0] = '\0';
	if (r == 0 && reply.kind == REPLY_ARRAY)
		return nested_skip_rest(c, reply.number);
	if (r < 0 || reply.kind != REPLY_STRING)
		return r;
	if ((uint64_t)reply.number >= size)
		return skip_string(c, reply.number);
	r = connection_read(c, ret, (size_t)reply.number);
	ret[r == 0 ? reply.number : 0] = '\0';
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0 && strlen(ret) != (size_t)reply.number)
		ret[0] = '\0';
	return r;
}
