#include "ckfs/work.h"

#include "ckfs/cleanup.h"
#include "ckfs/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct work_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* protected by lock */
	struct work *first, **last;
	unsigned idle, queued, started;
	bool ending;
	unsigned thread_count;
	pthread_t threads[];
};

int work_pool_new(unsigned threads, struct work_pool **ret)
{
	struct work_pool *pool = calloc(1, sizeof *pool + threads * sizeof *pool->threads);
	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	pool->last = &pool->first;
	pool->thread_count = threads;
	*ret = pool;
	return 0;
}

static void *work_thread(void *arg)
{
	struct work_pool *pool = arg;
	LOCK(&pool->lock);
	for (;;) {
		struct work *work = pool->first;
		if (!work && pool->ending)
			return NULL;
		if (!work) {
			pool->idle++;
			pthread_cond_wait(&pool->changed, &pool->lock);
			pool->idle--;
			continue;
		}
		pool->first = work->next;
		pool->queued--;
		if (!pool->first)
			pool->last = &pool->first;
		pthread_mutex_unlock(&pool->lock);
		work->run(work);
		pthread_mutex_lock(&pool->lock);
	}
}

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
	pthread_mutex_unlock(&pool->lock);
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
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}
