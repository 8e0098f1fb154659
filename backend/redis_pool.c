#include "redis_pool.h"

#include "redis_version.h"

#include "ckfs/clock.h"
#include "ckfs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 1000

/* So long after a page of SCAN a connection is kept for the next one. */
#define PAGED_MS 60000

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
	unsigned i = 0;
	while (pool->connected[i] != c)
		i++;
	pool->connected[i] = pool->connected[--pool->connected_count];
	/* Later rounds have higher numbers. */
	if (c->armed && c->round > pool->lost)
		pool->lost = c->round;
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

static const char *name_of(const struct redis_pool *pool)
{
	return pool->target->path ? pool->target->path : pool->target->host;
}

/* What the listener hears says nothing of the server that was reached. Nor does it of others: whoever connects next may reach either. */
static void note_other_server(struct redis_pool *pool, uint64_t round)
{
	if (listener_doubt(pool->listener, round) && !atomic_exchange(&pool->is_told, true))
		log_line(LOG_NOTICE, "%.200s: there is more than one server at this address, so each open asks", name_of(pool));
}

/* Has the listener hear of what this connection reads, if both are of the same server. 0, -errno: the connection is broken. */
static int arm(struct redis_pool *pool, struct redis_connection *c, uint64_t round, const struct client_identity *identity)
{
	char number[24];
	enum identity_proof proof = IDENTITY_UNPROVED;
	int r = round && server_bears_tracking(&c->version) ? identity_prove(c, identity, &proof) : 0;
	if (r == 0 && proof == IDENTITY_OTHER)
		note_other_server(pool, round);
	else
		c->round = round;
	if (r < 0 || proof != IDENTITY_SAME)
		return r;
	snprintf(number, sizeof number, "%lld", (long long)identity->client);
	connection_put_text(c, "CLIENT", "TRACKING", "ON", "REDIRECT", number, NULL);
	r = connection_send(c);
	if (r == 0)
		r = connection_status(c);
	c->armed = r == 0;
	/* A server that refuses is asked each time instead. */
	return c->broken ? r : 0;
}

/* Logs trouble when it begins (why: the text), and when it is over (NULL). pool->lock is not held. */
static void note_trouble(struct redis_pool *pool, const char *text)
{
	if (atomic_exchange(&pool->in_trouble, text != NULL) == (text != NULL))
		return;
	if (text)
		log_line(LOG_WARNING, "%s", text);
	else
		log_line(LOG_NOTICE, "%.200s: the server answers again", name_of(pool));
}

/* A new one. Its place in open_count was taken. */
static int open_new(struct redis_pool *pool, uint64_t round, const struct client_identity *identity, struct redis_connection **ret)
{
	struct error error;
	struct redis_connection *c = NULL;
	unsigned password = password_file_number(pool->target->password_file);
	int r = connection_open(pool->target, pool->timeout_ms, &c, &error);
	if (r != -EINTR)
		note_trouble(pool, r < 0 ? error.text : NULL);
	if (r == 0 && pool->prepare)
		r = pool->prepare(c);
	if (r == 0)
		r = arm(pool, c, round, identity);
	/* What is left of an answer would be taken for the next one. */
	if (r == 0 && !connection_is_clean(c))
		r = -EIO;
	/* No failure to connect says that a key is absent. */
	if (r == -ECONNRESET || r == -ENOENT)
		r = -EIO;
	pthread_mutex_lock(&pool->lock);
	if (r < 0) {
		pool->open_count--;
		pool->pause = pool->pause == 0 ? PAUSE_MIN_MS : pool->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pool->pause * 2;
		pool->retry_at = clock_ms() + pool->pause;
		pool->failure = r;
		pool->refused = password;
		pthread_cond_signal(&pool->returned);
	} else {
		c->progress = &pool->progress;
		pool->pause = 0;
		c->serial = ++pool->serial;
		pool->connected[pool->connected_count++] = c;
	}
	pthread_mutex_unlock(&pool->lock);
	if (r == 0)
		*ret = c;
	else
		connection_close(c);
	return r;
}

/* --- the process that was reached --- */

struct reached reached_of(const struct redis_connection *c)
{
	return (struct reached){.serial = c->serial, .round = c->armed ? c->round : 0};
}

bool reached_by(const struct reached *reached, const struct redis_connection *c)
{
	return reached->serial == c->serial || (reached->round != 0 && c->armed && reached->round == c->round);
}

/* Whether there is still a connection to it, lent or not. pool->lock is held. */
static bool is_reached(const struct redis_pool *pool, const struct reached *reached)
{
	unsigned i = 0;
	while (i < pool->connected_count && !reached_by(reached, pool->connected[i]))
		i++;
	return i < pool->connected_count;
}

/* --- lending --- */

/* A listing may be under way by it: its cursor would be lost with it. pool->lock is held. */
static bool is_for_pages(const struct redis_pool *pool, const struct redis_connection *c)
{
	return c->paged_at != 0 && clock_ms() < c->paged_at + PAGED_MS && pool->open_count < POOL_MAX;
}

/* Closes those that are idle and of other rounds: nobody hears any more of what they have read. pool->lock is held. */
static void drop_outdated(struct redis_pool *pool, uint64_t round)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < pool->idle_count; i++) {
		struct redis_connection *c = pool->idle[i];
		if (c->round == round || is_for_pages(pool, c)) {
			pool->idle[kept++] = c;
		} else {
			forget(pool, c);
			connection_close(c);
		}
	}
	pool->idle_count = kept;
}

/* The idle one that was used last, of this round or of those that have reached a process (if not NULL). NULL: there is none. pool->lock is held. */
static struct redis_connection *take_idle(struct redis_pool *pool, uint64_t round, const struct reached *reached)
{
	for (unsigned i = pool->idle_count; i-- > 0;) {
		struct redis_connection *c = pool->idle[i];
		if (reached ? !reached_by(reached, c) : c->round != round)
			continue;
		pool->idle_count--;
		memmove(&pool->idle[i], &pool->idle[i + 1], (pool->idle_count - i) * sizeof(struct redis_connection *));
		return c;
	}
	return NULL;
}

/*
 * Takes an idle one (*ret), or a place for a new one (*ret NULL). 0; 1 a wait has told nothing, the round may be another by now; -errno.
 * pool->lock is held, but not while it waits.
 */
static int take(struct redis_pool *pool, uint64_t round, const struct reached *reached, struct redis_connection **ret)
{
	bool waits = reached && is_reached(pool, reached);
	/* Of what SCAN says nothing is announced: the round does not matter. */
	*ret = waits ? take_idle(pool, round, reached) : NULL;
	drop_outdated(pool, round);
	if (!*ret && !waits)
		*ret = take_idle(pool, round, NULL);
	if (*ret)
		return 0;
	if (!waits && pool->open_count < POOL_MAX) {
		if (pool->pause && clock_ms() < pool->retry_at)
			return pool->failure;
		pool->open_count++;
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

/* Another password than the one that was refused is worth a try at once. */
static bool has_other_password(struct redis_pool *pool)
{
	struct error ignored;
	pthread_mutex_lock(&pool->lock);
	unsigned refused = pool->refused;
	pthread_mutex_unlock(&pool->lock);
	if (password_file_renew(pool->target->password_file, refused, &ignored) <= 0)
		return false;
	pthread_mutex_lock(&pool->lock);
	pool->pause = 0;
	pthread_mutex_unlock(&pool->lock);
	return true;
}

static bool is_over(const struct redis_pool *pool, const atomic_bool *cancel)
{
	return (cancel && atomic_load(cancel)) || redis_target_is_stopped(pool->target);
}

static int borrow(struct redis_pool *pool, const struct reached *reached, const atomic_bool *cancel, struct redis_connection **ret)
{
	struct patience patience = {.until = clock_ms() + pool->timeout_ms, .seen = atomic_load(&pool->progress)};
	struct client_identity identity;
	uint64_t round;
	struct redis_connection *c = NULL;
	int r;
	listener_catch_up(pool->listener);
	do {
		round = listener_round(pool->listener, &identity);
		/* Its first try may have taken all the time there is. */
		if (!is_patient(pool, &patience))
			return -ETIMEDOUT;
		pthread_mutex_lock(&pool->lock);
		r = is_over(pool, cancel) ? -EINTR : take(pool, round, reached, &c);
		pthread_mutex_unlock(&pool->lock);
		if (r == -EACCES && has_other_password(pool))
			r = 1;
		if (r == 1 && !is_patient(pool, &patience))
			r = -ETIMEDOUT;
	} while (r == 1);
	if (r == 0 && !c)
		r = open_new(pool, round, &identity, &c);
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
	if (is_dead)
		drop_idle(pool);
	/* Not everyone who waits may want this one. */
	pthread_cond_broadcast(&pool->returned);
	pthread_mutex_unlock(&pool->lock);
	if (!clean)
		connection_close(c);
}

static int ask_over(struct redis_pool *pool, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg),
	void *arg, const atomic_bool *cancel)
{
	for (bool again = false;; again = true) {
		struct redis_connection *c = NULL;
		int r = borrow(pool, reached, cancel, &c);
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

int pool_ask(struct redis_pool *pool, int (*ask)(struct redis_connection *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	return ask_over(pool, NULL, ask, arg, cancel);
}

int pool_ask_again(struct redis_pool *pool, const struct reached *reached, int (*ask)(struct redis_connection *connection, void *arg), void *arg)
{
	return ask_over(pool, reached, ask, arg, NULL);
}

bool pool_has_lost(struct redis_pool *pool, uint64_t round)
{
	struct pollfd ends[POOL_MAX];
	nfds_t n = 0;
	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->connected_count; i++)
		if (pool->connected[i]->armed && pool->connected[i]->round == round)
			ends[n++] = (struct pollfd){.fd = pool->connected[i]->transport.fd, .events = POLLRDHUP};
	/* Under the lock, so that none is closed meanwhile. It does not wait. */
	bool lost = pool->lost >= round || poll(ends, n, 0) != 0;
	pthread_mutex_unlock(&pool->lock);
	return lost;
}
