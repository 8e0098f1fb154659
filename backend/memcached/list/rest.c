#include "rest.h"

#include "backend/memcached/wire/reply.h"

#include <errno.h>
#include <string.h>

/* Content of the spool that grows begins so large. */
#define REST_BYTES ((uint64_t)1 << 20)

int rest_put(struct rest *rest, struct spool *spool, struct stream *stream, size_t most)
{
	size_t n;
	const uint8_t *p = stream_peek(stream, &n);
	int r = 0;
	n = n < most ? n : most;
	if (n == 0)
		return 0;
	if (!rest->has) {
		r = spool_begin_growing(spool, REST_BYTES, false, &rest->text);
		rest->has = r == 0;
		rest->at = 0;
	}
	if (r == 0)
		r = spool_write(&rest->text, p, n);
	if (r == 0)
		stream_take(stream, n);
	return r;
}

/* Moves the end of the last line there. 0, -errno. */
static int complete(struct rest *rest, struct spool *spool, struct stream *stream, const atomic_bool *cancel)
{
	size_t n;
	const uint8_t *p = stream_peek(stream, &n), *end;
	int r = n ? 0 : stream_fill_unless(stream, cancel);
	if (r < 0)
		return r;
	p = stream_peek(stream, &n);
	end = memchr(p, '\n', n);
	return rest_put(rest, spool, stream, end ? (size_t)(end - p) + 1 : n);
}

int rest_line(struct rest *rest, struct spool *spool, struct stream *stream, const atomic_bool *cancel, const char **ret, size_t *ret_length)
{
	while (rest->has && rest->at < spool_length(&rest->text)) {
		const uint8_t *p = spool_bytes(&rest->text) + rest->at;
		const size_t left = (size_t)(spool_length(&rest->text) - rest->at);
		const uint8_t *end = memchr(p, '\n', left < MC_LINE_MAX ? left : MC_LINE_MAX);
		if (end) {
			rest->at += (size_t)(end - p) + 1;
			*ret = (const char *)p;
			*ret_length = (size_t)(end - p);
			return 1;
		}
		int r = left >= MC_LINE_MAX ? -EIO : complete(rest, spool, stream, cancel);
		if (r < 0)
			return r;
	}
	rest_drop(rest);
	return 0;
}

void rest_drop(struct rest *rest)
{
	if (rest->has)
		spool_abort(&rest->text);
	rest->has = false;
}
