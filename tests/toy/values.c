/* Values of a toy store: they are found, and changed. */
#include "connection.h"

#include "ckfs/buf.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Bytes of a value that are read at a time. */
#define PIECE ((size_t)256 << 10)

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
		r = toy_read_number(&c->stream, "LEN %llu", &n);
	if (r == 0)
		r = read_value(&c->stream, get, n);
	c->owes = r < 0 && r != -ENOENT;
	get->stored.size = n;
	return r;
}

int toy_find(struct backend *backend, const struct key *key, bool whole, struct spool *spool, const atomic_bool *cancel,
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
		r = toy_read_line(&c->stream, line);
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

int toy_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	(void)lifetime;
	return make(backend, &(struct change){backend, key, "SET", value, (int64_t)value->length}, cancel);
}

int toy_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	return make(backend, &(struct change){backend, key, "DEL", NULL, -1}, cancel);
}

int toy_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	return make(backend, &(struct change){backend, key, "EXPIRE", NULL, expires}, cancel);
}
