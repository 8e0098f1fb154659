/*
 * Changes of what a server stores, one command each: SET, which keeps an expiry (KEEPTTL), UNLINK, PEXPIRE and PERSIST. Behind each, over the same
 * connection, the SDK's own channel tells applications that keep values in memory.
 *
 * What is no string is not written over. SET looks at no type, unless it is to give the old value back (GET): so it is told to where that is a small one.
 * Where it is large, or the server is too old, the type is asked for just before.
 *
 * A command that was sent and not answered is not sent again: somebody else may have stored something since. That is -ETIMEDOUT, stored or not.
 */
#include "write.h"
#include "expiry.h"
#include "invalidation.h"
#include "key.h"

#include "backend/redis/wire/version.h"
#include "backend/remote/key_prefix.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* A key that comes and goes between two commands is tried so often. */
#define TRIES 5

/* What was not used for so long may be dead without a sign of it: routers forget connections. Milliseconds. */
#define IDLE_MS 1000

/* One change of one key. */
struct change {
	struct redis_backend *b;
	const struct key *key;
	struct bytes name;     /* the key as the server knows it */
	struct invalidation told;
	bool sent;             /* and not answered yet */
	const struct slice *value;       /* what is stored; NULL: nothing is */
	const struct lifetime *lifetime;
	int64_t expires;       /* of an expiry that changes */
};

/* A number as a word. */
struct number {
	char text[24];
	struct bytes word;
};

static struct bytes word_of(struct number *number, int64_t n)
{
	int length = snprintf(number->text, sizeof number->text, "%lld", (long long)n);
	return bytes_of(number->text, (size_t)length);
}

static struct bytes word(const char *text)
{
	return bytes_of(text, strlen(text));
}

/* --- telling applications --- */

static void put_told(struct redis_connection *c, const struct change *change)
{
	for (unsigned i = 0; i < change->told.count; i++)
		connection_put(c, (const struct bytes[]){word("PUBLISH"), word(INVALIDATION_CHANNEL), bytes_of(change->told.events[i].p, change->told.events[i].length)}, 3);
}

/* Who may not tell them has changed the value all the same. */
static int read_told(struct redis_connection *c, const struct change *change)
{
	int64_t ignored;
	int r = 0;
	for (unsigned i = 0; r == 0 && i < change->told.count; i++) {
		r = connection_integer(c, &ignored);
		if (!c->stream.broken)
			r = 0;
	}
	return r;
}

/*
 * Whether a change can be sent. 0; -ETIMEDOUT it was sent before, and not answered; -ECONNRESET the connection was closed since it was used last, and
 * another one does as well. Nobody else can tell whether a change that was lost on the way has been made; so what may be dead answers a PING first.
 */
static int begin(struct redis_connection *c, const struct change *change)
{
	if (change->sent)
		return -ETIMEDOUT;
	if (stream_has_arrived(&c->stream))
		return stream_fail(&c->stream, -ECONNRESET);
	if (clock_ms() - c->stream.answered_ms <= IDLE_MS)
		return 0;
	connection_put_text(c, "PING", NULL);
	int r = connection_send(c);
	return r < 0 ? r : connection_pong(c);
}

/* Sends what was put, with what tells of it. */
static int send(struct redis_connection *c, struct change *change)
{
	/* What is put behind a command may send it. */
	change->sent = true;
	put_told(c, change);
	return connection_send(c);
}

/* What was sent was answered, with r: whatever it is, it is known. */
static int answered(struct redis_connection *c, struct change *change, int r)
{
	if (r < 0 && c->stream.broken)
		return r;
	int told = read_told(c, change);
	change->sent = false;
	/* It is done. The connection is of no use any more, and will be closed. */
	(void)told;
	return r;
}

/* --- storing --- */

/* Of what is stored over. */
struct old {
	int64_t left;  /* ms until it expires, -1 never, -2 there is nothing */
	uint64_t size; /* UINT64_MAX: nobody knows */
};

/* As far as it is known without a question. */
static struct old guess(const struct change *change)
{
	cleanup_with(record_done) struct record record = {0};
	const bool is_known = records_get(&change->b->records, &change->key->hash, &record) && record.has_value;
	return (struct old){.left = change->lifetime->guess == MOST_LIKELY_NEW ? -2 : -1, .size = is_known ? record.known.size : UINT64_MAX};
}

/* What there is now. 0; -EPERM something else than a value. */
static int ask_what_is_there(struct redis_connection *c, const struct change *change, struct old *ret)
{
	connection_put(c, (const struct bytes[]){word("PTTL"), change->name}, 2);
	connection_put(c, (const struct bytes[]){word("STRLEN"), change->name}, 2);
	int r = connection_send(c);
	if (r == 0)
		r = redis_read_left(c, &ret->left);
	if (r < 0 && c->stream.broken)
		return r;
	int second = connection_length(c, &ret->size);
	r = r < 0 ? r : second;
	return r == -EPROTOTYPE ? -EPERM : r;
}

/* The words behind the value: under which condition it is stored, and how long it lives. How many. */
static size_t put_conditions(const struct change *change, int64_t left, bool keeps, struct number *number, struct bytes *words)
{
	const struct lifetime *lifetime = change->lifetime;
	const int64_t until = lifetime->expires - clock_unix();
	size_t n = 0;
	int64_t seconds = lifetime->is_set ? (lifetime->expires == 0 ? 0 : until > 0 ? until : 1) : left == -2 ? lifetime->ttl : 0;
	words[n++] = word(left == -2 ? "NX" : "XX");
	if (!lifetime->is_set && left != -2 && keeps) {
		words[n++] = word("KEEPTTL");
	} else if (seconds > 0) {
		words[n++] = word("EX");
		words[n++] = word_of(number, seconds);
	} else if (!lifetime->is_set && left > 0) {
		words[n++] = word("PX");
		words[n++] = word_of(number, left);
	}
	return n;
}

/* The old value, which nobody wants. 1; 0 there is none, so nothing is stored; -EPROTOTYPE it was no value, and stays. */
static int read_old(struct redis_connection *c)
{
	uint64_t n = 0;
	int r = connection_string_or_nil(c, REPLY_STRING_MAX, &n);
	if (r <= 0)
		return r;
	r = connection_skip(c, n);
	if (r == 0)
		r = connection_string_end(c);
	return r < 0 ? r : 1;
}

/*
 * 1 it is stored; 0 there is, or is not, what was expected; -EPROTOTYPE as read_old(); -errno. `keeps`: the server can keep an expiry by itself; `tells`: it
 * gives the old value back.
 */
static int set(struct redis_connection *c, struct change *change, int64_t left, bool keeps, bool tells)
{
	struct number number;
	struct bytes words[8] = {word("SET"), change->name};
	size_t count = 2 + put_conditions(change, left, keeps, &number, words + 2);
	if (tells)
		words[count++] = word("GET");
	int r = connection_put_value(c, words, count, change->value);
	if (r == 0)
		r = send(c, change);
	if (r == 0)
		r = tells ? read_old(c) : connection_status_or_nil(c);
	return answered(c, change, r);
}

static int ask_to_put(struct redis_connection *c, void *arg)
{
	struct change *change = arg;
	struct old old = guess(change);
	bool keeps = true, tells = server_tells_old_values(&c->version);
	/* A wrong guess is found out by the condition under which it is stored, and by the type of what is given back. */
	bool guesses = change->lifetime->guess == MOST_LIKELY_NEW || (change->lifetime->guess == MOST_LIKELY_THERE && tells && old.size <= REDIS_SMALL);
	int r = begin(c, change);
	for (unsigned i = 0; r == 0 && i < TRIES; i++, guesses = false) {
		if (!guesses)
			r = ask_what_is_there(c, change, &old);
		if (r == 0)
			r = set(c, change, old.left, keeps, tells && old.left != -2 && old.size <= REDIS_SMALL);
		/* A server before 6.2, or before 6.0. */
		if (r == -ENOSYS && (tells || keeps)) {
			keeps = tells;
			tells = false;
			r = 0;
		}
	}
	return r == 1 ? 0 : r == 0 ? -EAGAIN : r == -EPROTOTYPE ? -EPERM : r;
}

/* --- removing, expiring --- */

static int ask_to_remove(struct redis_connection *c, void *arg)
{
	struct change *change = arg;
	int64_t count = 0;
	int r = begin(c, change);
	if (r < 0)
		return r;
	connection_put(c, (const struct bytes[]){word("UNLINK"), change->name}, 2);
	r = send(c, change);
	if (r == 0)
		r = connection_integer(c, &count);
	r = answered(c, change, r);
	return r < 0 ? r : count > 0 ? 0 : -ENOENT;
}

static int ask_to_expire(struct redis_connection *c, void *arg)
{
	struct change *change = arg;
	struct number number;
	int64_t did = 0, left = -2;
	const int64_t until = change->expires - clock_unix();
	int r = begin(c, change);
	if (r < 0)
		return r;
	if (change->expires)
		connection_put(c, (const struct bytes[]){word("PEXPIRE"), change->name, word_of(&number, until > 0 ? until * 1000 : 1)}, 3);
	else
		connection_put(c, (const struct bytes[]){word("PERSIST"), change->name}, 2);
	change->sent = true;
	connection_put(c, (const struct bytes[]){word("PTTL"), change->name}, 2);
	r = send(c, change);
	if (r == 0)
		r = connection_integer(c, &did);
	int second = c->stream.broken ? r : redis_read_left(c, &left);
	r = answered(c, change, r < 0 ? r : second);
	/* One without an expiry stays without. */
	return r < 0 ? r : did > 0 || left != -2 ? 0 : -ENOENT;
}

/* --- */

/* Why a server takes no change is known to it alone: the log has its words, once until it takes one. */
static void note_refusal(struct redis_backend *b, const struct redis_connection *c, int r)
{
	const bool is_refusal = r == REPLY_FULL || r == REPLY_READERS_ONLY || (r == -EIO && c->words[0] && !c->stream.broken);
	if (r == 0)
		atomic_store(&b->refuses, false);
	if (!is_refusal || atomic_exchange(&b->refuses, true))
		return;
	cleanup_buf struct buf text = {0};
	buf_escaped(&text, c->words, strlen(c->words), WORDS_MAX);
	buf_put(&text, "", 1);
	if (!text.failed)
		log_line(LOG_WARNING, "a change was refused: %s", text.p);
}

/* A server may be full, or serve readers alone; and the one of a service that takes no changes is its master no more. */
static int ask_change(struct redis_connection *c, void *arg, int (*ask)(struct redis_connection *c, void *arg))
{
	const struct change *change = arg;
	c->words[0] = '\0';
	int r = ask(c, arg);
	note_refusal(change->b, c, r);
	if (r == REPLY_FULL)
		return -ENOSPC;
	if (r == REPLY_READERS_ONLY)
		return -EROFS;
	return r == -EROFS && change->b->nodes.seeds.service ? -EAGAIN : r;
}

static int put_now(struct redis_connection *c, void *arg)
{
	return ask_change(c, arg, ask_to_put);
}

static int remove_now(struct redis_connection *c, void *arg)
{
	return ask_change(c, arg, ask_to_remove);
}

static int expire_now(struct redis_connection *c, void *arg)
{
	return ask_change(c, arg, ask_to_expire);
}

/* Has a change made, and nothing that was known of the key before counts from then on. */
static int make(struct change *change, int (*ask)(struct redis_connection *c, void *arg), const atomic_bool *cancel)
{
	struct redis_backend *b = change->b;
	size_t n;
	if (!change->key->text || change->key->length == 0)
		return -ENOENT;
	cleanup_free char *name = key_prefix_put(&b->backend, change->key, &n);
	if (!name || invalidation_of(change->key, &change->told) < 0)
		return -ENOMEM;
	change->name = bytes_of(name, n);
	int r = nodes_ask(&b->nodes, &change->name, ask, change, cancel);
	changes_note(&b->changes, nodes_hash(&b->nodes, name, n));
	records_drop(&b->records, &change->key->hash);
	invalidation_done(&change->told);
	return r < 0 && change->sent && r != -EINTR ? -ETIMEDOUT : r;
}

int redis_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	struct change change = {.b = redis_of(backend), .key = key, .value = value, .lifetime = lifetime};
	return make(&change, put_now, cancel);
}

int redis_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	struct change change = {.b = redis_of(backend), .key = key};
	return make(&change, remove_now, cancel);
}

int redis_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	struct change change = {.b = redis_of(backend), .key = key, .expires = expires};
	return make(&change, expire_now, cancel);
}
