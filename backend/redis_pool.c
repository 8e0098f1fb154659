#include "redis_pool.h"

#include "redis_version.h"

#include "ckfs/clock.h"
#include "ckfs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <syslog.h>

#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 1000

/* How often a wait for a connection looks whether there is progress, and whether it was cancelled. */
#define PROGRESS_MS 100

void pool_init(struct redis_pool *pool, const struct redis_target *target, int timeout_ms, struct listener *listener)
{
	pthread_condattr_t attr;
	*pool = (struct redis_pool){.target = target, .timeout_ms = timeout_ms, .listener = listener};
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->returned, &attr);
	pthread_condattr_destroy(&attr);
}

/* One that is about to be closed. pool->lock is held. */
static void forget(struct redis_pool *pool, struct redis_connection *c)
{
	pool->open_count--;
	for (unsigned i = 0; i < pool->armed_count; i++)
		if (pool->armed[i] == c) {
			pool->armed[i] = pool->armed[--pool->armed_count];
			/* Later rounds have higher numbers. */
			pool->lost = c->round > pool->lost ? c->round : pool->lost;
		}
}

/* Closes what is idle. pool->lock is held. */
static void drop_idle(struct redis_pool *pool)
{
	while (pool->idle_count > 0) {
		struct redis_connection *c = pool->idle[--pool->idle_count];
		forget(pool, c);
		connection_close(c);
	}
}

void pool_done(struct redis_pool *pool)
{
	drop_idle(pool);
	pthread_cond_destroy(&pool->returned);
	pthread_mutex_destroy(&pool->lock);
}

/* Has the listener hear of what this connection reads. 0, -errno: the connection is broken. */
static int arm(struct redis_connection *c, uint64_t round, int64_t client)
{
	char number[24];
	c->round = round;
	if (round == 0 || !server_bears_tracking(&c->version))
		return 0;
	snprintf(number, sizeof number, "%lld", (long long)client);
	connection_put_text(c, "CLIENT", "TRACKING", "ON", "REDIRECT", number, NULL);
	int r = connection_send(c);
	if (r == 0)
		r = connection_status(c);
	c->armed = r == 0;
	/* A server that refuses is asked each time instead. */
	return c->broken ? r : 0;
}

/* Logs trouble when it begins (why: the text), and when it is over (NULL). pool->lock is not held. */
static void note_trouble(struct redis_pool *pool, const char *text)
{
	const struct redis_target *target = pool->target;
	if (atomic_exchange(&pool->in_trouble, text != NULL) == (text != NULL))
		return;
	if (text)
		log_line(LOG_WARNING, "%s", text);
	else
		log_line(LOG_NOTICE, "%.200s: the server answers again", target->path ? target->path : target->host);
}

/* A new one. Its place in open_count was taken. */
static int open_new(struct redis_pool *pool, uint64_t round, int64_t client, struct redis_connection **ret)
{
	struct error error;
	struct redis_connection *c = NULL;
	int r = connection_open(pool->target, pool->timeout_ms, &c, &error);
	if (r != -EINTR)
		note_trouble(pool, r < 0 ? error.text : NULL);
	if (r == 0 && pool->prepare)
		r = pool->prepare(c);
	if (r == 0)
		r = arm(c, round, client);
	/* No failure to connect says that a key is absent. */
	if (r == -ECONNRESET || r == -ENOENT)
		r = -EIO;
	pthread_mutex_lock(&pool->lock);
	if (r < 0) {
		pool->open_count--;
		pool->pause = pool->pause == 0 ? PAUSE_MIN_MS : pool->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pool->pause * 2;
		pool->retry_at = clock_ms() + pool->pause;
		pool->failure = r;
		pthread_cond_signal(&pool->returned);
	} else {
		c->progress = &pool->progress;
		pool->pause = 0;
		if (c->armed)
			pool->armed[pool->armed_count++] = c;
	}
	pthread_mutex_unlock(&pool->lock);
	if (r == 0)
		*ret = c;
	else
		connection_close(c);
	return r;
}

/* Takes an idle one (*ret), or a place for a new one (*ret NULL). 0; 1 a wait has told nothing, the round may be another by now; -errno. */
static int take(struct redis_pool *pool, uint64_t round, struct redis_connection **ret)
{
	while (pool->idle_count > 0) {
		struct redis_connection *c = pool->idle[--pool->idle_count];
		if (c->round == round) {
			*ret = c;
			return 0;
		}
		/* Nobody hears any more of what it has read. */
		forget(pool, c);
		connection_close(c);
	}
	if (pool->open_count < POOL_MAX) {
		if (pool->pause && clock_ms() < pool->retry_at)
			return pool->failure;
		/* While none is open, a server can be restarted unseen. */
		pool->interruptions += pool->open_count == 0;
		pool->open_count++;
		*ret = NULL;
		return 0;
	}
	const int64_t look = clock_ms() + PROGRESS_MS;
	const struct timespec at = {.tv_sec = look / 1000, .tv_nsec = look % 1000 * 1000000};
	pthread_cond_timedwait(&pool->returned, &pool->lock, &at);
	return 1;
}

/* Of one who waits for a connection. */
struct patience {
	int64_t until; /* monotonic ms */
	uint64_t seen; /* progress */
};

/* Whoever has a connection may need it for long: that is no trouble as long as something arrives. */
static bool is_patient(struct redis_pool *pool, struct patience *patience)
{
	uint64_t progress = atomic_load(&pool->progress);
	int64_t now = clock_ms();
	if (progress != patience->seen)
		*patience = (struct patience){.until = now + pool->timeout_ms, .seen = progress};
	return now < patience->until;
}

static bool is_over(const struct redis_pool *pool, const atomic_bool *cancel)
{
	return (cancel && atomic_load(cancel)) || redis_target_is_stopped(pool->target);
}

static int borrow(struct redis_pool *pool, const atomic_bool *cancel, struct redis_connection **ret)
{
	struct patience patience = {.until = clock_ms() + pool->timeout_ms, .seen = atomic_load(&pool->progress)};
	int64_t client;
	uint64_t round;
	struct redis_connection *c = NULL;
	int r;
	listener_catch_up(pool->listener);
	do {
		round = listener_round(pool->listener, &client);
		/* Its first try may have taken all the time there is. */
		if (!is_patient(pool, &patience))
			return -ETIMEDOUT;
		pthread_mutex_lock(&pool->lock);
		r = is_over(pool, cancel) ? -EINTR : take(pool, round, &c);
		pthread_mutex_unlock(&pool->lock);
		if (r == 1 && !is_patient(pool, &patience))
			r = -ETIMEDOUT;
	} while (r == 1);
	if (r == 0 && !c)
		r = open_new(pool, round, client, &c);
	if (r == 0)
		*ret = c;
	return r;
}

static void give_back(struct redis_pool *pool, struct redis_connection *c, bool is_dead)
{
	bool clean = connection_is_clean(c);
	connection_set_cancel(c, NULL);
	c->used = true;
	pthread_mutex_lock(&pool->lock);
	if (clean)
		pool->idle[pool->idle_count++] = c;
	else
		forget(pool, c);
	/* Where one is dead, those that sleep most likely are. */
	if (is_dead) {
		drop_idle(pool);
		pool->interruptions++;
	}
	pthread_cond_signal(&pool->returned);
	pthread_mutex_unlock(&pool->lock);
	if (!clean)
		connection_close(c);
}

int pool_ask(struct redis_pool *pool, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	for (bool again = false;; again = true) {
		struct redis_connection *c = NULL;
		int r = borrow(pool, cancel, &c);
		if (r < 0)
			return r;
		connection_set_cancel(c, cancel);
		r = ask(c, arg);
		bool is_dead = r == -ECONNRESET, is_old = c->used;
		give_back(pool, c, is_dead);
		if (!is_dead || !is_old || again)
			return is_dead ? -EIO : r;
	}
}

bool pool_has_lost(struct redis_pool *pool, uint64_t round)
{
	struct pollfd ends[POOL_MAX];
	nfds_t n = 0;
	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->armed_count; i++)
		if (pool->armed[i]->round == round)
			ends[n++] = (struct pollfd){.fd = pool->armed[i]->transport.fd, .events = POLLRDHUP};
	/* Under the lock, so that none is closed meanwhile. It does not wait. */
	bool lost = pool->lost >= round || poll(ends, n, 0) != 0;
	pthread_mutex_unlock(&pool->lock);
	return lost;
}

unsigned pool_interruptions(struct redis_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	unsigned n = pool->interruptions;
	pthread_mutex_unlock(&pool->lock);
	return n;
}
