/*
 * Changes of what a server stores: `ms`, `md`, and `mg` with another time to live. A value that is written over keeps its expiry. So it is stored under the
 * condition that the item is still the one of which that was asked (its CAS number), and asked again if it is not.
 *
 * A server that refuses a value has dropped the old one by then: one that is too large is refused before it is sent. A command that was sent and not
 * answered is not sent again: somebody else may have stored something since. That is -ETIMEDOUT, stored or not.
 */
#include "write.h"

#include "item.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/secrets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* Seconds. A server takes a larger number for a date; the SDK, which gives no dates, cuts what it is asked for. */
#define TTL_MAX INT64_C(2592000)

/* An item that changes all the time is stored over under a condition so often, and then without one. */
#define TRIES 5

/* Bytes of a value that are sent at a time. */
#define PIECE ((size_t)64 << 10)

/* Bytes of an item beside its key and value: what a server puts around them, the zero behind the key, CR LF. */
#define ITEM_BYTES 51
#define CAS_BYTES 8

/* One change of one key. */
struct change {
	struct mc_backend *b;
	const struct key *key;
	struct mc_name name;
	struct mc_server *server;
	bool sent;                       /* and not answered yet */
	const struct slice *value;       /* what is stored; NULL: nothing is */
	const struct lifetime *lifetime; /* of that */
	int64_t expires;                 /* of an expiry that changes */
	int (*ask)(struct mc_connection *c, struct change *change);
};

/* What a server has under a key. */
struct there {
	bool is;
	uint64_t cas; /* 0: it counts no versions */
	int64_t ttl;  /* seconds that are left; -1: for ever */
};

int mc_read_value_max(uint64_t *ret, struct error *error)
{
	return setting_read_number("CACHEKIT_MEMCACHED_MAX_ITEM_SIZE_BYTES", UINT64_C(1) << 20, 0, INT64_MAX, ret, error);
}

/* --- commands --- */

static void put_command(struct mc_connection *c, const struct change *change, const char *command)
{
	struct buf *out = &c->stream.out;
	buf_printf(out, "%s ", command);
	buf_put(out, change->name.text, change->name.length);
}

/* What every command ends with. `more`: flags of its own. */
static void put_end(struct mc_connection *c, const struct change *change, const char *more)
{
	buf_printf(&c->stream.out, " O%" PRIu32 "%s%s\r\n", ++c->put, change->name.base64 ? " b" : "", more);
}

/* Sends what was put, and reads the answer to it. `sent`: of a change; NULL: of a question, which can be put again. */
static int exchange(struct mc_connection *c, bool *sent, struct mc_reply *ret)
{
	c->owes = true;
	if (sent)
		*sent = true;
	int r = stream_send(&c->stream);
	if (r == 0)
		r = mc_connection_reply(c, ret);
	/* No value was asked for. Of a change, an answer without sense tells nobody what has come of it. */
	if (r == 0 && ret->kind != MC_HEAD && !(sent && ret->kind == MC_CHANGED))
		r = stream_fail(&c->stream, -EIO);
	if (c->stream.broken)
		return r;
	c->owes = false;
	if (sent)
		*sent = false;
	return r;
}

/* --- how long a value lives --- */

static int64_t ttl_of(int64_t seconds)
{
	return seconds <= 0 ? 0 : seconds < TTL_MAX ? seconds : TTL_MAX;
}

/* 0: for ever. What has expired meanwhile does so as soon as it can. */
static int64_t ttl_until(int64_t expires)
{
	const int64_t left = expires - clock_unix();
	return expires == 0 ? 0 : ttl_of(left > 0 ? left : 1);
}

/* The expiry of what is there, whoever has set it. By a number over TTL_MAX a server understands a date. */
static int64_t ttl_kept(const struct mc_connection *c, const struct there *there)
{
	if (there->ttl < 0)
		return 0;
	return there->ttl == 0 ? 1 : there->ttl <= TTL_MAX ? there->ttl : clock_unix() + c->ahead + there->ttl;
}

/* --- storing --- */

/* 0; errors as of mc_connection_reply(). */
static int ask_what_is_there(struct mc_connection *c, const struct change *change, struct there *ret)
{
	struct mc_reply reply;
	put_command(c, change, "mg");
	put_end(c, change, " t c u");
	int r = exchange(c, NULL, &reply);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = (struct there){.is = r == 0, .cas = r == 0 ? reply.cas : 0, .ttl = r == 0 ? reply.ttl : -1};
	return 0;
}

/* All but what the last send takes with it. */
static int send_value(struct mc_connection *c, const struct slice *value)
{
	uint8_t piece[PIECE];
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < value->length;) {
		const size_t n = value->length - at < sizeof piece ? (size_t)(value->length - at) : sizeof piece;
		r = slice_read(value, at, piece, n);
		if (r == 0)
			buf_put(&c->stream.out, piece, n);
		at += n;
		/* What is left out of a value costs the connection. */
		if (r < 0)
			stream_fail(&c->stream, r);
		else if (at < value->length)
			r = stream_send(&c->stream);
	}
	return r;
}

static void put_condition(const struct there *there, char text[static 32])
{
	if (!there)
		*text = '\0';
	else if (there->cas)
		snprintf(text, 32, " C%" PRIu64, there->cas);
	else
		snprintf(text, 32, there->is ? " MR" : " ME");
}

/* `there`: as it has to be still; NULL: however it is. 0; 1 it is not as it was; -errno. */
static int store(struct mc_connection *c, struct change *change, int64_t ttl, const struct there *there)
{
	struct mc_reply reply;
	char condition[32];
	put_command(c, change, "ms");
	buf_printf(&c->stream.out, " %" PRIu64 " T%" PRId64 " F0", change->value->length, ttl);
	put_condition(there, condition);
	put_end(c, change, condition);
	c->owes = true;
	int r = send_value(c, change->value);
	if (r < 0)
		return r;
	buf_puts(&c->stream.out, "\r\n");
	r = exchange(c, &change->sent, &reply);
	/* Who does not know the command takes the value for commands, and answers each. */
	if (r == -EIO || r == -EACCES)
		stream_fail(&c->stream, r);
	if (r == -EAGAIN)
		return -ENOSPC;
	return r == -ENOENT || (r == 0 && reply.kind == MC_CHANGED) ? 1 : r;
}

/* Whether the server takes an item of this size. */
static bool fits(const struct change *change)
{
	const uint64_t most = atomic_load(&change->server->item_max);
	const uint64_t around = ITEM_BYTES + (atomic_load(&change->server->no_cas) ? 0 : CAS_BYTES) + change->b->backend.prefix_length + change->key->length;
	return most == 0 || (change->value->length <= most && around <= most - change->value->length);
}

/* As what is there has it. 0; 1 that has changed meanwhile; -errno. `last`: however it has. */
static int store_over(struct mc_connection *c, struct change *change, bool last)
{
	struct there there;
	int r = ask_what_is_there(c, change, &there);
	if (r < 0)
		return r;
	return store(c, change, there.is ? ttl_kept(c, &there) : ttl_of(change->lifetime->ttl), last ? NULL : &there);
}

static int ask_to_put(struct mc_connection *c, struct change *change)
{
	if (atomic_load(&change->server->is_early))
		return -EROFS;
	if (!fits(change))
		return -EFBIG;
	if (change->lifetime->is_set)
		return store(c, change, ttl_until(change->lifetime->expires), NULL);
	int r = 1;
	for (unsigned i = 0; r == 1 && i <= TRIES; i++)
		r = store_over(c, change, i == TRIES);
	return r;
}

/* --- removing, expiring --- */

/* What was put is a change without a value. */
static int ask_to_change(struct mc_connection *c, struct change *change)
{
	struct mc_reply reply;
	int r = exchange(c, &change->sent, &reply);
	return r == 0 && reply.kind == MC_CHANGED ? -EAGAIN : r;
}

static int ask_to_remove(struct mc_connection *c, struct change *change)
{
	put_command(c, change, "md");
	put_end(c, change, "");
	return ask_to_change(c, change);
}

static int ask_to_expire(struct mc_connection *c, struct change *change)
{
	char ttl[32];
	snprintf(ttl, sizeof ttl, " s u T%" PRId64, ttl_until(change->expires));
	put_command(c, change, "mg");
	put_end(c, change, ttl);
	return ask_to_change(c, change);
}

/* --- */

/* It is called again when the connection was lost. */
static int ask(struct pooled *pooled, void *arg)
{
	struct mc_connection *c = mc_connection_of(pooled);
	struct change *change = arg;
	if (change->sent)
		return -ETIMEDOUT;
	/* It was closed while it was idle: what is sent now could not be told from what was lost. */
	if (stream_has_arrived(&c->stream))
		return stream_fail(&c->stream, -ECONNRESET);
	return change->ask(c, change);
}

static int make(struct change *change, const atomic_bool *cancel)
{
	int r = mc_name_make(change->b, change->key, &change->name, &change->server);
	if (r == 0)
		r = mc_server_ask(change->server, ask, change, cancel);
	return r < 0 && change->sent && r != -EINTR ? -ETIMEDOUT : r;
}

int mc_put(struct backend *backend, const struct key *key, const struct slice *value, const struct lifetime *lifetime, const atomic_bool *cancel)
{
	struct change change = {.b = mc_of(backend), .key = key, .value = value, .lifetime = lifetime, .ask = ask_to_put};
	int r = make(&change, cancel);
	return r == -ENOENT && key->text ? -ENAMETOOLONG : r;
}

int mc_remove(struct backend *backend, const struct key *key, const atomic_bool *cancel)
{
	struct change change = {.b = mc_of(backend), .key = key, .ask = ask_to_remove};
	return make(&change, cancel);
}

int mc_expire(struct backend *backend, const struct key *key, int64_t expires, const atomic_bool *cancel)
{
	struct change change = {.b = mc_of(backend), .key = key, .expires = expires, .ask = ask_to_expire};
	return make(&change, cancel);
}
