/*
 * Connections to a toy store, over which lines go, and values behind some of them:
 *
 *   GET key LF    LEN n LF and n bytes, or NONE LF
 *   KEYS LF       COUNT n LF and n lines, each a key, or NONE LF: it tells nobody
 *   SET key n LF and n bytes, DEL key LF, EXPIRE key seconds LF    OK LF, or NONE LF
 */
#include "connection.h"

#include "ckfs/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_one(struct pool *pool, struct pooled **ret, struct error *error)
{
	struct toy *toy = (struct toy *)((char *)pool - offsetof(struct toy, pool));
	struct connection *c = malloc(sizeof *c);
	if (!c)
		return error_set(error, -ENOMEM, "no memory");
	c->pooled = (struct pooled){0};
	c->owes = false;
	int r = stream_open(&c->stream, &toy->server, pool->timeout_ms, pool->stop, error);
	if (r < 0) {
		stream_close(&c->stream);
		free(c);
		return r;
	}
	*ret = &c->pooled;
	return 0;
}

static void close_one(struct pooled *pooled)
{
	struct connection *c = (struct connection *)pooled;
	if (c)
		stream_close(&c->stream);
	free(c);
}

static bool is_clean(const struct pooled *pooled)
{
	const struct connection *c = (const struct connection *)pooled;
	return !c->owes && stream_is_clean(&c->stream);
}

static void lend(struct pooled *pooled, const atomic_bool *cancel, atomic_uint_least64_t *progress)
{
	struct connection *c = (struct connection *)pooled;
	stream_set_cancel(&c->stream, cancel);
	c->stream.progress = progress;
}

const struct pool_ops toy_pool_ops = {.open = open_one, .close = close_one, .is_clean = is_clean, .lend = lend};

int toy_read_line(struct stream *s, char ret[static LINE_MAX_BYTES])
{
	size_t n;
	const uint8_t *p = stream_peek(s, &n), *end;
	while (!(end = memchr(p, '\n', n))) {
		int r = n >= LINE_MAX_BYTES ? stream_fail(s, -EIO) : stream_fill(s);
		if (r < 0)
			return r;
		p = stream_peek(s, &n);
	}
	n = (size_t)(end - p);
	if (n >= LINE_MAX_BYTES)
		return stream_fail(s, -EIO);
	memcpy(ret, p, n);
	ret[n] = '\0';
	stream_take(s, n + 1);
	return 0;
}

int toy_read_number(struct stream *s, const char *format, unsigned long long *ret)
{
	char line[LINE_MAX_BYTES];
	int r = toy_read_line(s, line);
	if (r < 0)
		return r;
	if (strcmp(line, "NONE") == 0)
		return -ENOENT;
	return sscanf(line, format, ret) == 1 ? 0 : stream_fail(s, -EIO);
}
