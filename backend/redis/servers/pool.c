#include "pool.h"

#include "backend/redis/wire/version.h"

#include "ckfs/clock.h"
#include "ckfs/log.h"

#include <poll.h>
#include <stdio.h>
#include <syslog.h>

/* After a page of SCAN, keep the connection so long for the next page. */
#define PAGED_MS 60000

static struct redis_pool *pool_of(struct pool *pool)
{
	return (struct redis_pool *)pool;
}

static struct redis_connection *connection_of(struct pooled *pooled)
{
	return (struct redis_connection *)pooled;
}

static const struct redis_connection *const_connection_of(const struct pooled *pooled)
{
	return (const struct redis_connection *)pooled;
}

/* --- a new one --- */

static int open_one(struct pool *pool, struct pooled **ret, struct error *error)
{
	struct redis_connection *c = NULL;
	int r = connection_open(pool_of(pool)->target, pool->timeout_ms, &c, error);
	if (r == 0)
		*ret = &c->pooled;
	return r;
}

static void close_one(struct pooled *pooled)
{
	connection_close(connection_of(pooled));
}

/* A connection has reached another server than the listener. So the announcements prove nothing, for no connection: each new one may reach either server. */
static void note_other_server(struct redis_pool *pool, uint64_t round)
{
	if (listener_doubt(pool->listener, round) && !atomic_exchange(&pool->is_told, true))
		log_line(LOG_NOTICE, "%.200s: there is more than one server at this address, so each open reads the value again", pool->pool.name);
}

/* Makes the server announce to the listener what this connection reads, if both have reached the same server. 0, -errno: the connection is broken. */
static int arm(struct redis_pool *pool, struct redis_connection *c)
{
	char number[24];
	struct client_identity identity;
	enum identity_proof proof = IDENTITY_UNPROVED;
	const uint64_t round = listener_round(pool->listener, &identity);
	int r = round && server_bears_tracking(&c->version) ? identity_prove(c, &identity, &proof) : 0;
	if (r == 0 && proof == IDENTITY_OTHER)
		note_other_server(pool, round);
	else
		c->pooled.era = round;
	if (r < 0 || proof != IDENTITY_SAME)
		return r;
	snprintf(number, sizeof number, "%lld", (long long)identity.client);
	connection_put_text(c, "CLIENT", "TRACKING", "ON", "REDIRECT", number, NULL);
	r = connection_send(c);
	if (r == 0)
		r = connection_status(c);
	c->armed = r == 0;
	/* If the server refuses, each lookup asks instead. */
	return c->stream.broken ? r : 0;
}

static int prepare(struct pool *pool, struct pooled *pooled)
{
	struct redis_pool *p = pool_of(pool);
	struct redis_connection *c = connection_of(pooled);
	int r = p->prepare ? p->prepare(c) : 0;
	return r < 0 ? r : arm(p, c);
}

/* --- one that is there --- */

static bool is_clean(const struct pooled *pooled)
{
	return connection_is_clean(const_connection_of(pooled));
}

static void lend(struct pooled *pooled, const atomic_bool *cancel, atomic_uint_least64_t *progress)
{
	struct stream *stream = &connection_of(pooled)->stream;
	stream_set_cancel(stream, cancel);
	stream->progress = progress;
}

static uint64_t round_of(struct pool *pool, bool first)
{
	struct listener *listener = pool_of(pool)->listener;
	if (first)
		listener_catch_up(listener);
	return listener_round(listener, NULL);
}

/* Keep a connection that a listing uses: its cursor would be lost. Servers announce nothing about SCAN, so the round does not matter. */
static bool is_for_pages(const struct pooled *pooled)
{
	const struct redis_connection *c = const_connection_of(pooled);
	return c->paged_at != 0 && clock_ms() < c->paged_at + PAGED_MS;
}

static bool fits(const struct pooled *pooled, const void *wish)
{
	return reached_by(wish, const_connection_of(pooled));
}

static void closing(struct pool *pool, const struct pooled *pooled)
{
	struct redis_pool *p = pool_of(pool);
	/* Later rounds have higher numbers. */
	if (const_connection_of(pooled)->armed && pooled->era > p->lost)
		p->lost = pooled->era;
}

static const struct pool_ops ops = {
	.open = open_one,
	.close = close_one,
	.prepare = prepare,
	.is_clean = is_clean,
	.lend = lend,
	.era = round_of,
	.is_kept = is_for_pages,
	.fits = fits,
	.closing = closing,
};

/* --- */

void redis_pool_init(struct redis_pool *pool, const struct redis_target *target, int timeout_ms, struct listener *listener)
{
	*pool = (struct redis_pool){.target = target, .listener = listener};
	pool_init(&pool->pool, &ops, endpoint_name(&target->at), timeout_ms, target->stop, target->password_file);
}

void redis_pool_done(struct redis_pool *pool)
{
	pool_done(&pool->pool);
}

struct reached reached_of(const struct redis_connection *c)
{
	return (struct reached){.serial = c->pooled.serial, .round = c->armed ? c->pooled.era : 0};
}

bool reached_by(const struct reached *reached, const struct redis_connection *c)
{
	return reached->serial == c->pooled.serial || (reached->round != 0 && c->armed && reached->round == c->pooled.era);
}

struct question {
	int (*ask)(struct redis_connection *connection, void *arg);
	void *arg;
};

static int ask_question(struct pooled *pooled, void *arg)
{
	const struct question *question = arg;
	return question->ask(connection_of(pooled), question->arg);
}

int redis_pool_ask(struct redis_pool *pool, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg), void *arg,
	const atomic_bool *cancel)
{
	return pool_ask(&pool->pool, reached, ask_question, &(struct question){ask, arg}, cancel);
}

/* Whether a connection that was set up for a round was closed, by either side. */
static bool has_lost(const struct pool *pool, void *arg)
{
	const uint64_t round = *(const uint64_t *)arg;
	struct pollfd ends[POOL_MAX];
	nfds_t n = 0;
	for (unsigned i = 0; i < pool->connected_count; i++) {
		const struct redis_connection *c = const_connection_of(pool->connected[i]);
		if (c->armed && c->pooled.era == round)
			ends[n++] = (struct pollfd){.fd = c->stream.transport.fd, .events = POLLRDHUP};
	}
	return ((const struct redis_pool *)pool)->lost >= round || poll(ends, n, 0) != 0;
}

bool redis_pool_has_lost(struct redis_pool *pool, uint64_t round)
{
	return pool_look(&pool->pool, has_lost, &round);
}
