/*
 * toy://HOST:PORT, a key-value store:
 *
 *   GET key LF    LEN n LF and n bytes, or NONE LF
 *   KEYS LF       COUNT n LF and n lines, each a key, or NONE LF: it tells nobody
 *   SET key n LF and n bytes, DEL key LF, EXPIRE key seconds LF    OK LF, or NONE LF
 */
#include "toy.h"

#include "backend/remote/address.h"
#include "backend/remote/key_prefix.h"
#include "backend/remote/pool.h"
#include "backend/remote/stream.h"

#include "ckfs/buf.h"
#include "ckfs/cleanup.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define PORT 7070

/* Bytes of a value that are read at a time. */
#define PIECE ((size_t)256 << 10)

#define LINE_MAX_BYTES 1024

struct toy {
	struct backend backend;
	struct endpoint server;
	struct pool pool;
	atomic_bool stop;
};

struct connection {
	struct pooled pooled;
	bool owes; /* an answer that was not read to its end */
	struct stream stream;
};

/* --- connections --- */

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

static const struct pool_ops pool_ops = {.open = open_one, .close = close_one, .is_clean = is_clean, .lend = lend};

/* The next line, without its end. 0, -errno. */
static int read_line(struct stream *s, char ret[static LINE_MAX_BYTES])
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

/* The number of a line that begins with a word. 0; -ENOENT NONE; -errno. */
static int read_number(struct stream *s, const char *format, unsigned long long *ret)
{
	char line[LINE_MAX_BYTES];
	int r = read_line(s, line);
	if (r < 0)
		return r;
	if (strcmp(line, "NONE") == 0)
		return -ENOENT;
	return sscanf(line, format, ret) == 1 ? 0 : stream_fail(s, -EIO);
}

/* --- values --- */

struct get {
	const struct backend *backend;
	const struct key *key;
	struct spool *spool;
	struct stored stored;
};

/* n bytes, and their hash, which is the version: it names the key by its bytes. */
static int read_value(struct stream *s, struct get *get, unsigned long long n)
{
	struct spool_writer writer;
	crypto_generichash_state hash;
	int r = spool_begin(get->spool, n, false, &writer);
	if (r < 0)
		return r;
	crypto_generichash_init(&hash, NULL, 0, sizeof get->stored.version.id);
	for (size_t piece; r == 0 && n > 0; n -= piece) {
		piece = n < PIECE ? (size_t)n : PIECE;
		r = sink_room(&writer.sink, piece);
		if (r == 0)
			r = stream_read(s, writer.sink.p, piece);
		if (r == 0)
			crypto_generichash_update(&hash, writer.sink.p, piece);
		writer.sink.p += r == 0 ? piece : 0;
	}
	crypto_generichash_final(&hash, get->stored.version.id, sizeof get->stored.version.id);
	if (r < 0) {
		spool_abort(&writer);
		return r;
	}
	return spool_end(&writer, &get->stored.value);
}

static int ask_value(struct pooled *pooled, void *arg)
{
	struct connection *c = (struct connection *)pooled;
	struct get *get = arg;
	unsigned long long n = 0;
	buf_puts(&c->stream.out, "GET ");
	buf_put(&c->stream.out, get->backend->prefix, get->backend->prefix_length);
	buf_put(&c->stream.out, get->key->text, get->key->length);
	buf_puts(&c->stream.out, "\n");
	c->owes = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = read_number(&c->stream, "LEN %llu", &n);
	if (r == 0)
		r = read_value(&c->stream, get, n);
	c->owes = r < 0 && r != -ENOENT;
	get->stored.size = n;
	return r;
}

static int toy_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
	struct stored *ret)
{
	struct get get = {.backend = backend, .key = key, .spool = spool};
	(void)whole;
	if (memchr(key->text, '\n', key->length))
		return -ENOENT;
	int r = pool_ask(&((struct toy *)backend)->pool, NULL, ask_value, &get, cancel);
	/* A lost connection is no answer. */
	if (r < 0)
		return r == -ECONNRESET ? -EIO : r;
	*ret = get.stored;
	return 0;
}

/* --- changes --- */

struct change {
	const struct backend *backend;
	const struct key *key;
	const char *word;
	const struct slice *value; /* NULL: none */
	int64_t number;            /* -1: none */
};

/* What is sent is a line, and a value behind it. It is answered by one line. */
static int ask_change(struct pooled *pooled, void *arg)
{
	struct connection *c = (struct connection *)pooled;
	const struct change *change = arg;
	char line[LINE_MAX_BYTES];
	buf_printf(&c->stream.out, "%s ", change->word);
	buf_put(&c->stream.out, change->backend->prefix, change->backend->prefix_length);
	buf_put(&c->stream.out, change->key->text, change->key->length);
	if (change->number >= 0)
		buf_printf(&c->stream.out, " %lld", (long long)change->number);
	buf_puts(&c->stream.out, "\n");
	for (uint64_t at = 0; change->value && at < change->value->length;) {
		size_t n = change->value->length - at < sizeof line ? (size_t)(change->value->length - at) : sizeof line;
		int r = slice_read(change->value, at, line, n);
		if (r < 0)
			return stream_fail(&c->stream, r);
		buf_put(&c->stream.out, line, n);
		at += n;
	}
	c->owes = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = read_line(&c->stream, line);
	c->owes = r < 0;
	return r < 0 ? r : strcmp(line, "OK") == 0 ? 0 : strcmp(line, "NONE") == 0 ? -ENOENT : stream_fail(&c->stream, -EIO);
}

static int make(struct backend *backend, const struct change *change, const atomic_bool *cancel)
{
	struct change copy = *change;
	int r = pool_ask(&((struct toy *)backend)->pool, NULL, ask_change, &copy, cancel);
	/* Nobody knows whether it is done. */
	return r == -ECONNRESET ? -ETIMEDOUT : r;
}

static int toy_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	(void)lifetime;
	return make(backend, &(struct change){backend, key, "SET", value, (int64_t)value->length}, cancel);
}

static int toy_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	return make(backend, &(struct change){backend, key, "DEL", NULL, -1}, cancel);
}

static int toy_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	return make(backend, &(struct change){backend, key, "EXPIRE", NULL, expires}, cancel);
}

/* --- listings --- */

struct toy_cursor {
	struct cursor cursor;
	struct toy *toy;
	bool asked;
	struct key *keys;
	size_t count, next;
};

static void drop_keys(struct toy_cursor *c)
{
	for (size_t i = c->next; i < c->count; i++)
		key_done(&c->keys[i]);
	free(c->keys);
	c->keys = NULL;
	c->count = c->next = 0;
}

static int add_key(struct toy_cursor *c, const char *name)
{
	struct key *grown = realloc(c->keys, (c->count + 1) * sizeof *grown);
	if (!grown)
		return -ENOMEM;
	c->keys = grown;
	int r = key_prefix_cut(&c->toy->backend, name, strlen(name), &c->keys[c->count]);
	c->count += r == 1;
	return r < 0 ? r : 0;
}

static int ask_keys(struct pooled *pooled, void *arg)
{
	struct connection *c = (struct connection *)pooled;
	char line[LINE_MAX_BYTES];
	unsigned long long n = 0;
	drop_keys(arg);
	buf_puts(&c->stream.out, "KEYS\n");
	c->owes = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = read_number(&c->stream, "COUNT %llu", &n);
	for (; r == 0 && n > 0; n--) {
		r = read_line(&c->stream, line);
		if (r == 0)
			r = add_key(arg, line);
	}
	c->owes = r < 0;
	return r;
}

static int toy_list(struct backend *backend, struct cursor **ret)
{
	struct toy_cursor *c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->cursor.ops = backend->ops;
	c->toy = (struct toy *)backend;
	*ret = &c->cursor;
	return 0;
}

static int toy_next(struct cursor *cursor, bool value, const atomic_bool *cancel, struct listed *ret)
{
	struct toy_cursor *c = (struct toy_cursor *)cursor;
	struct listed listed = {.unread = false};
	int r = c->asked ? 0 : pool_ask(&c->toy->pool, NULL, ask_keys, c, cancel);
	c->asked = r == 0;
	while (r == 0 && c->next < c->count) {
		int found = value ? toy_find(&c->toy->backend, &c->keys[c->next], true, c->toy->backend.spool, cancel, &listed.stored) : 0;
		if (found < 0 && found != -ENOENT)
			return found;
		listed.key = c->keys[c->next++];
		if (found == 0) {
			*ret = listed;
			return 1;
		}
		key_done(&listed.key);
	}
	return r == -ECONNRESET ? -EIO : r == -ENOENT ? -EOPNOTSUPP : r;
}

static void toy_list_end(struct cursor *cursor)
{
	drop_keys((struct toy_cursor *)cursor);
	free(cursor);
}

/* --- the backend --- */

static void toy_close(struct backend *backend)
{
	struct toy *toy = (struct toy *)backend;
	pool_done(&toy->pool);
	endpoint_done(&toy->server);
	free(toy->backend.prefix);
	free(toy);
}

static void toy_stop(struct backend *backend)
{
	atomic_store(&((struct toy *)backend)->stop, true);
}

/* Says so if there is no server. */
static int try_once(struct toy *toy, struct error *error)
{
	struct pooled *first = NULL;
	int r = open_one(&toy->pool, &first, error);
	close_one(first);
	return r;
}

static int toy_open(const char *scheme, const char *location, const struct options *options, struct backend **ret, char **ret_source,
	struct error *error)
{
	const bool listed = strcmp(scheme, "toy") == 0;
	struct toy *toy = calloc(1, sizeof *toy);
	cleanup_free char *source = malloc(strlen(scheme) + strlen(location) + sizeof "://");
	if (!toy || !source) {
		free(toy);
		return error_set(error, -ENOMEM, "no memory");
	}
	sprintf(source, "%s://%s", scheme, location);
	toy->backend.ops = listed ? &toy_backend : &toy_unlisted_backend;
	int r = host_read((struct part){location, strlen(location)}, "toy://", PORT, &toy->server.host, &toy->server.port, error);
	pool_init(&toy->pool, &pool_ops, toy->server.host, (int)(options->timeout * 1000), &toy->stop, NULL);
	if (r == 0 && key_prefix_make(options, &toy->backend) < 0)
		r = error_set(error, -ENOMEM, "no memory");
	if (r == 0)
		r = try_once(toy, error);
	if (r < 0) {
		toy_close(&toy->backend);
		return r;
	}
	*ret = &toy->backend;
	*ret_source = steal(source);
	return 0;
}

const struct backend_ops toy_backend = {
	.name = "toy",
	.title = "toy store",
	.schemes = (const char *const[]){"toy", NULL},
	.mounts = "toys (toy://HOST)",
	.forms = (const char *const[]){"toy://HOST", NULL},
	.variable = "CACHEKIT_TOY",
	.stores_keys = true,
	.remote = true,
	.open = toy_open,
	.close = toy_close,
	.find = toy_find,
	.list = toy_list,
	.next = toy_next,
	.list_end = toy_list_end,
	.stop = toy_stop,
	.put = toy_put,
	.remove = toy_remove,
	.expire = toy_expire,
};

const struct backend_ops toy_unlisted_backend = {
	.name = "toy-unlisted",
	.title = "toy store without listings",
	.schemes = (const char *const[]){"toy-unlisted", NULL},
	.mounts = "toys that nobody lists (toy-unlisted://HOST)",
	.forms = (const char *const[]){"toy-unlisted://HOST", NULL},
	.stores_keys = true,
	.remote = true,
	.open = toy_open,
	.close = toy_close,
	.find = toy_find,
	.stop = toy_stop,
};
