#include "value.h"
#include "version_rules.h"

#include "backend/remote/receive.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>

static int read_some(void *from, void *to, size_t n)
{
	return connection_read(from, to, n);
}

/* A string whose head was read, all of it. `ret_hash`: NULL: nobody wants it. */
static int read_string(struct redis_connection *c, const struct look *look, uint64_t n, XXH128_hash_t *ret_hash, struct slice *ret)
{
	cleanup_slice struct slice value = {0};
	int r = receive_value(&(struct receive){.read = read_some, .from = c, .spool = look->spool, .seed = look->b->seed}, n, ret_hash, &value);
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		*ret = slice_steal(&value);
	return r;
}

static void hash_small(struct look *look)
{
	look->content = version_hash(look->b->seed, look->size ? slice_memory(&look->value) : NULL, (size_t)look->size);
}

static int read_value(struct redis_connection *c, struct look *look)
{
	uint64_t n = 0;
	int r = connection_string_or_nil(c, REPLY_STRING_MAX, &n);
	if (r <= 0)
		return r == 0 ? -ENOENT : r;
	r = read_string(c, look, n, &look->content, &look->value);
	if (r < 0)
		return r;
	look->size = n;
	look->whole = true;
	look->torn = false;
	return 0;
}

static int read_head(struct redis_connection *c, struct look *look)
{
	uint64_t size = 0, n = 0;
	int r = connection_length(c, &size);
	if (c->stream.broken)
		return r;
	int second = connection_string(c, REDIS_SMALL + 1, &n);
	if (second == 0)
		second = read_string(c, look, n, NULL, &look->value);
	/* What is no string by now is none, though it was one when its size was asked for; any other error says more than that. */
	if (second < 0 && (r == 0 || second != -EPROTOTYPE))
		return second;
	if (r < 0)
		return r;
	/* GETRANGE is one command: what it does not fill is all there is. */
	look->whole = n <= REDIS_SMALL;
	look->torn = !look->whole && size < n;
	look->size = look->whole ? n : size;
	if (look->whole)
		hash_small(look);
	return 0;
}

static void put_head(struct redis_connection *c, const struct bytes *name)
{
	/* One byte more than is wanted: it tells whether there is more. */
	static const char last[] = "65536";
	_Static_assert(REDIS_SMALL == 65536, "the last byte that is asked for");
	connection_put(c, (const struct bytes[]){bytes_of("STRLEN", 6), *name}, 2);
	connection_put(c, (const struct bytes[]){bytes_of("GETRANGE", 8), *name, bytes_of("0", 1), bytes_of(last, sizeof last - 1)}, 4);
}

static int ask(struct redis_connection *c, struct look *look, bool all)
{
	int64_t asked = clock_ms();
	if (all)
		connection_put(c, (const struct bytes[]){bytes_of("GET", 3), look->name}, 2);
	else
		put_head(c, &look->name);
	unsigned count = redis_put_expiry(c, &look->name);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = all ? read_value(c, look) : read_head(c, look);
	/* What is left unread of a string costs the connection. */
	if (c->stream.broken || c->string_owed)
		return r;
	int second = redis_read_expiry(c, count, asked, &look->expiry);
	return r < 0 ? r : second;
}

void look_done(struct look *look)
{
	slice_done(&look->value);
}

int redis_look(struct redis_connection *c, void *arg)
{
	struct look *look = arg;
	look_done(look); /* of a try before */
	look->round = connection_announced(c);
	look->change = changes_of(&look->b->changes, look->announced, NULL);
	int r = ask(c, look, look->all || look->round == 0);
	if (r < 0)
		look_done(look);
	/* No string: nothing that a cache has stored. */
	return r == -EPROTOTYPE ? -ENOENT : r == -ENOSYS ? -EIO : r;
}
