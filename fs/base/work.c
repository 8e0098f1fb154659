#include "ckfs/work.h"

#include "ckfs/cleanup.h"
#include "ckfs/clock.h"
#include "ckfs/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

/* When nothing that is queued was begun for so long, all threads wait for something. */
#define STUCK_MS 100

/* So long a thread that was added for such work stays without any. */
#define EXTRA_IDLE_MS 5000

struct work_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct work *first, **last;
	unsigned idle, queued, started;
	uint64_t begun; /* counts work */
	bool ending;
	/* Of a pool that grows. */
	unsigned extra, extra_max;
	pthread_t guard;
	pthread_cond_t woken; /* the guard */
	bool has_guard, guard_sleeps;
	unsigned thread_count;
	pthread_t threads[];
};

int work_pool_new(unsigned threads, struct work_pool **ret)
{
	struct work_pool *pool = calloc(1, sizeof *pool + threads * sizeof *pool->threads);
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->changed, &attr);
	pthread_cond_init(&pool->woken, &attr);
	pthread_condattr_destroy(&attr);
	pool->last = &pool->first;
	pool->thread_count = threads;
	*ret = pool;
	return 0;
}

void work_pool_grow(struct work_pool *pool, unsigned most)
{
	pool->extra_max = most - pool->thread_count;
}

/* pool->lock is held, but not while the work runs. */
static void run_first(struct work_pool *pool)
{
	struct work *work = pool->first;
	pool->first = work->next;
	pool->queued--;
	pool->begun++;
	if (!pool->first)
		pool->last = &pool->first;
	pthread_mutex_unlock(&pool->lock);
	work->run(work);
	pthread_mutex_lock(&pool->lock);
}

static struct timespec time_at(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Waits for work until `end` (monotonic ms; -1: for ever). False: there is none by then. pool->lock is held, but not while it waits. */
static bool wait_for_work(struct work_pool *pool, int64_t end)
{
	const struct timespec at = time_at(end);
	int r = 0;
	pool->idle++;
	while (!pool->first && !pool->ending && r != ETIMEDOUT)
		r = end < 0 ? pthread_cond_wait(&pool->changed, &pool->lock) : pthread_cond_timedwait(&pool->changed, &pool->lock, &at);
	pool->idle--;
	return pool->first;
}

static void *work_thread(void *arg)
{
	struct work_pool *pool = arg;
	LOCK(&pool->lock);
	while (wait_for_work(pool, -1))
		run_first(pool);
	return NULL;
}

/* --- a pool that grows --- */

static void *extra_thread(void *arg)
{
	struct work_pool *pool = arg;
	pthread_detach(pthread_self());
	LOCK(&pool->lock);
	while (wait_for_work(pool, clock_ms() + EXTRA_IDLE_MS))
		run_first(pool);
	if (--pool->extra == 0)
		pthread_cond_broadcast(&pool->changed);
	return NULL;
}

/* pool->lock is held. */
static void start_extra(struct work_pool *pool)
{
	pthread_t thread;
	for (unsigned n = pool->queued; n > 0 && pool->extra < pool->extra_max && thread_start(&thread, extra_thread, pool) == 0; n--)
		pool->extra++;
}

/* Looks, while something is queued, whether any of it is begun. */
static void *guard_thread(void *arg)
{
	struct work_pool *pool = arg;
	LOCK(&pool->lock);
	while (!pool->ending) {
		if (!pool->first) {
			pool->guard_sleeps = true;
			pthread_cond_wait(&pool->woken, &pool->lock);
			pool->guard_sleeps = false;
			continue;
		}
		const uint64_t begun = pool->begun;
		const int64_t look = clock_ms() + STUCK_MS;
		const struct timespec at = time_at(look);
		pthread_cond_timedwait(&pool->woken, &pool->lock, &at);
		/* Who ends the pool waits for no thread that comes now. */
		if (!pool->ending && pool->begun == begun && clock_ms() >= look)
			start_extra(pool);
	}
	return NULL;
}

/* Something was queued. pool->lock is held. */
static void wake_guard(struct work_pool *pool)
{
	if (pool->extra_max == 0 || pool->started < pool->thread_count)
		return;
	if (!pool->has_guard)
		pool->has_guard = thread_start(&pool->guard, guard_thread, pool) == 0;
	else if (pool->guard_sleeps)
		pthread_cond_signal(&pool->woken);
}

/* --- queueing --- */

static bool start_thread(struct work_pool *pool)
{
	bool started = thread_start(&pool->threads[pool->started], work_thread, pool) == 0;
	pool->started += started;
	return started;
}

/* False: there is no thread to run it. */
static bool queue(struct work_pool *pool, struct work *work)
{
	LOCK(&pool->lock);
	if (!pool->ending && pool->queued >= pool->idle && pool->started < pool->thread_count)
		start_thread(pool);
	if (pool->ending || pool->started == 0)
		return false;
	*pool->last = work;
	pool->last = &work->next;
	pool->queued++;
	pthread_cond_signal(&pool->changed);
	wake_guard(pool);
	return true;
}

void work_submit(struct work_pool *pool, struct work *work)
{
	work->next = NULL;
	/* A machine that gives no thread still gets its answer. */
	if (!queue(pool, work))
		work->run(work);
}

bool work_withdraw(struct work_pool *pool, struct work *work)
{
	LOCK(&pool->lock);
	struct work **at = &pool->first;
	while (*at && *at != work)
		at = &(*at)->next;
	bool found = *at;
	if (found) {
		*at = work->next;
		pool->queued--;
		if (!*at)
			pool->last = at;
	}
	return found;
}

void work_pool_stop(struct work_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_cond_signal(&pool->woken);
	while (pool->extra > 0)
		pthread_cond_wait(&pool->changed, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	if (pool->has_guard)
		pthread_join(pool->guard, NULL);
	pool->has_guard = false;
	/* None is started any more. */
	for (; pool->started > 0; pool->started--)
		pthread_join(pool->threads[pool->started - 1], NULL);
}

void work_pool_free(struct work_pool *pool)
{
	if (!pool)
		return;
	work_pool_stop(pool);
	pthread_cond_destroy(&pool->changed);
	pthread_cond_destroy(&pool->woken);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
