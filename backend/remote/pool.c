#include "pool.h"

#include "ckfs/backend.h"
#include "ckfs/clock.h"
#include "ckfs/log.h"
#include "ckfs/stats.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#define PAUSE_MIN_MS 20
#define PAUSE_MAX_MS 1000

/* How often a wait for a connection looks whether there is progress, and whether it was cancelled. */
#define PROGRESS_MS 100

void pool_init(struct pool *pool, const struct pool_ops *ops, const char *name, int timeout_ms, const atomic_bool *stop,
	struct password_file *password_file)
{
	pthread_condattr_t attr;
	*pool = (struct pool){.ops = ops, .name = name, .timeout_ms = timeout_ms, .stop = stop, .password_file = password_file};
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->returned, &attr);
	pthread_cond_init(&pool->wished, &attr);
	pthread_condattr_destroy(&attr);
}

/* Takes a connection that is about to be closed off the lists. pool->lock is held. */
static void forget(struct pool *pool, struct pooled *c)
{
	pool->open_count--;
	unsigned i = 0;
	while (pool->connected[i] != c)
		i++;
	pool->connected[i] = pool->connected[--pool->connected_count];
	if (pool->ops->closing)
		pool->ops->closing(pool, c);
}

/* Closes what is idle. pool->lock is held. */
static void drop_idle(struct pool *pool)
{
	while (pool->idle_count > 0) {
		struct pooled *c = pool->idle[--pool->idle_count];
		forget(pool, c);
		pool->ops->close(c);
	}
}

void pool_done(struct pool *pool)
{
	drop_idle(pool);
	pthread_cond_destroy(&pool->returned);
	pthread_cond_destroy(&pool->wished);
	pthread_mutex_destroy(&pool->lock);
}

/* Logs trouble when it begins (why: the text), and when it is over (NULL). pool->lock is not held. */
static void note_trouble(struct pool *pool, const char *text)
{
	if (atomic_exchange(&pool->in_trouble, text != NULL) == (text != NULL))
		return;
	if (text)
		log_line(LOG_WARNING, "%s", text);
	else
		log_line(LOG_NOTICE, "%.200s: the server answers again", pool->name);
}

/* A connection could not be opened: gives its place in open_count back, and begins a pause. pool->lock is held. */
static void note_failure(struct pool *pool, int r, unsigned password)
{
	pool->open_count--;
	pool->long_calls -= backend_call_is_long();
	stats_count_connection(CONNECTION_REFUSED);
	pool->pause = pool->pause == 0 ? PAUSE_MIN_MS : pool->pause * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : pool->pause * 2;
	pool->retry_at = clock_ms() + pool->pause;
	pool->failure = r;
	pool->refused = password;
	pthread_cond_signal(&pool->returned);
}

/* The opposite. pool->lock is held. */
static void note_opened(struct pool *pool)
{
	stats_count_connection(CONNECTION_OPENED);
	if (pool->pause > 0 || pool->lost > 0)
		stats_count_connection(CONNECTION_REOPENED);
	if (pool->lost > 0)
		pool->lost--;
	pool->pause = 0;
}

/* A new one. Its place in open_count was taken. */
static int open_new(struct pool *pool, struct pooled **ret)
{
	struct error error;
	struct pooled *c = NULL;
	unsigned password = password_file_number(pool->password_file);
	int r = pool->ops->open(pool, &c, &error);
	if (r != -EINTR)
		note_trouble(pool, r < 0 ? error.text : NULL);
	if (r == 0 && pool->ops->prepare)
		r = pool->ops->prepare(pool, c);
	/* What is left of an answer would be taken for the next one. */
	if (r == 0 && !pool->ops->is_clean(c))
		r = -EIO;
	/* No failure to connect says that a key is absent. */
	if (r == -ENOENT)
		r = -EIO;
	pthread_mutex_lock(&pool->lock);
	if (r < 0) {
		note_failure(pool, r, password);
	} else {
		note_opened(pool);
		c->serial = ++pool->serial;
		pool->connected[pool->connected_count++] = c;
	}
	pthread_mutex_unlock(&pool->lock);
	if (r == 0)
		*ret = c;
	else
		pool->ops->close(c);
	return r;
}

/* --- lending --- */

/* Whether there is still a connection that a request wishes for, lent or not. pool->lock is held. */
static bool is_there(const struct pool *pool, const void *wish)
{
	unsigned i = 0;
	while (i < pool->connected_count && !pool->ops->fits(pool->connected[i], wish))
		i++;
	return i < pool->connected_count;
}

/* Whether an idle one of another era stays. pool->lock is held. */
static bool is_kept(const struct pool *pool, const struct pooled *c)
{
	return pool->ops->is_kept && pool->open_count < POOL_MAX && pool->ops->is_kept(c);
}

/* Closes those that are idle and of other eras. pool->lock is held. */
static void drop_outdated(struct pool *pool, uint64_t era)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < pool->idle_count; i++) {
		struct pooled *c = pool->idle[i];
		if (c->era == era || is_kept(pool, c)) {
			pool->idle[kept++] = c;
		} else {
			pool->lost++;
			forget(pool, c);
			pool->ops->close(c);
		}
	}
	pool->idle_count = kept;
}

/* The idle one that was used last, of this era or of those that a request wishes for (if not NULL). NULL: there is none. pool->lock is held. */
static struct pooled *take_idle(struct pool *pool, uint64_t era, const void *wish)
{
	for (unsigned i = pool->idle_count; i-- > 0;) {
		struct pooled *c = pool->idle[i];
		if (wish ? !pool->ops->fits(c, wish) : c->era != era)
			continue;
		pool->idle_count--;
		memmove(&pool->idle[i], &pool->idle[i + 1], (pool->idle_count - i) * sizeof(struct pooled *));
		return c;
	}
	return NULL;
}

/* A moment, in which one may come back. pool->lock is held, but not meanwhile. */
static int wait_for_one(struct pool *pool, pthread_cond_t *told)
{
	const int64_t look = clock_ms() + PROGRESS_MS;
	const struct timespec at = {.tv_sec = look / 1000, .tv_nsec = look % 1000 * 1000000};
	pthread_cond_timedwait(told, &pool->lock, &at);
	return 1;
}

/*
 * Takes an idle one (*ret), or a place for a new one (*ret NULL). 0; 1 a wait has told nothing, the era may be another by now; -errno.
 * pool->lock is held, but not while it waits.
 */
static int take(struct pool *pool, uint64_t era, const void *wish, struct pooled **ret)
{
	bool waits = wish && is_there(pool, wish);
	/* Who has a wish does not mind the era. */
	*ret = waits ? take_idle(pool, era, wish) : NULL;
	drop_outdated(pool, era);
	if (!*ret && !waits)
		*ret = take_idle(pool, era, NULL);
	if (*ret)
		return 0;
	if (!waits && pool->open_count < POOL_MAX) {
		if (pool->pause && clock_ms() < pool->retry_at)
			return pool->failure;
		pool->open_count++;
		return 0;
	}
	return wait_for_one(pool, waits ? &pool->wished : &pool->returned);
}

/* The same, for a long call only as long as there are not too many of them. */
static int take_for(struct pool *pool, bool is_long, uint64_t era, const void *wish, struct pooled **ret)
{
	if (is_long && pool->long_calls >= POOL_LONG_MAX)
		return wait_for_one(pool, &pool->wished);
	int r = take(pool, era, wish, ret);
	if (r == 0)
		pool->long_calls += is_long;
	return r;
}

/* Of one who waits for a connection. */
struct patience {
	int64_t until; /* monotonic ms */
	uint64_t seen; /* progress */
};

/* Whoever has a connection may need it for long: that is no trouble as long as something arrives. */
static bool is_patient(struct pool *pool, struct patience *patience)
{
	uint64_t progress = atomic_load(&pool->progress);
	int64_t now = clock_ms();
	if (progress != patience->seen)
		*patience = (struct patience){.until = now + pool->timeout_ms, .seen = progress};
	return now < patience->until;
}

/* Another password than the one that was refused is worth a try at once. */
static bool has_other_password(struct pool *pool)
{
	struct error ignored;
	pthread_mutex_lock(&pool->lock);
	unsigned refused = pool->refused;
	pthread_mutex_unlock(&pool->lock);
	if (password_file_renew(pool->password_file, refused, &ignored) <= 0)
		return false;
	pthread_mutex_lock(&pool->lock);
	pool->pause = 0;
	pthread_mutex_unlock(&pool->lock);
	return true;
}

static bool is_over(const struct pool *pool, const atomic_bool *cancel)
{
	return (cancel && atomic_load(cancel)) || (pool->stop && atomic_load(pool->stop));
}

static int borrow(struct pool *pool, const void *wish, const atomic_bool *cancel, struct pooled **ret)
{
	struct patience patience = {.until = clock_ms() + pool->timeout_ms, .seen = atomic_load(&pool->progress)};
	struct pooled *c = NULL;
	int r;
	for (bool first = true;; first = false) {
		uint64_t era = pool->ops->era ? pool->ops->era(pool, first) : 0;
		/* The first call may have taken all the time there is. */
		if (!is_patient(pool, &patience))
			return -ETIMEDOUT;
		pthread_mutex_lock(&pool->lock);
		r = is_over(pool, cancel) ? -EINTR : take_for(pool, backend_call_is_long(), era, wish, &c);
		pthread_mutex_unlock(&pool->lock);
		if (r == -EACCES && has_other_password(pool))
			r = 1;
		if (r == 1 && !is_patient(pool, &patience))
			r = -ETIMEDOUT;
		if (r != 1)
			break;
	}
	if (r == 0 && !c)
		r = open_new(pool, &c);
	if (r == 0)
		*ret = c;
	return r;
}

static void give_back(struct pool *pool, struct pooled *c, bool is_dead)
{
	bool clean = pool->ops->is_clean(c);
	pool->ops->lend(c, NULL, &pool->progress);
	c->used = true;
	pthread_mutex_lock(&pool->lock);
	pool->long_calls -= backend_call_is_long();
	if (clean)
		pool->idle[pool->idle_count++] = c;
	else
		forget(pool, c);
	/* Where one is dead, those that sleep most likely are. */
	if (is_dead) {
		pool->lost += 1 + pool->idle_count;
		drop_idle(pool);
	}
	/* Not everyone who has a wish may want this one. More than a hundred without one may wait, who would all wake up for it. */
	pthread_cond_broadcast(&pool->wished);
	if (is_dead)
		pthread_cond_broadcast(&pool->returned);
	else
		pthread_cond_signal(&pool->returned);
	pthread_mutex_unlock(&pool->lock);
	if (!clean)
		pool->ops->close(c);
}

int pool_ask(struct pool *pool, const void *wish, int (*ask)(struct pooled *connection, void *arg), void *arg, const atomic_bool *cancel)
{
	for (bool again = false;; again = true) {
		struct pooled *c = NULL;
		int r = borrow(pool, wish, cancel, &c);
		if (r < 0)
			return r;
		pool->ops->lend(c, cancel, &pool->progress);
		r = ask(c, arg);
		bool is_dead = r == -ECONNRESET, is_old = c->used;
		give_back(pool, c, is_dead);
		if (!is_dead || !is_old || again)
			return r;
	}
}

bool pool_look(struct pool *pool, bool (*look)(const struct pool *pool, void *arg), void *arg)
{
	pthread_mutex_lock(&pool->lock);
	bool seen = look(pool, arg);
	pthread_mutex_unlock(&pool->lock);
	return seen;
}
