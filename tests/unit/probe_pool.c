#include "probe_pool.h"

#include "ckfs/work.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define POOLS 12
#define BUSY 4
#define WORK 4

static atomic_bool is_busy, is_over;

static void pause_ms(int ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000L};
	nanosleep(&pause, NULL);
}

static void *keep_busy(void *arg)
{
	(void)arg;
	while (!is_over)
		if (!is_busy)
			pause_ms(1);
	return NULL;
}

static void wait_long(struct work *work)
{
	(void)work;
	pause_ms(130);
}

/* A pool looks 100 ms after something was queued whether to grow. It is ended shortly before, and who looks gets the processor only after that. */
static void end_one(int ms)
{
	struct work_pool *pool;
	struct work work[WORK];
	if (work_pool_new(1, &pool) < 0)
		abort();
	work_pool_grow(pool, 1 + WORK);
	for (int i = 0; i < WORK; i++) {
		work[i].run = wait_long;
		work_submit(pool, &work[i]);
	}
	pause_ms(ms);
	is_busy = true;
	work_pool_free(pool);
	is_busy = false;
	pause_ms(20);
}

void probe_pools(void)
{
	pthread_t busy[BUSY];
	cpu_set_t before, one;
	if (sched_getaffinity(0, sizeof before, &before) < 0)
		abort();
	int cpu = 0;
	while (!CPU_ISSET(cpu, &before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
	for (int i = 0; i < BUSY; i++)
		if (pthread_create(&busy[i], NULL, keep_busy, NULL) != 0)
			abort();
	for (int i = 0; i < POOLS; i++)
		end_one(84 + i);
	is_over = true;
	for (int i = 0; i < BUSY; i++)
		pthread_join(busy[i], NULL);
	sched_setaffinity(0, sizeof before, &before);
}
