/*
 * When a key expires. PTTL tells how long it is, by no clock but the server's own; PEXPIRETIME, where the server knows it,
 * the exact time, which is the same at every look. The two clocks may differ: then what PTTL says counts, from when the answer began.
 */
#include "expiry.h"

#include "ckfs/clock.h"

#include <errno.h>

/* Clocks that differ by less show the server's own time. */
#define SKEW_MS 1000

unsigned redis_put_expiry(struct redis_connection *c, const struct bytes *name)
{
	connection_put(c, (const struct bytes[]){bytes_of("PTTL", 4), *name}, 2);
	if (c->lacks_expiretime)
		return 1;
	connection_put(c, (const struct bytes[]){bytes_of("PEXPIRETIME", 11), *name}, 2);
	return 2;
}

static int64_t realtime_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int redis_read_left(struct redis_connection *c, int64_t *ret)
{
	int64_t left = 0;
	int r = connection_integer(c, &left);
	/* Nobody knows what less would mean, least of all that there is no such key. */
	if (r == 0 && left < -2)
		r = stream_fail(&c->stream, -EIO);
	if (r == 0)
		*ret = left;
	return r;
}

/* What the server's number of milliseconds that are left means. 0, -ENOENT. */
static int expiry_of(int64_t left, int64_t at, int64_t asked_ms, int64_t answered_ms, struct expiry *ret)
{
	if (left == -1) {
		*ret = (struct expiry){.expires = 0, .deadline = INT64_MAX};
		return 0;
	}
	if (left <= 0)
		return -ENOENT;
	/* Times beyond what a clock can tell are never. */
	if (left > INT64_MAX / 4) {
		*ret = (struct expiry){.expires = 0, .deadline = INT64_MAX};
		return 0;
	}
	int64_t now = clock_ms(), latest = realtime_ms() + left;
	/* The server said it before a large value in front of it, which may take seconds, began to arrive. */
	int64_t expires = latest - (now - (answered_ms > asked_ms ? answered_ms : asked_ms));
	if (at > latest - (now - asked_ms) - SKEW_MS && at < latest + SKEW_MS)
		expires = at;
	*ret = (struct expiry){.expires = expires / 1000, .deadline = asked_ms + left};
	return 0;
}

int redis_read_expiry(struct redis_connection *c, unsigned count, int64_t asked_ms, struct expiry *ret)
{
	int64_t left = 0, at = -1;
	int r = redis_read_left(c, &left);
	if (count == 2 && !c->stream.broken) {
		int second = connection_integer(c, &at);
		if (second == -ENOSYS)
			c->lacks_expiretime = true;
		if (c->stream.broken)
			r = second;
	}
	return r < 0 ? r : expiry_of(left, at, asked_ms, c->stream.answered_ms, ret);
}
