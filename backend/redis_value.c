#include "redis_value.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"

#include <errno.h>
#include <stdlib.h>

/* So many bytes of a value are hashed while they are still at hand. */
#define PIECE ((size_t)256 << 10)

/* Of a string that is read whole into plain memory. */
static int read_small(struct redis_connection *c, size_t n, struct slice *ret)
{
	struct storage *storage;
	cleanup_free uint8_t *memory = malloc(n ? n : 1);
	if (!memory)
		return -ENOMEM;
	int r = connection_read(c, memory, n);
	if (r == 0)
		r = connection_string_end(c);
	if (r == 0)
		r = storage_new_memory(memory, &storage);
	if (r < 0)
		return r;
	memory = NULL;
	slice_new(storage, 0, n, ret);
	storage_unref(storage);
	return 0;
}

/* n bytes from the socket to where they stay, and their hash. */
static int read_hashed(struct redis_connection *c, const struct redis_backend *b, uint8_t *to, uint64_t n, XXH128_hash_t *ret)
{
	XXH3_state_t *state = XXH3_createState();
	if (!state)
		return -ENOMEM;
	XXH3_128bits_reset_withSeed(state, b->seed);
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < n;) {
		size_t piece = n - at < PIECE ? (size_t)(n - at) : PIECE;
		r = connection_read(c, to + at, piece);
		if (r == 0)
			XXH3_128bits_update(state, to + at, piece);
		at += piece;
	}
	*ret = XXH3_128bits_digest(state);
	XXH3_freeState(state);
	return r;
}

static int read_large(struct redis_connection *c, struct look *look, uint64_t n)
{
	struct spool_writer writer;
	int r = spool_begin(look->spool, n, false, &writer);
	if (r < 0)
		return r;
	r = read_hashed(c, look->b, writer.sink.p, n, &look->content);
	if (r == 0)
		r = connection_string_end(c);
	if (r < 0) {
		spool_abort(&writer);
		return r;
	}
	writer.sink.p += n;
	return spool_end(&writer, &look->value);
}

static void hash_small(struct look *look)
{
	look->content = redis_hash(look->b, look->size ? slice_memory(&look->value) : NULL, (size_t)look->size);
}

static int read_value(struct redis_connection *c, struct look *look)
{
	int64_t n = 0;
	int r = connection_string(c, REPLY_STRING_MAX, &n);
	if (r == 0 && n < 0)
		r = -ENOENT;
	if (r == 0)
		r = n <= REDIS_SMALL ? read_small(c, (size_t)n, &look->value) : read_large(c, look, (uint64_t)n);
	if (r < 0)
		return r;
	look->size = (uint64_t)n;
	look->whole = true;
	if (n <= REDIS_SMALL)
		hash_small(look);
	return 0;
}

static int read_head(struct redis_connection *c, struct look *look)
{
	int64_t size = 0, n = 0;
	int r = connection_integer(c, &size);
	if (c->broken)
		return r;
	int second = connection_string(c, REDIS_SMALL + 1, &n);
	if (second == 0 && n >= 0)
		second = read_small(c, (size_t)n, &look->value);
	if (r < 0 || second < 0)
		return second < 0 && second != -EPROTOTYPE ? second : r;
	/* GETRANGE is one command: what it does not fill is all there is. */
	look->whole = n <= REDIS_SMALL;
	look->size = look->whole ? (uint64_t)n : (uint64_t)size;
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
	unsigned count = redis_put_expiry(look->b, c, &look->name);
	int r = connection_send(c);
	if (r < 0)
		return r;
	r = all ? read_value(c, look) : read_head(c, look);
	/* What is left unread of a string costs the connection. */
	if (c->broken || c->string_owed)
		return r;
	int second = redis_read_expiry(look->b, c, count, asked, &look->expiry);
	return r < 0 ? r : second;
}

int redis_look(struct redis_connection *c, void *arg)
{
	struct look *look = arg;
	slice_done(&look->value); /* of a try before */
	look->round = connection_announced(c);
	look->change = changes_of(&look->b->changes, look->announced, NULL);
	int r = ask(c, look, look->all || look->round == 0);
	if (r < 0)
		slice_done(&look->value);
	/* No string: nothing that a cache has stored. */
	return r == -EPROTOTYPE ? -ENOENT : r == -ENOSYS ? -EIO : r;
}
